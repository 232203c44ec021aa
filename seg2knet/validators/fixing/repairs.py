"""What fixes of several rules have in common: true areas and boxes, new shapes, removals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.rle import as_json, counts_as_bytes, counts_to_runs, mask_to_rle
from seg2knet.errors import DataError
from seg2knet.validators.model import Edit, Remove, SetValue
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import CHUNK, Shapes, area_fits, box_fits, chunks, corners_of, measure_some
from seg2knet.validators.subjects.outlines import ZERO, shape_of

Measures = tuple[float, tuple[float, float, float, float]]
EditsOfEach = Sequence[Sequence[Edit]]


def pointer(row: int, key: str = "") -> str:
    return f"/annotations/{row}" + (f"/{key}" if key else "")


class Together:
    """Fixes that are worked out many at a time, when the first of them is asked for; ``work`` takes what was given for
    each of some, and gives the edits of each."""

    def __init__(self, work: Callable[[list[Any]], EditsOfEach]) -> None:
        self._work = work
        self._given: list[Any] = []
        self._known: dict[int, Sequence[Edit]] = {}

    def of(self, given: Any) -> Callable[[], Sequence[Edit]]:
        self._given.append(given)
        return partial(self._edits, len(self._given) - 1)

    def _edits(self, place: int) -> Sequence[Edit]:
        many = CHUNK
        while place not in self._known:
            try:
                self._known.update(enumerate(self._work(self._given[place : place + many]), place))
            except Exception:  # whatever a library raises for one odd shape: it keeps no other from being fixed
                if many == 1:
                    raise
                many //= 2
        return self._known[place]


def measures(file: CocoFile, rows: Sequence[int]) -> list[Optional[Measures]]:
    """Area and box (x, y, w, h) of annotations: the mask's, or the outline's where the image's size is not known;
    ``None`` where they have none."""
    shapes = file.shapes
    for some in map(np.array, chunks(rows)):
        undrawn = some[np.isnan(shapes.mask_areas[some])]
        shapes.draw(undrawn, file.outlines(undrawn), file.sizes[undrawn])
    return [_told(shapes, row, size) for row, size in zip(rows, file.sizes[rows].tolist())]


def measures_of(segmentations: Sequence[Any], sizes: np.ndarray) -> tuple[list[Optional[Measures]], Shapes]:
    """The same of segmentations on images of these heights and widths (``(N, 2)``), and all that was measured."""
    shapes, outlines = measure_some(segmentations, sizes)
    shapes.draw(np.arange(len(outlines)), outlines, sizes)
    return [_told(shapes, row, size) for row, size in enumerate(sizes.tolist())], shapes


def _told(shapes: Shapes, row: int, size: Sequence[int]) -> Optional[Measures]:
    pixels = float(shapes.mask_areas[row])
    if not shapes.sound[row] or (all(size) and math.isnan(pixels)):
        return None
    if not math.isnan(pixels):
        return pixels, tuple(shapes.mask_boxes[row].tolist())
    x0, y0, x1, y1 = shapes.extents[row].tolist()
    return round(float(shapes.areas[row]), 4), (x0, y0, round(x1 - x0, 4), round(y1 - y0, 4))


def plain(number: float) -> Any:
    """A number as people write it: without ``.0``."""
    return int(number) if float(number).is_integer() else float(number)


def flat(points: Any) -> list[Any]:
    """Points as a flat list of numbers as people write them."""
    return [plain(number) for number in np.ravel(points).tolist()]


def has_value(file: CocoFile, row: int) -> bool:
    """Whether ``measures`` knows what to write; no mask is drawn."""
    shapes = file.shapes
    there = shapes.sound[row] and not shapes.flags[row] & ZERO
    return bool(there and (shapes.drawable[row] or not file.sizes[row].all()))


def boxes(file: CocoFile, rows: Sequence[int]) -> list[Optional[list[Any]]]:
    """True boxes, ``None`` where there is none."""
    return [list(map(plain, each[1])) if each and min(each[1][2:]) > 0 else None for each in measures(file, rows)]


def _set(file: CocoFile, row: int, key: str, value: Any) -> list[Edit]:
    return [] if value is None else [SetValue(file.path, pointer(row, key), value)]


def set_areas(file: CocoFile, rows: Sequence[int]) -> EditsOfEach:
    areas = (plain(each[0]) if each and each[0] > 0 else None for each in measures(file, rows))
    return [_set(file, row, "area", area) for row, area in zip(rows, areas)]


def set_boxes(file: CocoFile, rows: Sequence[int]) -> EditsOfEach:
    return [_set(file, row, "bbox", box) for row, box in zip(rows, boxes(file, rows))]


def remove(file: CocoFile, row: int) -> Sequence[Edit]:
    return [Remove(file.path, pointer(row))]


def reshape(file: CocoFile, given: Sequence[tuple[int, Any, Sequence[Edit]]]) -> EditsOfEach:
    """Give annotations another segmentation, and the area and box that go with it where their own no longer do.

    Without a pixel left an annotation goes. ``given``: rows, segmentations, and edits that make it that segmentation
    and touch less of the file.
    """
    rows = [row for row, *_ in given]
    found, shapes = measures_of([segmentation for _, segmentation, _ in given], file.sizes[rows])
    stated, said = file.annotations.areas[rows], file.shapes.boxes[rows]
    area_fit, box_fit = area_fits(stated, shapes.areas, shapes.perimeters), box_fits(said, shapes.extents)
    area_fit |= area_fits(stated, np.array([each[0] if each else np.nan for each in found]), shapes.perimeters)
    box_fit |= box_fits(said, corners_of(np.array([each[1] if each else (np.nan,) * 4 for each in found])))
    edits = []
    for place, (row, segmentation, by) in enumerate(given):
        own, measured = list(by or _set(file, row, "segmentation", segmentation)), found[place]
        if measured is not None and measured[0] > 0:
            own += [] if area_fit[place] and stated[place] > 0 else _set(file, row, "area", plain(measured[0]))
            own += [] if box_fit[place] else _set(file, row, "bbox", list(map(plain, measured[1])))
        elif measured is not None or not (shapes.sound[place] and shapes.areas[place] > 0):
            own = list(remove(file, row))  # else not drawn, being too large: area and box stay
        edits.append(own)
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
    """What a segmentation means that COCO writes otherwise, and how it is written; ``None`` where nobody can tell."""
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
        text = counts_as_bytes(value["counts"]).decode("ascii")
        printed = text != value["counts"] and counts_to_runs(text).sum() == math.prod(value["size"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, DataError):
        return None
    return text if printed else None


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
    whole = bool(numbers) and len(numbers) == len(value) >= 6 and all(map(math.isfinite, numbers))
    return [plain(number) for number in numbers] if whole else None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) in (int, float) for each in value)
