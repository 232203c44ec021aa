"""CI032 to CI038 and CI044: boxes and areas, and whether they are the objects'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.rle import as_json, counts_to_runs, mask_to_rle
from seg2knet.validators.fixing import repairs
from seg2knet.validators.fixing.repairs import Together
from seg2knet.validators.model import Edit, Fix, Hit, SetValue, Severity, rule
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile, once
from seg2knet.validators.subjects.measure import BOX_TOLERANCE, EMPTY, POLYGONS, chunks, corners_of
from seg2knet.validators.subjects.outlines import FLAT, NONFINITE, ZERO

SAME_PLACE = 0.3
"""IoU of stated box and mask's box from which both surely mean the same object."""


def _malformed(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: not four finite numbers, or a negative width or height that is not a corner."""
    boxes = file.shapes.boxes
    with np.errstate(invalid="ignore"):
        return file.annotations.usable & (np.isnan(boxes[:, 0]) | (boxes[:, 2:] < 0).any(1))


def _mask_corners(file: CocoFile, rows: Any = slice(None)) -> np.ndarray:
    """``(N, 4)``: x0, y0, x1, y1 of the mask where it was drawn, else of the outline."""
    mask = corners_of(file.shapes.mask_boxes[rows])
    return np.where(np.isnan(mask), file.shapes.extents[rows], mask)


def _xyxy(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: as corners x0, y0, x1, y1 the box fits the object, as x, y, width, height it does not."""
    fits, wrong = np.zeros(len(file.shapes.boxes), bool), np.flatnonzero(~file.shapes.box_fits)
    with np.errstate(invalid="ignore"):
        for corners in (file.shapes.extents[wrong], _mask_corners(file, wrong)):
            fits[wrong] |= (np.abs(file.shapes.boxes[wrong] - corners) <= BOX_TOLERANCE).all(1)
    return fits


def _small(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: a well-formed box of less than one pixel, of an object that has pixels."""
    sides = file.shapes.boxes[:, 2:]
    with np.errstate(invalid="ignore"):
        return (sides < 1).any(1) & (sides >= 0).all(1) & ~once(file, _nothing_there)


def _nothing_there(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: the object has no pixel, which other rules report."""
    return (file.shapes.kinds == EMPTY) | (file.shapes.flags & ZERO != 0)


class Evidence(NamedTuple):
    """What speaks for the mask, ``(N,)`` bool each."""

    suspect: np.ndarray  # the stated box and area agree with one another and not with the mask
    box_certain: np.ndarray  # a wrong box can only be the box's fault. area_certain: likewise the area.
    area_certain: np.ndarray


def evidence(file: CocoFile) -> Evidence:
    """Of mask, box and area, two that agree outvote the third; a box elsewhere than the mask outvotes nothing."""
    shapes, stated = file.shapes, file.annotations.areas
    has_area = np.isfinite(stated) & (stated > 0)
    has_box = ~np.isnan(shapes.boxes[:, 0]) & ~once(file, _malformed) & ~once(file, _small)
    corners, boxes = _mask_corners(file), corners_of(shapes.boxes)
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = np.minimum(boxes[:, 2:], corners[:, 2:]) - np.maximum(boxes[:, :2], corners[:, :2])
        common = np.clip(inner, 0, None).prod(1)
        sizes = shapes.boxes[:, 2:].prod(1)
        same_place = common / (sizes + (corners[:, 2:] - corners[:, :2]).prod(1) - common) >= SAME_PLACE
        plausible = (stated >= 0.1 * sizes) & (stated <= 1.02 * sizes + 2)
        swapped = (np.abs(boxes - shapes.extents[:, [1, 0, 3, 2]]) <= BOX_TOLERANCE).all(1)
    off = has_box & ~shapes.box_fits & ~once(file, _xyxy)
    box_certain = (~has_box | (same_place & ~swapped)) & (~has_area | shapes.area_fits)
    return Evidence(off & has_area & plausible & ~shapes.area_fits, box_certain, ~off)


@rule("CI032", "bbox-malformed", Severity.ERROR, Fix.SAFE, on="instances")
def bbox_malformed(file: CocoFile) -> Iterator[Hit]:
    """The box is missing, or is not four finite numbers x, y, width, height with a width and height from 0 up.

    mmdet stops with a `KeyError` or an `IndexError`, or silently drops the object. The fix writes the box of the
    object's mask; it is unsafe where the stated area is not the mask's.
    """
    expected, fixes = "four finite numbers x, y, width, height", Together(partial(repairs.set_boxes, file))
    for row in np.flatnonzero(once(file, _malformed)).tolist():
        message, found = "the box is not x, y, width, height", shown(file.bbox(row))
        if file.bbox(row) is None:
            message, found = "an annotation without a box", "nothing"
        edits = fixes.of(row) if file.shapes.sound[row] else ()
        fix = None if once(file, evidence).box_certain[row] else Fix.UNSAFE
        yield file.hit(row, message, "bbox", expected=expected, found=found, edits=edits, fix=fix)


@rule("CI033", "bbox-smaller-than-one-pixel", Severity.ERROR, Fix.UNSAFE, on="instances")
def bbox_smaller_than_one_pixel(file: CocoFile) -> Iterator[Hit]:
    """The box is less than one pixel wide or high.

    mmdet silently drops such an object (`if w < 1 or h < 1: continue`). Where the object itself is larger and has the
    stated area, the box is wrong and the fix, safe then, writes the mask's box. Else the unsafe fix writes it, or
    removes an annotation that is as small as its box.
    """
    shapes, fixes = file.shapes, Together(partial(repairs.set_boxes, file))
    rows = np.flatnonzero(once(file, _small) & ~once(file, fractions)["boxes"]).tolist()
    for row, value in zip(rows, repairs.boxes(file, rows)):
        larger = value is not None and min(value[2:]) >= 1
        message = "a box of less than one pixel: mmdet drops the object" + (", which is larger" if larger else "")
        expected = "at least 1 pixel wide and high" if value is None else shown(value)
        undrawn = value is None and shapes.sound[row]
        edits = fixes.of(row) if larger else () if undrawn else repairs.remove(file, row)
        fix, found = Fix.SAFE if larger and shapes.area_fits[row] else Fix.UNSAFE, shown(file.bbox(row))
        yield file.hit(row, message, "bbox", expected=expected, found=found, edits=edits, fix=fix)


@rule("CI034", "bbox-not-matching-segmentation", Severity.WARNING, Fix.SAFE, on="instances")
def bbox_not_matching_segmentation(file: CocoFile) -> Iterator[Hit]:
    """The box is not the box of the segmentation.

    Trainers crop, assign and drop objects by their box, and detection metrics use it: a box that is too small hides
    part of the object. Usually the polygon was edited and the box was not.

    A box is right when each side is within 1.5 pixels of the polygon's extents (as they are, or cut at the image's
    edge) or of the box that pycocotools gives the mask: floats, whole pixels and one pixel more all pass.

    Where the two overlap and the area is the mask's, the fix writes the box of the mask. Where they lie apart, or box
    and area agree against the mask, the mask is the suspect, and there is no safe fix: x and y swapped, an RLE in row
    order or without its leading 0 are named, and the unsafe fix rewrites the mask.
    """
    wrong = ~file.shapes.box_fits & ~once(file, _malformed) & ~once(file, _xyxy) & ~once(file, _small)
    rows = np.flatnonzero(wrong & ~once(file, fractions)["boxes"]).tolist()
    causes: dict[int, tuple[str, Any]] = {}
    for some in chunks([row for row in rows if not once(file, evidence).box_certain[row]]):
        causes.update(_causes(file, some))
    fixes, others = (Together(partial(work, file)) for work in (repairs.set_boxes, repairs.reshape))
    for row, value in zip(rows, repairs.boxes(file, rows)):
        proof, fix = once(file, evidence), None
        message, edits = "the box is not that of the segmentation", fixes.of(row)
        if not proof.box_certain[row]:
            fix = Fix.UNSAFE
            if row in causes:
                cause, segmentation = causes[row]
                message, edits = f"the mask is not where the box is: {cause}", others.of((row, segmentation, ()))
            elif proof.suspect[row]:
                message, value = "box and area agree, the mask does not: the mask is the suspect", None
            else:
                message += ": either may be wrong"
        more: dict[str, Any] = {"expected": None if value is None else shown(value), "found": shown(file.bbox(row))}
        yield file.hit(row, message, "bbox", edits=() if value is None else edits, fix=fix, **more)


def _causes(file: CocoFile, rows: Sequence[int]) -> dict[int, tuple[str, Any]]:
    """Why masks are not in their boxes, and the masks as they were meant: where another reading fits box and area."""
    readings: list[tuple[int, str, Any]] = []
    x, y, w, h = file.shapes.boxes[rows].T
    off = np.abs(file.shapes.extents[rows][:, [1, 0, 3, 2]] - np.stack((x, y, x + w, y + h), 1)).max(1)
    for row, shape, far in zip(rows, file.outlines(rows), off.tolist()):
        if isinstance(shape, RleCode):
            readings += [(row, *reading) for reading in _other_runs(shape)]
        elif shape and far <= 3 * BOX_TOLERANCE:
            parts = [repairs.flat(np.reshape(part, (-1, 2))[:, ::-1]) for part in shape]
            readings.append((row, "x and y are swapped", parts))
    found, _ = repairs.measures_of([value for *_, value in readings], file.sizes[[row for row, *_ in readings]])
    causes: dict[int, tuple[str, Any]] = {}
    for (row, name, value), measures in zip(readings, found):
        if measures is None or np.abs(np.array(measures[1]) - file.shapes.boxes[row]).max() > 2 * BOX_TOLERANCE:
            continue
        stated = file.annotations.areas[row]
        if not stated > 0 or abs(stated - measures[0]) <= 0.1 * measures[0] + 2:
            causes.setdefault(row, (name, value))
    return causes


def _other_runs(shape: RleCode) -> list[tuple[str, Any]]:
    """An RLE read in row order, with a leading 0, and both."""
    height, width = shape.size
    runs = counts_to_runs(shape.counts)
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    readings = {
        "the RLE is in row order": flat.reshape(height, width),
        "the RLE lacks its leading 0": ~flat.reshape(width, height).T,
        "the RLE is in row order and lacks its leading 0": ~flat.reshape(height, width),
    }
    return [(name, as_json(mask_to_rle(np.ascontiguousarray(mask)))) for name, mask in readings.items()]


@rule("CI035", "bbox-looks-xyxy", Severity.ERROR, Fix.SAFE, on="instances")
def bbox_looks_xyxy(file: CocoFile) -> Iterator[Hit]:
    """The box is written as two corners, x0, y0, x1, y1; COCO wants x, y, width, height.

    Read as COCO reads it, it reaches far out of the object, often out of the image. The segmentation tells: the corners
    fit it, the width and height do not. The fix writes the box of the mask.
    """
    rows, fixes = np.flatnonzero(once(file, _xyxy)).tolist(), Together(partial(repairs.set_boxes, file))
    for row, value in zip(rows, repairs.boxes(file, rows)):
        expected, found = f"{shown(value)} (x, y, width, height)", f"{shown(file.bbox(row))} (x0, y0, x1, y1)"
        message, edits = "the box is written as two corners", fixes.of(row)
        yield file.hit(row, message, "bbox", expected=expected, found=found, edits=edits)


def _area_hit(file: CocoFile, row: int, message: str, found: str, fixes: Together) -> Hit:
    edits = fixes.of(row) if repairs.has_value(file, row) else ()
    fix = None if once(file, evidence).area_certain[row] else Fix.UNSAFE

    def expected() -> str:
        values = (edit.value for edit in (edits() if callable(edits) else ()) if isinstance(edit, SetValue))
        return str(next(values, "a number above 0"))

    return file.hit(row, message, "area", expected=expected, found=found, edits=edits, fix=fix)


@rule("CI036", "area-missing", Severity.ERROR, Fix.SAFE, on="instances")
def area_missing(file: CocoFile) -> Iterator[Hit]:
    """The area is missing, or is not a number.

    pycocotools' evaluation stops with `KeyError: 'area'`, hours after training began. The fix writes the number of the
    mask's pixels; it is unsafe where the box is not the mask's.
    """
    fixes = Together(partial(repairs.set_areas, file))
    for row in np.flatnonzero(np.isnan(file.annotations.areas) & file.annotations.usable).tolist():
        if f"/annotations/{row}/area" not in file.fault_pointers:
            yield _area_hit(file, row, "an annotation without an area", "nothing usable", fixes)


@rule("CI037", "area-not-matching-segmentation", Severity.WARNING, Fix.SAFE, on="instances")
def area_not_matching_segmentation(file: CocoFile) -> Iterator[Hit]:
    """The area is not the area of the segmentation.

    COCO's figures for small, medium and large objects sort objects by this number, whatever the mask is. Often it is
    the area of the box, or of the object before the image was resized.

    An area is right within half the outline's length (by which tools differ in the border pixels they count) and 1
    pixel and 1 % of the area that the polygons enclose, or of the mask's pixels.

    The fix writes the number of the mask's pixels; it is unsafe where the box is not the mask's either. Where box
    and area agree, see CI034.
    """
    areas, fixes = file.annotations.areas, Together(partial(repairs.set_areas, file))
    wrong, message = np.flatnonzero(~file.shapes.area_fits), "the area is not that of the segmentation"
    for row in wrong[~once(file, evidence).suspect[wrong]].tolist() if len(wrong) else ():
        yield _area_hit(file, row, message, f"{repairs.plain(float(areas[row]))}", fixes)


@rule("CI038", "area-non-positive", Severity.ERROR, Fix.SAFE, on="instances")
def area_non_positive(file: CocoFile) -> Iterator[Hit]:
    """The area is 0, negative or infinite.

    mmdet silently drops an object whose area is not above 0. The fix writes the number of the mask's pixels; it is
    unsafe where the box is not the mask's. A mask without pixels is CI019 or CI026.
    """
    areas, fixes = file.annotations.areas, Together(partial(repairs.set_areas, file))
    with np.errstate(invalid="ignore"):
        wrong = (areas <= 0) | np.isinf(areas)
    for row in np.flatnonzero(wrong & ~once(file, _nothing_there)).tolist():
        yield _area_hit(file, row, "the area is not above 0: mmdet drops the object", f"{areas[row]:g}", fixes)


def fractions(file: CocoFile) -> dict[str, np.ndarray]:
    """Rows whose ``polygons``, and whose ``boxes``, are fractions of the image's size, ``(N,)`` bool each: where most
    of a file's lie between 0 and 1 on images that are much larger."""
    shapes, rows = file.shapes, file.image_rows
    large = np.append(np.minimum(file.images.widths, file.images.heights), 0)[rows] >= 16  # 0 without an image
    with np.errstate(invalid="ignore"):
        polygons = (shapes.extents >= -0.01).all(1) & (shapes.extents <= 1.01).all(1)
        boxes = (shapes.boxes >= 0).all(1) & (shapes.boxes <= 1.01).all(1) & (shapes.boxes[:, 2:] < 1).any(1)
    maybe = {"polygons": (polygons, large & (shapes.kinds == POLYGONS)), "boxes": (boxes, large)}
    likely = {things: (own & of, max(3, 0.5 * of.sum())) for things, (own, of) in maybe.items()}
    return {things: own & (own.sum() >= least) for things, (own, least) in likely.items()}


@rule("CI044", "coordinates-are-fractions", Severity.ERROR, Fix.UNSAFE, on="instances")
def coordinates_are_fractions(file: CocoFile) -> Iterator[Hit]:
    """Polygons or boxes are fractions of the image's size, between 0 and 1, and not pixels.

    YOLO and some exports write them like that. Read as pixels, every mask is empty and every box less than a pixel. The
    unsafe fix multiplies them by the width and height, and an area that is a fraction by both.
    """
    others_first = (file.shapes.flags[once(file, fractions)["polygons"]] & (FLAT | NONFINITE)).any()
    for things, rows in once(file, fractions).items():
        count = int(np.count_nonzero(rows))
        if count:
            message = f"{count:,} {things} are fractions of the image's size"
            edits = () if others_first else partial(_multiplied, file, things)  # CI003, CI023
            found = f"numbers between 0 and 1 in {count:,} of {len(rows):,} annotations"
            yield Hit(message, file.path, "/annotations", expected="pixels", found=found, edits=edits)


def _multiplied(file: CocoFile, things: str) -> Sequence[Edit]:
    edits: list[Edit] = []
    for row in np.flatnonzero(once(file, fractions)[things]).tolist():
        height, width = file.sizes[row].tolist()
        key, parts = ("bbox", [file.bbox(row)]) if things == "boxes" else ("segmentation", file.segmentation(row))
        scaled = [[repairs.plain(round(n * (width, height)[at % 2], 4)) for at, n in enumerate(part)] for part in parts]
        edits.append(SetValue(file.path, repairs.pointer(row, key), scaled[0] if things == "boxes" else scaled))
        area = float(file.annotations.areas[row])
        if things == "polygons" and 0 < area < 1:
            pixels = repairs.plain(round(area * width * height, 4))
            edits.append(SetValue(file.path, repairs.pointer(row, "area"), pixels))
    return edits
