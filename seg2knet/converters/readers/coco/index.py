"""What stands where in a COCO file: categories, and for each image its own bytes and those of its annotations.

Read as a stream into arrays of numbers, so that a file of any size costs some tens of bytes an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np

from seg2knet.converters.classes.classfile import color
from seg2knet.converters.readers.common.json_stream import Elements, Value, stream
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.coco_json import LISTS, AnnotationHead, Id, ImageHead
from seg2knet.dataset.files import parse_json
from seg2knet.errors import DataError


class Index(msgspec.Struct):
    """A COCO file. Images are in the file's order, their annotations too.

    Attributes:
        categories: id to class, in the file's order.
        names: of the images.
        images: ``(N, 2)`` int64, begin and end of each image in the file.
        annotations: ``(M, 2)`` int64, begin and end of each annotation, image by image.
        bounds: ``(N, 2)`` int64, of each image where its annotations begin and end among them.
        panoptic: annotations are panoptic ones, one an image.
        used: category ids that an instance annotation has.
        meta: ``info`` and ``licenses``.
        orphans: annotations of images that are not listed: how many, and the first one's number.
    """

    categories: dict[Id, ClassInfo]
    names: list[str]
    images: np.ndarray
    annotations: np.ndarray
    bounds: np.ndarray
    panoptic: bool
    used: set[Id]
    meta: dict[str, Any]
    orphans: tuple[int, int] = (0, 0)

    def span(self, row: int) -> tuple[int, int, bytes]:
        """Begin and end of an image, and those of its annotations, ``(n, 2)`` int64 as bytes."""
        (start, end), (first, last) = self.images[row].tolist(), self.bounds[row].tolist()
        return start, end, self.annotations[first:last].tobytes()


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
        self.names: list[str] = []
        self.numbers: list[np.ndarray] = []  # of the images, block by block, their ids' codes
        self.images: list[np.ndarray] = []
        self.owners: list[np.ndarray] = []  # of the annotations likewise
        self.annotations: list[np.ndarray] = []
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
        places, bounds, orphans = self._placed()
        images = _joined(self.images).reshape(-1, 2)
        panoptic = self.panoptic > 0
        return Index(self._classes(), self.names, images, places, bounds, panoptic, self.used, self.meta, orphans)

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
        for key in LISTS:
            if key in self.objects:
                raise DataError(
                    f"{key!r} is no list", file=self.path, place=f"/{key}", found="an object", expected="a list"
                )
            if key not in self.keys:
                raise DataError(
                    f"not a COCO file: there is no {key!r}",
                    file=self.path,
                    found=f"the keys {', '.join(self.keys)}" if self.keys else "no lists at all",
                    expected=", ".join(LISTS),
                )
        if self.panoptic and self.instances:
            raise DataError("both instance and panoptic annotations in one file", file=self.path, place="/annotations")

    def _codes(self, ids: Iterable[Id]) -> np.ndarray:
        return np.array([self.codes.setdefault(number, len(self.codes)) for number in ids], np.int32)

    def _add_images(self, found: Elements) -> None:
        heads = self._decode(found, ImageHead)
        for head in heads:
            place = f"/images/{len(self.names)}"
            if head.id is None:
                raise DataError("an image without an id", file=self.path, place=place, expected='"id"')
            if not head.file_name:
                raise DataError("an image without a file name", file=self.path, place=place, expected='"file_name"')
            self.names.append(head.file_name)
        self.numbers.append(self._codes(head.id for head in heads))
        self.images.append(np.stack([found.starts, found.ends], axis=1))

    def _add_annotations(self, found: Elements) -> None:
        heads = self._decode(found, AnnotationHead)
        self.owners.append(self._codes(head.image_id for head in heads))
        self.annotations.append(np.stack([found.starts, found.ends], axis=1))
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

    def _placed(self) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """The annotations image by image, the bounds of each image's, and what belongs to no image.

        Raises:
            DataError: two images have one id.
        """
        numbers, owners = _joined(self.numbers), _joined(self.owners)
        _, firsts = np.unique(numbers, return_index=True)
        if len(firsts) < len(numbers):
            again = int(np.setdiff1d(np.arange(len(numbers)), firsts)[0])
            raise DataError(
                "two images with one id", file=self.path, place=f"image {self.names[again]!r}",
                hint="seg2knet validate names them all",
            )  # fmt: skip
        known = np.zeros(len(self.codes), bool)
        known[numbers] = True
        lost = np.flatnonzero(~known[owners])
        order = np.argsort(owners, kind="stable")
        owners = owners[order]
        bounds = np.stack([np.searchsorted(owners, numbers, side) for side in ("left", "right")], axis=1)
        places = _joined(self.annotations).reshape(-1, 2)[order]
        return places, bounds, (len(lost), int(lost[0]) if len(lost) else 0)

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


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """The blocks as one array; they are let go."""
    found = np.concatenate(blocks) if blocks else np.zeros(0, np.int64)
    blocks.clear()
    return found


def _color(value: Any, path: Path) -> Optional[tuple[int, int, int]]:
    try:
        return color(value, path)
    except DataError:
        return None
