"""What fixes of several rules have in common: true areas and boxes, new shapes, removals."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.rle import as_json, counts_to_runs, mask_to_rle
from seg2knet.errors import DataError
from seg2knet.validators.model import Edit, Remove, SetValue
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import Shapes, area_fits, box_fits, measure_one
from seg2knet.validators.subjects.outlines import ZERO, Shape, shape_of

Measures = tuple[float, tuple[float, float, float, float]]


def pointer(row: int, key: str = "") -> str:
    return f"/annotations/{row}" + (f"/{key}" if key else "")


def image_size(file: CocoFile, row: int) -> tuple[int, int]:
    """Height and width of an annotation's image, 0 where not known."""
    image = int(file.image_rows[row])
    return (int(file.images.heights[image]), int(file.images.widths[image])) if image >= 0 else (0, 0)


def true_measures(segmentation: Any, height: int, width: int) -> Optional[Measures]:
    """Area and box (x, y, w, h) of a segmentation: the mask's, or the outline's where the image's size is not known;
    ``None`` where it has none."""
    shapes, shape = measure_one(segmentation, height, width)
    return _measures(shapes, 0, shape, height, width)


def _measures(shapes: Shapes, row: int, shape: Shape, height: int, width: int) -> Optional[Measures]:
    if not shapes.sound[row]:
        return None
    if shapes.draw(row, shape, height, width):
        return float(shapes.mask_areas[row]), tuple(shapes.mask_boxes[row].tolist())
    if height and width:
        return None
    x0, y0, x1, y1 = shapes.extents[row].tolist()
    return round(float(shapes.areas[row]), 4), (x0, y0, round(x1 - x0, 4), round(y1 - y0, 4))


def plain(number: float) -> Any:
    """A number as people write it: without ``.0``."""
    return int(number) if float(number).is_integer() else float(number)


def _row_measures(file: CocoFile, row: int) -> Optional[Measures]:
    shape = file.shape(row) if np.isnan(file.shapes.mask_areas[row]) else None
    return _measures(file.shapes, row, shape, *image_size(file, row))


def area_value(file: CocoFile, row: int) -> Optional[float]:
    measures = _row_measures(file, row)
    return None if measures is None or measures[0] <= 0 else plain(measures[0])


def has_value(file: CocoFile, row: int) -> bool:
    """Whether ``area_value`` and ``box_value`` know what to write; no mask is drawn."""
    shapes, (height, width) = file.shapes, image_size(file, row)
    there = shapes.sound[row] and not shapes.flags[row] & ZERO
    return bool(there and (shapes.drawable[row] or not (height and width)))


def box_value(file: CocoFile, row: int) -> Optional[list[Any]]:
    measures = _row_measures(file, row)
    if measures is None or min(measures[1][2:]) <= 0:
        return None
    return [plain(side) for side in measures[1]]


def _set(file: CocoFile, row: int, key: str, value: Any) -> list[Edit]:
    return [] if value is None else [SetValue(file.path, pointer(row, key), value)]


def set_area(file: CocoFile, row: int) -> Sequence[Edit]:
    return _set(file, row, "area", area_value(file, row))


def set_box(file: CocoFile, row: int) -> Sequence[Edit]:
    return _set(file, row, "bbox", box_value(file, row))


def remove(file: CocoFile, row: int) -> Sequence[Edit]:
    return [Remove(file.path, pointer(row))]


def reshape(file: CocoFile, row: int, segmentation: Any, by: Optional[Sequence[Edit]] = None) -> Sequence[Edit]:
    """Give an annotation another segmentation, and the area and box that go with it where its own no longer do.

    Without a pixel left the annotation goes. ``by``: edits that make it that segmentation and touch less of the file.
    """
    size = image_size(file, row)
    shapes, shape = measure_one(segmentation, *size)
    measures = _measures(shapes, 0, shape, *size)
    edits: list[Edit] = list(by or _set(file, row, "segmentation", segmentation))
    if measures is None and shapes.sound[0] and shapes.areas[0] > 0:
        return edits  # not drawn, being too large: area and box stay
    if measures is None or measures[0] <= 0:
        return remove(file, row)
    area, (x, y, w, h) = measures
    stated = file.annotations.areas[row : row + 1]
    areas = np.array([area, shapes.areas[0]])
    if stated[0] <= 0 or not area_fits(stated, areas, shapes.perimeters).any():
        edits += _set(file, row, "area", plain(area))
    extents = np.array([[x, y, x + w, y + h], shapes.extents[0]])
    if not box_fits(file.shapes.boxes[row : row + 1], extents).any():
        edits += _set(file, row, "bbox", [plain(side) for side in (x, y, w, h)])
    return edits


