"""What fixes of several rules have in common: true areas and boxes, new shapes, removals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.rle import as_json, counts_to_runs, mask_to_rle
from seg2knet.validators.model import Edit, Remove, SetValue
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import BROKEN, POLYGONS, _area_fits, _box_fits, mask_measures, measure_one
from seg2knet.validators.subjects.outlines import shape_of

Measures = tuple[float, tuple[float, float, float, float]]


def pointer(row: int, key: str = "") -> str:
    return f"/annotations/{row}" + (f"/{key}" if key else "")


def image_size(file: CocoFile, row: int) -> tuple[int, int]:
    """Height and width of an annotation's picture, 0 where not known."""
    image = int(file.image_rows[row])
    return (int(file.images.heights[image]), int(file.images.widths[image])) if image >= 0 else (0, 0)


def true_measures(segmentation: Any, height: int, width: int) -> Optional[Measures]:
    """Area and box (x, y, w, h) of a segmentation: the mask's, or the outline's where the picture's size is not
    known; ``None`` where it has none."""
    found = mask_measures(segmentation, height, width)
    if found is not None:
        return found[0], tuple(found[1])  # type: ignore[return-value]
    one = measure_one(segmentation, height, width)
    if one.kinds[0] != POLYGONS or one.flags[0] & BROKEN or np.isnan(one.areas[0]) or (height and width):
        return None
    x0, y0, x1, y1 = one.extents[0].tolist()
    return round(float(one.areas[0]), 4), (x0, y0, round(x1 - x0, 4), round(y1 - y0, 4))


def plain(number: float) -> Any:
    """A number as people write it: without ``.0``."""
    return int(number) if float(number).is_integer() else float(number)


def area_value(file: CocoFile, row: int) -> Optional[float]:
    measures = true_measures(file.segmentation(row), *image_size(file, row))
    return None if measures is None or measures[0] <= 0 else plain(measures[0])


def box_value(file: CocoFile, row: int) -> Optional[list[Any]]:
    measures = true_measures(file.segmentation(row), *image_size(file, row))
    if measures is None or measures[1][2] <= 0 or measures[1][3] <= 0:
        return None
    return [plain(each) for each in measures[1]]


def set_area(file: CocoFile, row: int) -> Sequence[Edit]:
    value = area_value(file, row)
    return [] if value is None else [SetValue(file.path, pointer(row, "area"), value)]


def set_box(file: CocoFile, row: int) -> Sequence[Edit]:
    value = box_value(file, row)
    return [] if value is None else [SetValue(file.path, pointer(row, "bbox"), value)]


def remove(file: CocoFile, row: int) -> Sequence[Edit]:
    return [Remove(file.path, pointer(row))]


def reshape(file: CocoFile, row: int, segmentation: Any, by: Optional[Sequence[Edit]] = None) -> Sequence[Edit]:
    """Give an annotation another segmentation, and the area and box that go with it where its own no longer do.

    Without a pixel left the annotation goes. ``by``: edits that make it that segmentation and touch less of the file.
    """
    height, width = image_size(file, row)
    measures = true_measures(segmentation, height, width) if segmentation else None
    if measures is None or measures[0] <= 0:
        return remove(file, row)
    edits: list[Edit] = list(by or [SetValue(file.path, pointer(row, "segmentation"), segmentation)])
    area, box = measures
    one = measure_one(segmentation, height, width)
    stated = file.annotations.areas[row : row + 1]
    areas = [np.array([area]), one.areas]
    if not any(_area_fits(stated, each, one.perimeters).all() for each in areas) or stated[0] <= 0:
        edits.append(SetValue(file.path, pointer(row, "area"), plain(area)))
    x, y, w, h = box
    boxes = [np.array([[x, y, x + w, y + h]]), one.extents]
    stated_box = file.boxes[row : row + 1]
    if not any(_box_fits(stated_box, each).all() for each in boxes):
        edits.append(SetValue(file.path, pointer(row, "bbox"), [plain(each) for each in box]))
    return edits


def scaled(file: CocoFile, row: int, across: float, down: float, size: Sequence[int]) -> list[Edit]:
    """Scale an annotation with its image, which now has ``size`` (width, height)."""
    shape, _ = shape_of(file.segmentation(row))
    factors = (across, down)
    edits: list[Edit] = []
    if isinstance(shape, list):
        parts = [[plain(round(number * factors[place % 2], 4)) for place, number in enumerate(p)] for p in shape]
        edits.append(SetValue(file.path, pointer(row, "segmentation"), parts))
    elif isinstance(shape, RleCode):
        edits.append(SetValue(file.path, pointer(row, "segmentation"), _resized(shape, size)))
    box, area = file.boxes[row], float(file.annotations.areas[row])
    if not np.isnan(box).any():
        value = [plain(round(float(side) * factors[place % 2], 4)) for place, side in enumerate(box)]
        edits.append(SetValue(file.path, pointer(row, "bbox"), value))
    if area > 0:
        edits.append(SetValue(file.path, pointer(row, "area"), plain(round(area * across * down, 4))))
    return edits


def _resized(code: RleCode, size: Sequence[int]) -> dict[str, Any]:
    """A run-length code drawn at another width and height, pixel by nearest pixel."""
    import cv2

    height, width = code.size
    runs = counts_to_runs(code.counts)
    mask = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs).reshape(width, height).T
    new = cv2.resize(np.ascontiguousarray(mask), (int(size[0]), int(size[1])), interpolation=cv2.INTER_NEAREST)
    return as_json(mask_to_rle(new > 0))
