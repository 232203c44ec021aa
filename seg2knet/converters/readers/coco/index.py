"""What is in a COCO file: categories, and for each image where it and its annotations stand in the file.

The file is mapped and decoded without its elements (``msgspec.Raw``), so that one of any size costs some tens of bytes
an object. What is not JSON but nearly so (NaN, a byte-order mark in UTF-16) is read the lenient way, in memory.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional

import msgspec
import numpy as np
import orjson

from seg2knet.converters.readers.common.sources import rgb
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.coco_json import LISTS, AnnotationHead, Id, ImageHead
from seg2knet.dataset.files import parse_json, read_json
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
        masks_are_crowds: every run-length mask is marked as a crowd, as CVAT exports those of its brush.
        repaired: the document, where the file is not quite JSON; places are in it then.
        notes: kind and detail of what was repaired.
    """

    categories: dict[Id, ClassInfo]
    names: list[str]
    images: np.ndarray
    annotations: np.ndarray
    bounds: np.ndarray
    panoptic: bool
    used: set[Id]
    meta: dict[str, Any]
    orphans: tuple[int, int]
    masks_are_crowds: bool
    repaired: Optional[bytes]
    notes: list[tuple[str, str]]

    def spans(self, row: int) -> tuple[Any, Any]:
        """An image's span, and those of its annotations: ``(n, 2)`` int64 as bytes, or elements one by one."""
        first, last = self.bounds[row].tolist()
        image, annotations = self.images[row].tolist(), self.annotations[first:last]
        if self.repaired is None:
            return image, annotations.tobytes()
        return self.repaired[slice(*image)], [self.repaired[slice(*span)] for span in annotations.tolist()]