def scaled(file: CocoFile, row: int, across: float, down: float, size: Sequence[int]) -> list[Edit]:
    """Scale an annotation with its image, which now has ``size`` (width, height)."""
    shape, _ = shape_of(file.segmentation(row))

    def resized(numbers: Iterable[float]) -> list[Any]:
        return [plain(round(number * factor, 4)) for number, factor in zip(numbers, cycle((across, down)))]

    edits: list[Edit] = []
    if isinstance(shape, list):
        edits += _set(file, row, "segmentation", list(map(resized, shape)))
    elif isinstance(shape, RleCode):
        edits += _set(file, row, "segmentation", _resized(shape, size))
    box, area = file.shapes.boxes[row], float(file.annotations.areas[row])
    if not np.isnan(box).any():
        edits += _set(file, row, "bbox", resized(box.tolist()))
    if area > 0:
        edits += _set(file, row, "area", plain(round(area * across * down, 4)))
    return edits


def _resized(code: RleCode, size: Sequence[int]) -> dict[str, Any]:
    """A run-length code drawn at another width and height, pixel by nearest pixel."""
    import cv2

    height, width = code.size
    runs = counts_to_runs(code.counts)
    mask = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs).reshape(width, height).T
    new = cv2.resize(np.ascontiguousarray(mask), (int(size[0]), int(size[1])), interpolation=cv2.INTER_NEAREST)
    return as_json(mask_to_rle(new > 0))


def meant_by(value: Any) -> tuple[Any, str]:
    """What a segmentation means that is not written as COCO writes it, and how it is written; ``None`` where that
    cannot be told."""
    if isinstance(value, dict):
        counts = _printed_bytes(value)
        if counts is not None:
            return {**value, "counts": counts}, "Python prints bytes"
        xs, ys = value.get("all_points_x") or [], value.get("all_points_y") or []
        if _numbers(xs) and _numbers(ys) and len(xs) == len(ys) >= 3:
            return [[number for point in zip(xs, ys) for number in point]], "VIA writes it"
        return None, ""
    if not isinstance(value, list) or not value:
        return None, ""
    if _numbers(value):
        return [value], "a list without a list around it"
    points = _points(value)
    if points is not None:
        return [points], "points"
    for read, written in ((_points, "points"), (_from_words, "numbers in quotes")):
        parts = [read(part) for part in value]
        if None not in parts:
            return parts, written
    return None, ""


def _printed_bytes(value: dict[str, Any]) -> Optional[str]:
    """The run-length string that ``"b'...'"`` stands for, where it decodes to the mask's size."""
    try:
        text = ast.literal_eval(value["counts"]).decode("ascii")
        return text if counts_to_runs(text).sum() == math.prod(value["size"]) else None
    except (AttributeError, KeyError, OverflowError, SyntaxError, TypeError, ValueError, MemoryError, DataError):
        return None


def _points(value: Any) -> Optional[list[Any]]:
    """Points ``[[x, y], ...]``, ``[[[x, y]], ...]`` or ``[{"x": x, "y": y}, ...]``, three and more, as a flat list."""
    flat: list[Any] = []
    for point in value if isinstance(value, list) and len(value) >= 3 else [None]:
        if isinstance(point, dict) and {"x", "y"} <= set(point):
            point = [point["x"], point["y"]]
        elif isinstance(point, list) and len(point) == 1:
            point = point[0]
        if not isinstance(point, list) or not _numbers(point) or len(point) != 2:
            return None
        flat += point
    return flat


def _from_words(value: Any) -> Optional[list[Any]]:
    """The numbers of a list of strings."""
    try:
        numbers = [float(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []
    except ValueError:
        return None
    whole = len(numbers) == len(value) >= 6 and all(map(math.isfinite, numbers))
    return [plain(number) for number in numbers] if whole else None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) in (int, float) for each in value)
