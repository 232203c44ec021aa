"""Annotations of COCO files as objects: what can be an object becomes one, number for number, the rest a skip."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from typing import Any, Optional

from seg2knet.converters.readers.coco.index import plain_id
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box
from seg2knet.dataset import geometry, images
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.label_image import cut, regions
from seg2knet.dataset.rle import rle_from_counts, rle_from_string, union
from seg2knet.dataset.sample import Polygons, Rle, Shape
from seg2knet.errors import DataError

_NUMBERS = frozenset({int, float})


class Annotations:
    """Reads the instance annotations of one image.

    Args:
        canvas: takes the objects; run-length codes must be of its size.
        classes: by category id.
        boxes: what becomes of a box without an outline: ``refuse`` or ``as-polygons``.
        crowds: whether run-length masks that are marked as crowds are crowds.
    """

    def __init__(self, canvas: Canvas, classes: dict[Any, ClassInfo], boxes: str, crowds: bool) -> None:
        self.canvas = canvas
        self.classes = classes
        self.boxes = boxes
        self.crowds = crowds

    def read(self, annotations: Sequence[dict[str, Any]]) -> None:
        """Read all of them, in order."""
        for number, entry in enumerate(annotations, 1):
            place = f"annotation {entry['id']}" if "id" in entry else f"the image's annotation number {number}"
            try:
                if "category_id" not in entry:
                    raise NotAnObject("no-category", 'no "category_id"')
                label = class_of(self.classes, entry["category_id"])
                shape = self._shape(entry, place)
            except NotAnObject as problem:
                self.canvas.lost(place, problem)
                continue
            attributes = entry.get("attributes")
            kept = dict(attributes) if isinstance(attributes, dict) and attributes else None
            crowd = bool(entry.get("iscrowd")) and (self.crowds or isinstance(shape, Polygons))
            self.canvas.add(label, shape, place, iscrowd=crowd, attributes=kept)

    def _shape(self, entry: dict[str, Any], place: str) -> Shape:
        outline = entry.get("segmentation")
        if isinstance(outline, dict):
            return self._rle(outline)
        if isinstance(outline, list) and outline:
            if all(isinstance(part, dict) and "counts" in part for part in outline):
                self.canvas.note("rle-in-a-list", place, "taken out of it; several are one mask")
                return union([self._rle(part) for part in outline])
            return self._polygons(outline, place)
        if outline is None or outline == []:
            return self._box(entry.get("bbox"))
        raise NotAnObject("segmentation-unusable", f"a {type(outline).__name__}")

    def _polygons(self, parts: list[Any], place: str) -> Polygons:
        if all(type(number) in _NUMBERS for number in parts):
            self.canvas.note("flat-polygon", place, "a list of numbers, taken as one polygon")
            parts = [parts]
        kept, problem = [], "no polygon"
        for part in parts:
            wrong = _part_problem(part)
            if wrong is None:
                kept.append(part)
            else:
                problem = wrong
        if not kept:
            raise NotAnObject("polygon-unusable", problem)
        if len(kept) < len(parts):
            self.canvas.note("part-left-out", place, f"{len(parts) - len(kept)} of {len(parts)} parts: {problem}")
        return Polygons(kept)

    def _rle(self, code: dict[str, Any]) -> Rle:
        height, width = self.canvas.height, self.canvas.width
        size, counts = code.get("size"), code.get("counts")
        if size != [height, width]:
            raise NotAnObject("rle-size-differs", f"size {size!r}, the image is {height} high, {width} wide")
        try:
            if isinstance(counts, list):
                return rle_from_counts(counts, height, width)
            if isinstance(counts, str):
                return rle_from_string(_counts(counts), height, width)
        except DataError as error:
            raise NotAnObject("rle-unusable", ": ".join(filter(None, (error.message, error.found)))) from None
        raise NotAnObject("rle-unusable", f"counts {type(counts).__name__}")

    def _box(self, sides: Any) -> Polygons:
        if not (isinstance(sides, list) and len(sides) == 4 and all(type(number) in _NUMBERS for number in sides)):
            raise NotAnObject("no-segmentation", "neither a segmentation nor a box")
        x, y, width, height = sides
        return box(x, y, width, height, self.boxes)


def segments(
    canvas: Canvas, annotations: Sequence[dict[str, Any]], classes: dict[Any, ClassInfo], folders: Sequence[str]
) -> None:
    """Objects from a panoptic PNG: a segment is the pixels of its id, R + 256 G + 256^2 B.

    Raises:
        DataError: the PNG is not there, cannot be decoded, or is of another size.
    """
    for entry in annotations:
        file = _mask_file(entry.get("file_name"), folders, canvas.place)
        labels = images.decode_labels(file)
        if labels.shape[:2] != (canvas.height, canvas.width):
            raise DataError(
                "a panoptic PNG of another size than its image", file=file,
                found=f"{labels.shape[1]}x{labels.shape[0]}", expected=f"{canvas.width}x{canvas.height}",
            )  # fmt: skip
        found = regions(cut(labels), without=(0,))
        masks = dict(zip(found.values, found.rles))
        for segment in entry.get("segments_info") or []:
            number = segment.get("id") if isinstance(segment, dict) else None
            mask = masks.pop(number, None) if isinstance(number, int) else None
            place = f"segment {number}"
            try:
                if mask is None:
                    raise NotAnObject("segment-not-in-png")
                label = class_of(classes, segment.get("category_id"))
            except NotAnObject as problem:
                canvas.lost(place, problem)
                continue
            canvas.add(label, mask, place, iscrowd=bool(segment.get("iscrowd")))
        if masks:
            canvas.note("pixels-without-segment", "", f"{len(masks)} ids of the PNG are not in the JSON", len(masks))


def class_of(classes: dict[Any, ClassInfo], number: Any) -> str:
    """The class of a category id.

    Raises:
        NotAnObject: no category has it.
    """
    info = classes.get(plain_id(number)) if isinstance(number, (int, str, float)) else None
    if info is None:
        raise NotAnObject("unknown-category", f"category_id {number!r}")
    return info.name


def _mask_file(name: Any, folders: Sequence[str], place: str) -> str:
    if not isinstance(name, str) or ".." in name.replace("\\", "/").split("/"):
        raise DataError("a panoptic annotation without a file name", file=place, found=repr(name))
    for folder in folders:
        if os.path.isfile(f"{folder}/{name}"):
            return f"{folder}/{name}"
    raise DataError("the panoptic PNG is missing", file=place, found=name, expected=f"in {folders[0]}")


def _part_problem(part: Any) -> Optional[str]:
    if type(part) is not list:
        return f"a part that is a {type(part).__name__}"
    if not _NUMBERS.issuperset(map(type, part)):
        return "a coordinate that is not a number"
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