def plain_id(value: Id) -> Id:
    """A number that some tools write as text, as the number."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value) else value


def index(path: Path) -> Index:
    """Read a file's index.

    Raises:
        DataError: not a COCO file: what it lacks, and what stands there instead.
    """
    try:
        with open(path, "rb") as file:
            data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "an empty file"
        raise DataError("cannot be read", file=path, found=found) from None
    start = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    view = memoryview(data)[start:]
    notes: list[tuple[str, str]] = []
    repaired = None
    try:
        lists = msgspec.json.decode(view, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        begin = bytes(view[:24]).decode(errors="replace")
        raise DataError("not a JSON object", file=path, found=begin.strip() or "nothing", expected="{") from None
    except (msgspec.DecodeError, RecursionError):
        repaired = _lenient(path)
        notes.append(("not-quite-json", "read the lenient way; NaN and Infinity become null"))
        lists, start = msgspec.json.decode(repaired, type=dict[str, msgspec.Raw]), 0
        view = memoryview(repaired)
    return _Builder(path, view, start, lists, repaired, notes).build()


def _lenient(path: Path) -> bytes:
    """The document as JSON, where Python's parser, which takes NaN, can read it.

    Raises:
        DataError: it cannot; where, and what was expected there.
    """
    data = read_json(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        document = json.loads(data.decode(encoding, errors="replace"), parse_constant=lambda _: None)
        if not isinstance(document, dict):
            raise DataError("not a JSON object", file=path, found=type(document).__name__, expected="{")
        return orjson.dumps(document)
    except (ValueError, RecursionError, TypeError):
        parse_json(data, path)
        raise DataError("not JSON", file=path, hint="the file is cut off, damaged or of another kind") from None


class _Builder:
    def __init__(
        self,
        path: Path,
        view: memoryview,
        start: int,
        lists: dict[str, msgspec.Raw],
        repaired: Optional[bytes],
        notes: list[tuple[str, str]],
    ) -> None:
        self.path = path
        self.view = view
        self.start = start
        self.lists = lists
        self.repaired = repaired
        self.notes = notes
        self.texts = 0

    def build(self) -> Index:
        self._require_lists()
        images, image_spans, _ = self._elements("images", ImageHead)
        annotations, spans, raws = self._elements("annotations", AnnotationHead)
        crowds = _masks_are_crowds(annotations, raws)
        del raws
        panoptic = sum(head.segments_info is not msgspec.UNSET for head in annotations)
        if panoptic and panoptic < len(annotations):
            raise DataError("both instance and panoptic annotations in one file", file=self.path, place="/annotations")
        names = [self._name(place, head) for place, head in enumerate(images)]
        bounds, order, orphans = self._placed(images, annotations, names)
        used = {self._plain(head.category_id) for head in annotations}
        classes = self._classes()
        if self.texts:
            self.notes.append(("id-as-text", f"{self.texts} ids are numbers in quotes, taken as numbers"))
        return Index(
            classes, names, image_spans, spans[order], bounds, panoptic > 0, used, self._meta(), orphans, crowds,
            self.repaired, self.notes,
        )  # fmt: skip

    def _require_lists(self) -> None:
        """
        Raises:
            DataError: one of the lists is missing, or is not a list.
        """
        for key in LISTS:
            if key not in self.lists:
                raise DataError(
                    f"not a COCO file: there is no {key!r}",
                    file=self.path,
                    found=f"the keys {', '.join(list(self.lists)[:12])}" if self.lists else "no lists at all",
                    expected=", ".join(LISTS),
                )
            begin = bytes(memoryview(self.lists[key])[:24])
            if begin[:1] != b"[":
                found = "an object" if begin[:1] == b"{" else begin.decode(errors="replace")
                raise DataError(f"{key!r} is no list", file=self.path, place=f"/{key}", found=found, expected="a list")

    def _elements(self, key: str, kind: Any) -> tuple[list[Any], np.ndarray, Sequence[msgspec.Raw]]:
        """The elements of a list: their heads, ``(N, 2)`` int64 begin and end in the file, and themselves."""
        heads = self._decode(key, kind)
        raws = msgspec.json.decode(self.lists[key], type=list[msgspec.Raw])
        spans = np.empty((len(raws), 2), np.int64)
        whole: Any = self.view.obj
        place = self.start + _offset(self.lists[key], self.view)
        for row, raw in enumerate(raws):
            place = whole.find(b"{", place)
            end = place + memoryview(raw).nbytes
            spans[row] = place, end
            place = end
        return heads, spans, raws

    def _decode(self, key: str, kind: Any) -> list[Any]:
        try:
            return msgspec.json.decode(self.lists[key], type=list[kind])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._refuse(key, error)

    def _refuse(self, key: str, error: Exception) -> NoReturn:
        problem, _, place = str(error).partition(" - at ")
        number = re.match(r"`\$\[(\d+)\](?:\.(\w+))?", place)
        field = f"/{number[2]}" if number and number[2] else ""
        pointer = f"/{key}/{number[1]}{field}" if number else f"/{key}"
        raise DataError("not as COCO has it", file=self.path, place=pointer, found=problem) from None

    def _plain(self, value: Id) -> Id:
        plain = plain_id(value)
        self.texts += plain is not value
        return plain

    def _name(self, place: int, head: ImageHead) -> str:
        if head.id is None:
            raise DataError("an image without an id", file=self.path, place=f"/images/{place}", expected='"id"')
        name = head.file_name or (head.coco_url or "").rpartition("/")[2]
        if not name:
            raise DataError(
                "an image without a file name", file=self.path, place=f"/images/{place}", expected='"file_name"'
            )
        return name

    def _placed(
        self, images: Sequence[ImageHead], annotations: Sequence[AnnotationHead], names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """The bounds of each image's annotations, their order image by image, and what belongs to no image.

        Raises:
            DataError: two images have one id.
        """
        codes: dict[Id, int] = {}
        for number, head in enumerate(images):
            if codes.setdefault(self._plain(head.id), number) != number:
                raise DataError(
                    "two images with one id", file=self.path, place=f"image {names[number]!r}",
                    hint="seg2knet validate names them all",
                )  # fmt: skip
        owners = np.array([codes.get(self._plain(head.image_id), len(codes)) for head in annotations], np.int64)
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(len(codes) + 1))
        lost = np.flatnonzero(owners == len(codes))
        pairs = np.stack([bounds[:-1], bounds[1:]], axis=1)
        return pairs, order, (len(lost), int(lost[0]) if len(lost) else 0)

    def _classes(self) -> dict[Id, ClassInfo]:
        classes: dict[Id, ClassInfo] = {}
        for number, entry in enumerate(self._decode("categories", dict[str, Any])):
            place = f"/categories/{number}"
            if type(entry.get("id")) not in (int, str):
                raise DataError("a category without an id", file=self.path, place=place, found=repr(entry)[:200])
            name = entry.get("name")
            if not isinstance(name, (str, int)) or not str(name).strip():
                raise DataError("a category without a name", file=self.path, place=place, found=repr(entry))
            key = self._plain(entry["id"])
            if key in classes:
                if classes[key].name == str(name):  # VIA repeats a category for every use
                    continue
                raise DataError("two categories with one id", file=self.path, place=place, found=repr(entry["id"]))
            thing = entry.get("isthing", 1) not in (0, False)
            parent = entry.get("supercategory")
            shade = rgb(entry.get("color"))
            classes[key] = ClassInfo(str(name), thing, shade, parent if isinstance(parent, str) else "")
        return classes

    def _meta(self) -> dict[str, Any]:
        known = [key for key in self.lists if key in ("info", "licenses")]
        values = {key: parse_json(bytes(memoryview(self.lists[key])), self.path) for key in known}
        return {
            key: value
            for key, value in values.items()
            if (isinstance(value, dict) if key == "info" else isinstance(value, list) and value)
        }


def _masks_are_crowds(annotations: Sequence[AnnotationHead], raws: Sequence[msgspec.Raw]) -> bool:
    """Whether masks were marked as crowds by a tool: all of them, and no other object tells otherwise.

    COCO's own crowds are run-length codes too, beside polygons; CVAT's have its ``attributes``.
    """
    crowds = [raw for head, raw in zip(annotations, raws) if head.iscrowd]
    if not crowds or not _has(crowds[0], b"counts"):
        return False
    if len(crowds) == len(annotations):
        return True
    others = (raw for head, raw in zip(annotations, raws) if not head.iscrowd)
    return _has(crowds[0], b"attributes") and not any(_has(raw, b"counts") for raw in others)


def _has(raw: msgspec.Raw, key: bytes) -> bool:
    return b'"%b"' % key in bytes(memoryview(raw))


def _offset(part: msgspec.Raw, whole: memoryview) -> int:
    """Where a part of a buffer begins in it."""
    begin, part_begin = (np.frombuffer(each, np.uint8).__array_interface__["data"][0] for each in (whole, part))
    return int(part_begin - begin)
