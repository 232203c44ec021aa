"""Annotations of COCO files as objects: what can be an object becomes one, number for number, the rest a skip."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import msgspec

from seg2knet.dataset import geometry, images
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.rle import rle_from_counts, rle_from_string
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Shape, Skip
from seg2knet.errors import DataError


class Annotations:
    """The annotations of one image on their way to objects.

    Args:
        classes: by category id.
        boxes: what becomes of a box without an outline: ``refuse`` or ``as-polygons``.
        width, height: as the file declares them: run-length codes must be of that size.
        path: the file, for places.
    """

    def __init__(
        self, classes: dict[Any, ClassInfo], boxes: str, width: int, height: int, path: Union[str, Path]
    ) -> None:
        self.classes = classes
        self.boxes = boxes
        self.width = width
        self.height = height
        self.path = path
        self.objects: list[Object] = []
        self.skips: list[Skip] = []
        self.notes: list[Note] = []

    def read(self, annotations: Sequence[dict[str, Any]]) -> None:
        """Read all of them, in order."""
        for number, entry in enumerate(annotations, 1):
            place = f"annotation {entry['id']}" if "id" in entry else f"the image's annotation number {number}"
            try:
                self.objects.append(self._object(entry, place))
            except _NoObject as error:
                self.skips.append(Skip(error.reason, f"{self.path}: {place}", detail=error.detail))

    def _object(self, entry: dict[str, Any], place: str) -> Object:
        if "category_id" not in entry:
            raise _NoObject("no-category", 'no "category_id"')
        number = entry["category_id"]
        info = self.classes.get(number) if isinstance(number, (int, str, float)) else None
        if info is None:
            raise _NoObject("unknown-category", f"category_id {number!r}")
        attributes = entry.get("attributes")
        kept = dict(attributes) if isinstance(attributes, dict) and attributes else None
        return Object(info.name, self._shape(entry, place), bool(entry.get("iscrowd")), place, kept)

    def _shape(self, entry: dict[str, Any], place: str) -> Shape:
        outline = entry.get("segmentation")
        if isinstance(outline, dict):
            return self._rle(outline)
        if isinstance(outline, list) and outline:
            return self._polygons(outline, place)
        if outline is None or outline == []:
            return self._box(entry.get("bbox"))
        raise _NoObject("segmentation-unusable", f"a {type(outline).__name__}")

    def _polygons(self, parts: list[Any], place: str) -> Polygons:
        if all(type(number) in _NUMBERS for number in parts):
            self._note("flat-polygon", place, "a list of numbers, taken as one polygon")
            parts = [parts]
        kept, problem = [], "no polygon"
        for part in parts:
            wrong = _part_problem(part)
            if wrong is None:
                kept.append(part)
            else:
                problem = wrong
        if not kept:
            raise _NoObject("polygon-unusable", problem)
        if len(kept) < len(parts):
            self._note("part-left-out", place, f"{len(parts) - len(kept)} of {len(parts)} parts: {problem}")
        return Polygons(kept)

    def _rle(self, code: dict[str, Any]) -> Rle:
        size, counts = code.get("size"), code.get("counts")
        if size != [self.height, self.width]:
            raise _NoObject("rle-size-differs", f"size {size!r}, the image is {self.height} high, {self.width} wide")
        try:
            if isinstance(counts, list):
                return rle_from_counts(counts, self.height, self.width)
            if isinstance(counts, str):
                return rle_from_string(_counts(counts), self.height, self.width)
        except DataError as error:
            raise _NoObject(
                "rle-unusable", f"{error.message}: {error.found}" if error.found else error.message
            ) from None
        raise _NoObject("rle-unusable", f"counts {type(counts).__name__}")

    def _box(self, box: Any) -> Polygons:
        if not (isinstance(box, list) and len(box) == 4 and all(type(number) in _NUMBERS for number in box)):
            raise _NoObject("no-segmentation", "neither a segmentation nor a box")
        if self.boxes == "refuse":
            raise _NoObject("box-only", "a box without an outline; --boxes as-polygons takes its corners")
        part = geometry.box_polygon(*box)
        problem = geometry.polygon_problem(part)
        if problem:
            raise _NoObject("box-unusable", problem)
        return Polygons([part])

    def _note(self, kind: str, place: str, detail: str) -> None:
        self.notes.append(Note(kind, f"{self.path}: {place}", detail))


class Segments(msgspec.Struct):
    """What the panoptic annotation of one image holds."""

    objects: list[Object]
    skips: list[Skip]
    notes: list[Note]


def segments(
    annotations: Sequence[dict[str, Any]],
    classes: dict[Any, ClassInfo],
    folders: Sequence[str],
    width: int,
    height: int,
    place: str,
) -> Segments:
    """Objects from a panoptic PNG: a segment is the pixels of its id, R + 256 G + 256^2 B.

    Raises:
        DataError: the PNG is not there, cannot be decoded, or is of another size.
    """
    from seg2knet.dataset.label_image import cut, regions

    read = Segments([], [], [])
    for entry in annotations:
        file = _mask_file(entry.get("file_name"), folders, place)
        labels = images.decode_labels(file)
        if labels.shape[:2] != (height, width):
            raise DataError(
                "a panoptic PNG of another size than its picture", file=file,
                found=f"{labels.shape[1]}x{labels.shape[0]}", expected=f"{width}x{height}",
            )  # fmt: skip
        found = regions(cut(labels), without=(0,))
        masks = dict(zip(found.values, found.rles))
        for segment in entry.get("segments_info") or []:
            _segment(segment, masks, classes, place, read)
        if masks:
            detail = f"{len(masks)} ids of the PNG are not in the JSON"
            read.notes.append(Note("pixels-without-segment", place, detail, len(masks)))
    return read


def _segment(segment: Any, masks: dict[int, Rle], classes: dict[Any, ClassInfo], place: str, read: Segments) -> None:
    number = segment.get("id") if isinstance(segment, dict) else None
    where = f"segment {number}"
    info = classes.get(segment.get("category_id")) if number is not None else None
    mask = masks.pop(number, None) if isinstance(number, int) else None
    if info is None or mask is None:
        reason = "segment-not-in-png" if mask is None else "unknown-category"
        read.skips.append(Skip(reason, f"{place}: {where}"))
        return
    read.objects.append(Object(info.name, mask, bool(segment.get("iscrowd")), where))


def _mask_file(name: Any, folders: Sequence[str], place: str) -> str:
    if not isinstance(name, str) or ".." in name.replace("\\", "/").split("/"):
        raise DataError("a panoptic annotation without a file name", file=place, found=repr(name))
    from os.path import isfile

    for folder in folders:
        if isfile(f"{folder}/{name}"):
            return f"{folder}/{name}"
    raise DataError("the panoptic PNG is missing", file=place, found=name, expected=f"in {folders[0]}")


class _NoObject(Exception):
    """An annotation that is no object: a skip's reason and detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


_NUMBERS = frozenset({int, float})


def _part_problem(part: Any) -> Optional[str]:
    if type(part) is not list:
        return f"a part that is a {type(part).__name__}"
    if not _NUMBERS.issuperset(map(type, part)):
        return "a coordinate that is no number"
    return geometry.polygon_problem(part)


def _counts(text: str) -> bytes:
    """A run-length string as bytes; ``str()`` of bytes, as some scripts write it, is undone.

    Raises:
        DataError: not ASCII.
    """
    if text[:2] in ("b'", 'b"') and text[-1:] == text[1]:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, bytes):
            return value
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise DataError("not a run-length string", found="letters outside of ASCII") from None
