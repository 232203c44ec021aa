"""What stands where in a COCO file: categories, and for each image its own bytes and those of its annotations.

Read as a stream into arrays of numbers, so that a file of any size costs some tens of bytes an object.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional, Union

import msgspec
import numpy as np

from seg2knet.converters.classfile import color
from seg2knet.converters.files import parse_json
from seg2knet.converters.readers._json_stream import Elements, Value, stream
from seg2knet.dataset.classes import ClassInfo
from seg2knet.errors import DataError

Id = Union[int, str, float, None]
NEEDED = ("images", "annotations", "categories")


class ImageHead(msgspec.Struct, gc=False):
    """Of an image, what the index needs."""

    id: Id = None
    file_name: Optional[str] = None


class AnnotationHead(msgspec.Struct, gc=False):
    """Of an annotation, what the index needs; ``segments_info`` tells the panoptic format."""

    image_id: Id = None
    category_id: Id = None
    segments_info: Union[msgspec.Raw, msgspec.UnsetType] = msgspec.UNSET


class Span(msgspec.Struct, frozen=True, gc=False):
    """One image: its name, its bytes in the file, and those of its annotations.

    Attributes:
        places: ``(N, 2)`` int64 as bytes: begin and end of each annotation, in the file's order.
    """

    name: str
    start: int
    end: int
    places: bytes


class Index(msgspec.Struct):
    """A COCO file.

    Attributes:
        categories: id to class, in the file's order.
        spans: the images, in the file's order.
        panoptic: annotations are panoptic ones, one an image.
        used: category ids that an instance annotation has.
        meta: ``info`` and ``licenses``.
        orphans: annotations of images that are not listed: how many, and the first one's number.
    """

    categories: dict[Id, ClassInfo]
    spans: list[Span]
    panoptic: bool
    used: set[Id]
    meta: dict[str, Any]
    orphans: tuple[int, int] = (0, 0)


def index(path: Path) -> Index:
    """Read a file's index.

    Raises:
        DataError: not a COCO file: what it lacks, and what stands there instead.
    """
    return _Builder(path).build()


class _Builder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: list[str] = []
        self.objects: set[str] = set()
        self.codes: dict[Id, int] = {}
        self.meta: dict[str, Any] = {}
        self.categories: list[dict[str, Any]] = []
        self.used: set[Id] = set()
        self.images: list[tuple[int, str, int, int]] = []
        self.owners: list[np.ndarray] = []
        self.begins: list[np.ndarray] = []
        self.ends: list[np.ndarray] = []
        self.before: dict[str, int] = {}
        self.panoptic = 0
        self.instances = 0

    def build(self) -> Index:
        for item in stream(self.path):
            if isinstance(item, Elements):
                self._elements(item)
                self.before[item.key] = self.before.get(item.key, 0) + len(item.starts)
            else:
                self._value(item)
        self._complete()
        spans, orphans = self._spans()
        return Index(self._classes(), spans, self.panoptic > 0, self.used, self.meta, orphans)

    def _elements(self, found: Elements) -> None:
        if found.key == "images":
            self._add_images(found)
        elif found.key == "annotations":
            self._add_annotations(found)
        elif found.key == "categories":
            self.categories += self._decode(found, dict[str, Any])
        elif found.key == "licenses":
            self.meta.setdefault("licenses", []).extend(self._decode(found, dict[str, Any]))

    def _value(self, value: Value) -> None:
        self.keys.append(value.key)
        if value.data is not None:
            self.objects.add(value.key)
        if value.key == "info" and value.data is not None:
            self.meta["info"] = parse_json(value.data, self.path)

    def _complete(self) -> None:
        """
        Raises:
            DataError: a list is missing, or is none.
        """
        for key in NEEDED:
            if key in self.objects:
                raise DataError(
                    f"{key!r} is no list", file=self.path, place=f"/{key}", found="an object", expected="a list"
                )
            if key not in self.keys:
                raise DataError(
                    f"not a COCO file: there is no {key!r}",
                    file=self.path,
                    found=f"the keys {', '.join(self.keys)}" if self.keys else "no lists at all",
                    expected=", ".join(NEEDED),
                )
        if self.panoptic and self.instances:
            raise DataError("both instance and panoptic annotations in one file", file=self.path, place="/annotations")

    def _code(self, number: Id) -> int:
        return self.codes.setdefault(number, len(self.codes))

    def _add_images(self, found: Elements) -> None:
        heads = self._decode(found, ImageHead)
        for head, start, end in zip(heads, found.starts.tolist(), found.ends.tolist()):
            place = f"/images/{len(self.images)}"
            if head.id is None:
                raise DataError("an image without an id", file=self.path, place=place, expected='"id"')
            if not head.file_name:
                raise DataError("an image without a file name", file=self.path, place=place, expected='"file_name"')
            self.images.append((self._code(head.id), head.file_name, start, end))

    def _add_annotations(self, found: Elements) -> None:
        heads = self._decode(found, AnnotationHead)
        self.owners.append(np.fromiter((self._code(head.image_id) for head in heads), np.int64, len(heads)))
        self.begins.append(found.starts)
        self.ends.append(found.ends)
        self.used.update({head.category_id for head in heads})
        panoptic = sum(head.segments_info is not msgspec.UNSET for head in heads)
        self.panoptic += panoptic
        self.instances += len(heads) - panoptic

    def _decode(self, found: Elements, kind: Any) -> list[Any]:
        try:
            return msgspec.json.decode(found.data, type=list[kind])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            said, _, place = str(error).partition(" - at ")
            number = re.match(r"`\$\[(\d+)\](?:\.(\w+))?", place)
            pointer = f"/{found.key}"
            if number:  # counted from the block's first element
                field = f"/{number[2]}" if number[2] else ""
                pointer += f"/{int(number[1]) + self.before.get(found.key, 0)}{field}"
            raise DataError("not as COCO has it", file=self.path, place=pointer, found=said) from None

    def _spans(self) -> tuple[list[Span], tuple[int, int]]:
        if self.owners:
            owners, begins, ends = (np.concatenate(each) for each in (self.owners, self.begins, self.ends))
        else:
            owners = begins = ends = np.zeros(0, np.int64)
        order = np.argsort(owners, kind="stable")
        places = np.stack([begins[order], ends[order]], axis=1)
        bounds = np.searchsorted(owners[order], np.arange(len(self.codes) + 1))
        known = np.zeros(len(self.codes) + 1, bool)
        known[[code for code, *_ in self.images]] = True
        lost = np.flatnonzero(~known[owners])
        spans, seen = [], set()
        for code, name, start, end in self.images:
            if code in seen:
                raise DataError(
                    "two images with one id", file=self.path, place=f"image {name!r}",
                    hint="seg2knet validate names them all",
                )  # fmt: skip
            seen.add(code)
            spans.append(Span(name, start, end, places[bounds[code] : bounds[code + 1]].tobytes()))
        return spans, (len(lost), int(lost[0]) if len(lost) else 0)

    def _classes(self) -> dict[Id, ClassInfo]:
        classes: dict[Id, ClassInfo] = {}
        for number, entry in enumerate(self.categories):
            place = f"/categories/{number}"
            if type(entry.get("id")) not in (int, str):
                raise DataError("a category without an id", file=self.path, place=place, found=repr(entry)[:200])
            name = entry.get("name")
            if not isinstance(name, (str, int)) or not str(name).strip():
                raise DataError("a category without a name", file=self.path, place=place, found=repr(entry))
            if entry["id"] in classes:
                raise DataError("two categories with one id", file=self.path, place=place, found=repr(entry["id"]))
            thing = entry.get("isthing", 1) not in (0, False)
            parent = entry.get("supercategory")
            shade = _color(entry.get("color"), self.path)
            classes[entry["id"]] = ClassInfo(str(name), thing, shade, parent if isinstance(parent, str) else "")
        return classes


def _color(value: Any, path: Path) -> Optional[tuple[int, int, int]]:
    try:
        return color(value, path)
    except DataError:
        return None
