"""Annotations of COCO files as objects: what can be an object becomes one, number for number, the rest a skip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Optional

from seg2knet.converters.readers.coco.index import plain_id
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box
from seg2knet.dataset import geometry, images
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.label_image import cut, regions
from seg2knet.dataset.rle import union
from seg2knet.dataset.sample import Polygons, Shape
from seg2knet.errors import DataError

_NUMBERS = frozenset({int, float})


def instances(
    canvas: Canvas, annotations: Sequence[dict[str, Any]], classes: dict[Any, ClassInfo], boxes: str, crowds: bool
) -> None:
    """Objects from the instance annotations of an image; with ``crowds`` masks that are marked as crowds are crowds."""
    for number, entry in enumerate(annotations, 1):
        place = f"annotation {entry['id']}" if "id" in entry else f"the image's annotation number {number}"
        with canvas.skipping(place):
            if "category_id" not in entry:
                raise NotAnObject("no-category", 'no "category_id"')
            label = _class_of(classes, entry["category_id"])
            shape, attributes = _shape(canvas, entry, place, boxes), entry.get("attributes")
            kept = dict(attributes) if isinstance(attributes, dict) and attributes else None
            crowd = bool(entry.get("iscrowd")) and (crowds or isinstance(shape, Polygons))
            canvas.add(label, shape, place, iscrowd=crowd, attributes=kept)


def _shape(canvas: Canvas, entry: dict[str, Any], place: str, boxes: str) -> Shape:
    outline, sides = entry.get("segmentation"), entry.get("bbox")
    if isinstance(outline, dict):
        return canvas.run_length(outline)
    if isinstance(outline, list) and outline:
        if all(isinstance(part, dict) and "counts" in part for part in outline):
            canvas.note("rle-in-a-list", place, "taken out of it; several are one mask")
            return union([canvas.run_length(part) for part in outline])
        return _polygons(canvas, outline, place)
    if outline is not None and outline != []:
        raise NotAnObject("segmentation-unusable", f"a {type(outline).__name__}")
    if not (isinstance(sides, list) and len(sides) == 4 and _NUMBERS.issuperset(map(type, sides))):
        raise NotAnObject("no-segmentation", "neither a segmentation nor a box")
    x, y, width, height = sides
    return box(x, y, width, height, boxes)


def _polygons(canvas: Canvas, parts: list[Any], place: str) -> Polygons:
    if _NUMBERS.issuperset(map(type, parts)):
        canvas.note("flat-polygon", place, "a list of numbers, taken as one polygon")
        parts = [parts]
    problems = list(map(_part_problem, parts))
    if not any(problems):
        return Polygons(parts)
    kept = [part for part, problem in zip(parts, problems) if problem is None]
    last = [problem for problem in problems if problem][-1]
    if not kept:
        raise NotAnObject("polygon-unusable", last)
    canvas.note("part-left-out", place, f"{len(parts) - len(kept)} of {len(parts)} parts: {last}")
    return Polygons(kept)


def segments(
    canvas: Canvas, annotations: Sequence[dict[str, Any]], classes: dict[Any, ClassInfo], folders: Sequence[str]
) -> None:
    """Objects from a panoptic PNG: a segment is the pixels of its id, R + 256 G + 256^2 B; DataError where the PNG is
    not there, cannot be decoded, or is of another size."""
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
            with canvas.skipping(f"segment {number}"):
                if mask is None:
                    raise NotAnObject("segment-not-in-png")
                label = _class_of(classes, segment.get("category_id"))
                canvas.add(label, mask, f"segment {number}", iscrowd=bool(segment.get("iscrowd")))
        if masks:
            canvas.note("pixels-without-segment", "", f"{len(masks)} ids of the PNG are not in the JSON", len(masks))


def _class_of(classes: dict[Any, ClassInfo], number: Any) -> str:
    """The class of a category id; NotAnObject where no category has it."""
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
