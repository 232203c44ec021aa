"""CI032 to CI038: boxes and areas, and whether they are the objects'."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Fix, Hit, Severity, rule
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import BOX_TOLERANCE, EMPTY
from seg2knet.validators.subjects.outlines import ZERO


def _malformed(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: no four finite numbers, or a negative width or height that is no corner."""
    boxes = file.boxes
    with np.errstate(invalid="ignore"):
        return file.annotations.usable & (np.isnan(boxes[:, 0]) | (boxes[:, 2:] < 0).any(1))


def _xyxy(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: as corners x0, y0, x1, y1 the box fits the object, as x, y, width, height it does not."""
    shapes = file.shapes
    found = np.zeros(len(shapes.boxes), bool)
    rows = np.flatnonzero(~shapes.box_fits)
    boxes, masks = shapes.boxes[rows], shapes.mask_boxes[rows]
    with np.errstate(invalid="ignore"):
        corners = (np.abs(boxes - shapes.extents[rows]) <= BOX_TOLERANCE).all(1)
        in_mask = np.concatenate([masks[:, :2], masks[:, :2] + masks[:, 2:]], 1)
        corners |= (np.abs(boxes - in_mask) <= BOX_TOLERANCE).all(1)
    found[rows] = corners
    return found


def _nothing_there(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: the object has no pixel, which other rules say."""
    return (file.shapes.kinds == EMPTY) | (file.shapes.flags & ZERO != 0)


@rule("CI032", "bbox-malformed", Severity.ERROR, Fix.SAFE, on="instances")
def bbox_malformed(file: CocoFile) -> Iterator[Hit]:
    """The box is missing, or is not four finite numbers x, y, width, height with a width and height from 0 up.

    mmdet stops with a `KeyError` or an `IndexError`, or drops the object in silence.

    The fix writes the box of the object's mask.
    """
    for row in np.flatnonzero(file.once(_malformed)).tolist():
        value = file.bbox(row)
        there = bool(file.shapes.has_box[row]) and value is not None
        yield file.hit(
            row,
            "the box is not x, y, width, height" if there else "an annotation without a box",
            "bbox",
            expected="four finite numbers x, y, width, height",
            found=shown(value) if there else "nothing",
            edits=(partial(repairs.set_box, file, row)) if file.shapes.sound[row] else (),
        )


@rule("CI033", "bbox-smaller-than-one-pixel", Severity.ERROR, Fix.UNSAFE, on="instances")
def bbox_smaller_than_one_pixel(file: CocoFile) -> Iterator[Hit]:
    """The box is less than one pixel wide or high.

    mmdet drops such an object in silence (`if w < 1 or h < 1: continue`).

    Where the object itself is larger the box is wrong, and the fix, safe then, writes the mask's box. Else the unsafe
    fix takes the annotation out.
    """
    boxes, shapes = file.boxes, file.shapes
    with np.errstate(invalid="ignore"):
        small = ((boxes[:, 2:] >= 0) & (boxes[:, 2:] < 1)).any(1) & (boxes[:, 2:] >= 0).all(1)
    for row in np.flatnonzero(small & ~file.once(_nothing_there)).tolist():
        larger = bool(shapes.sound[row]) and not shapes.box_fits[row]
        value = repairs.box_value(file, row) if shapes.sound[row] else None
        mend = value is not None and min(value[2:]) >= 1
        yield file.hit(
            row,
            "a box of less than one pixel, which mmdet drops" + (": it is not the object's" if larger else ""),
            "bbox",
            expected="at least 1 pixel wide and high" if value is None else shown(value),
            found=shown(file.bbox(row)),
            edits=(partial(repairs.set_box, file, row)) if mend else repairs.remove(file, row),
            fix=Fix.SAFE if mend else Fix.UNSAFE,
        )


@rule("CI034", "bbox-not-matching-segmentation", Severity.WARNING, Fix.SAFE, on="instances")
def bbox_not_matching_segmentation(file: CocoFile) -> Iterator[Hit]:
    """The box is not the box of the segmentation.

    Trainers crop, assign and drop objects by their box, and detection metrics are computed with it: a box that is too
    small hides part of the object. Usually the polygon was edited and the box was not, or the picture was resized.

    A box is taken for right when each side is within 1.5 pixels of the polygon's extents (as they are, or cut at the
    picture's edge) or of the box that pycocotools gives the mask: floats as in COCO's own files, whole pixels, and one
    pixel more all pass.

    The fix writes the box of the mask.
    """
    wrong = ~file.shapes.box_fits & ~file.once(_malformed) & ~file.once(_xyxy)
    for row in np.flatnonzero(wrong).tolist():
        value = repairs.box_value(file, row)
        yield file.hit(
            row,
            "the box is not that of the segmentation",
            "bbox",
            expected=shown(value) if value is not None else None,
            found=shown(file.bbox(row)),
            edits=(partial(repairs.set_box, file, row)) if value is not None else (),
        )


@rule("CI035", "bbox-looks-xyxy", Severity.ERROR, Fix.SAFE, on="instances")
def bbox_looks_xyxy(file: CocoFile) -> Iterator[Hit]:
    """The box is written as two corners, x0, y0, x1, y1; COCO wants x, y, width, height.

    Read as COCO reads it, it reaches far out of the object, often out of the picture. It is told by the segmentation:
    the corners fit it, the width and height do not.

    The fix writes the box of the mask.
    """
    for row in np.flatnonzero(file.once(_xyxy)).tolist():
        yield file.hit(
            row,
            "the box is written as two corners",
            "bbox",
            expected=shown(repairs.box_value(file, row)) + " (x, y, width, height)",
            found=shown(file.bbox(row)) + " (x0, y0, x1, y1)",
            edits=partial(repairs.set_box, file, row),
        )


@rule("CI036", "area-missing", Severity.ERROR, Fix.SAFE, on="instances")
def area_missing(file: CocoFile) -> Iterator[Hit]:
    """The area is missing, or is no number.

    pycocotools' evaluation stops with `KeyError: 'area'`, hours after training began.

    The fix writes the number of the mask's pixels.
    """
    table = file.annotations
    wrong = {fault.pointer for fault in file.reading.faults}
    for row in np.flatnonzero(np.isnan(table.areas) & table.usable).tolist():
        if f"/annotations/{row}/area" in wrong:
            continue
        value = repairs.area_value(file, row) if file.shapes.sound[row] else None
        yield file.hit(
            row,
            "an annotation without an area",
            "area",
            expected=str(value) if value is not None else "a number above 0",
            found="nothing of use",
            edits=(partial(repairs.set_area, file, row)) if value is not None else (),
        )


@rule("CI037", "area-not-matching-segmentation", Severity.WARNING, Fix.SAFE, on="instances")
def area_not_matching_segmentation(file: CocoFile) -> Iterator[Hit]:
    """The area is not the area of the segmentation.

    COCO's figures for small, medium and large objects sort objects by this number, whatever the mask is. Often it is
    the area of the box, or of the object before the picture was resized.

    An area is taken for right within half the outline's length (that much tools differ in which pixels of the border
    they count) and 1 pixel and 1 % of the area that the polygons enclose, or of the mask's pixels.

    The fix writes the number of the mask's pixels.
    """
    for row in np.flatnonzero(~file.shapes.area_fits).tolist():
        value = repairs.area_value(file, row)
        yield file.hit(
            row,
            "the area is not that of the segmentation",
            "area",
            expected=str(value) if value is not None else None,
            found=f"{repairs.plain(float(file.annotations.areas[row]))}",
            edits=(partial(repairs.set_area, file, row)) if value is not None else (),
        )


@rule("CI038", "area-non-positive", Severity.ERROR, Fix.SAFE, on="instances")
def area_non_positive(file: CocoFile) -> Iterator[Hit]:
    """The area is 0, negative or infinite.

    mmdet drops an object whose area is not above 0 in silence.

    The fix writes the number of the mask's pixels. Where the mask has none, that is the defect (CI019, CI026).
    """
    areas = file.annotations.areas
    with np.errstate(invalid="ignore"):
        wrong = (areas <= 0) | np.isinf(areas)
    for row in np.flatnonzero(wrong & ~file.once(_nothing_there)).tolist():
        value = repairs.area_value(file, row) if file.shapes.sound[row] else None
        yield file.hit(
            row,
            "the area is not above 0: mmdet drops the object",
            "area",
            expected=str(value) if value is not None else "a number above 0",
            found=f"{areas[row]:g}",
            edits=(partial(repairs.set_area, file, row)) if value is not None else (),
        )
