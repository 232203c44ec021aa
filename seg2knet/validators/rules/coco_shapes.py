"""CI018 to CI028, CI048 and CI049: segmentations made of polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from seg2knet.dataset.geometry import MAX_COORDINATE, polygons_to_rle
from seg2knet.dataset.rle import as_json, mask_to_rle, rle_to_mask
from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_measures import fractions
from seg2knet.validators.rules.images import on_right_size
from seg2knet.validators.subjects import outlines
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import ABSENT, CHUNK, EMPTY, POLYGONS
from seg2knet.validators.subjects.outlines import UNUSABLE_PART, ZERO, examine

OUTSIDE = 1e-3
"""Pixels beyond the image's edge that are rounding and not reported."""


def parts_of(file: CocoFile, row: int) -> list[list[float]]:
    """An annotation's polygons, read leniently."""
    shape = file.shape(row)
    return shape if isinstance(shape, list) else []


def written_otherwise(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: the segmentation is not written as COCO writes it but can be read, which CI003 reports."""
    rows = np.zeros(len(file.shapes.flags), bool)
    for row in file.shapes.having(outlines.FEW | outlines.RLE_BAD).tolist():
        rows[row] = repairs.meant_by(file.segmentation(row))[0] is not None
    return rows


def _faulty(file: CocoFile, bit: int) -> Iterator[tuple[int, list[list[float]], int]]:
    """(row, its polygons, index of a polygon with that fault)."""
    rows = file.shapes.having(bit).tolist()
    for start in range(0, len(rows), CHUNK):  # many at a time: for one alone NumPy takes as long as for a hundred
        some = [(row, parts_of(file, row)) for row in rows[start : start + CHUNK]]
        wrong = examine([part for _, parts in some for part in parts]).flags & bit
        first = 0
        for row, parts in some:
            for place in np.flatnonzero(wrong[first : first + len(parts)]).tolist():
                yield row, parts, place
            first += len(parts)


def _at(file: CocoFile, row: int, place: int) -> str:
    return "segmentation" if file.shapes.flags[row] & outlines.FLAT else f"segmentation/{place}"


def _part_hit(file: CocoFile, row: int, place: int, message: str, expected: str, found: str, edits: Any = ()) -> Hit:
    return file.hit(row, message, _at(file, row, place), expected=expected, found=found, edits=edits)


def _without(file: CocoFile, row: int, parts: Sequence[list[float]], bad: int) -> Sequence[Edit]:
    """Remove the polygons with these faults, and the annotation where none is left."""
    flags = examine(parts).flags
    kept = [list(part) for part, flag in zip(parts, flags) if not flag & bad]
    gone = [Remove(file.path, f"/annotations/{row}/segmentation/{place}") for place in np.flatnonzero(flags & bad)]
    return repairs.reshape(file, row, kept, gone)


@rule("CI018", "missing-segmentation", Severity.ERROR, Fix.UNSAFE, on="instances")
def missing_segmentation(file: CocoFile) -> Iterator[Hit]:
    """An annotation has no segmentation.

    Instance segmentation cannot learn from it, and mmdet stops with a `KeyError`. Detection data sets have only boxes:
    convert them with `--boxes as-polygons` if boxes will do. The unsafe fix removes the annotation.
    """
    message, expected = "an annotation without a segmentation", "polygons or an RLE"
    for row in np.flatnonzero((file.shapes.kinds == ABSENT) & file.annotations.usable).tolist():
        yield file.hit(row, message, expected=expected, found="nothing", edits=repairs.remove(file, row))


@rule("CI019", "empty-segmentation", Severity.ERROR, Fix.UNSAFE, on="instances")
def empty_segmentation(file: CocoFile) -> Iterator[Hit]:
    """An annotation's segmentation is empty: `[]`, `[[]]`, or a mask without a pixel.

    pycocotools cannot decode `[]`, and a mask without a pixel has no box. The unsafe fix removes the annotation.
    """
    message, expected = "the segmentation is empty", "polygons or an RLE"
    for row in np.flatnonzero((file.shapes.kinds == EMPTY) & file.annotations.usable).tolist():
        found, edits = shown(file.segmentation(row)), repairs.remove(file, row)
        yield file.hit(row, message, "segmentation", expected=expected, found=found, edits=edits)


@rule("CI020", "polygon-too-few-points", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_too_few_points(file: CocoFile) -> Iterator[Hit]:
    """A polygon has fewer than three points.

    It encloses nothing, and pycocotools stops the whole process on it. (Two points, four numbers: CI022.) The unsafe
    fix removes the polygon, and the annotation where it was the only one.
    """
    for row, parts, place in _faulty(file, outlines.FEW):
        if not file.once(written_otherwise)[row]:  # else CI003
            yield _short_hit(file, row, parts, place, f"a polygon of {len(parts[place]) // 2} points")


def _short_hit(file: CocoFile, row: int, parts: list[list[float]], place: int, message: str) -> Hit:
    edits = partial(_without, file, row, parts, UNUSABLE_PART)
    return _part_hit(file, row, place, message, "at least 3 points, 6 numbers", shown(parts[place]), edits)


@rule("CI021", "polygon-odd-length", Severity.ERROR, on="instances")
def polygon_odd_length(file: CocoFile) -> Iterator[Hit]:
    """A polygon has an odd number of coordinates.

    A number is missing or superfluous, and from there on x and y are swapped. pycocotools silently drops the last
    number. Which one is wrong cannot be told, so there is no fix.
    """
    for row, parts, place in _faulty(file, outlines.ODD):
        message = f"a polygon of {len(parts[place])} numbers"
        yield _part_hit(file, row, place, message, "an even number: x, y, x, y, ...", shown(parts[place]))


@rule("CI022", "polygon-four-numbers", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_four_numbers(file: CocoFile) -> Iterator[Hit]:
    """A polygon has four numbers.

    pycocotools takes such a list for a box x, y, width, height and fills it; as a polygon it is a line. The unsafe fix
    removes it, and the annotation where it was the only one.
    """
    for row, parts, place in _faulty(file, outlines.FOUR):
        yield _short_hit(file, row, parts, place, "a polygon of four numbers: pycocotools reads a box")


@rule("CI023", "non-finite-coordinate", Severity.ERROR, Fix.UNSAFE, on="instances")
def non_finite_coordinate(file: CocoFile) -> Iterator[Hit]:
    """A coordinate is not a finite number: `NaN`, `Infinity`, `null`, or beyond ten million pixels.

    pycocotools crashes the process on it, without a traceback. The unsafe fix removes the points with such a
    coordinate, the polygon where fewer than three are left, and the annotation where no polygon is.
    """
    for row, parts, place in _faulty(file, outlines.NONFINITE):
        wrong = [number for number in parts[place] if not abs(number) <= MAX_COORDINATE]
        found = ", ".join("not a number" if math.isnan(each) else f"{each:g}" for each in wrong[:4])
        message = f"{len(wrong)} of {len(parts[place])} coordinates are not finite numbers"
        yield _part_hit(file, row, place, message, "finite numbers", found, partial(_finite, file, row, parts))


def _plain(points: Any) -> list[Any]:
    """Points as a flat list of numbers as people write them."""
    return [repairs.plain(number) for number in np.ravel(points).tolist()]


def _finite(file: CocoFile, row: int, parts: Sequence[list[float]]) -> Sequence[Edit]:
    points = [np.reshape(part[: len(part) // 2 * 2], (-1, 2)) for part in parts]
    kept = [_plain(each[(np.abs(each) <= MAX_COORDINATE).all(1)]) for each in points]
    flags = examine(kept).flags
    return repairs.reshape(file, row, [part for part, flag in zip(kept, flags) if not flag & UNUSABLE_PART])


@rule("CI024", "polygon-out-of-image", Severity.WARNING, Fix.SAFE, on="instances")
def polygon_out_of_image(file: CocoFile) -> Iterator[Hit]:
    """A polygon reaches out of its image.

    By up to one pixel that is rounding; the fix moves those points onto the edge. By more, the polygon belongs to
    another image, the image was resized after it was annotated, or width and height are swapped: look at it first. The
    unsafe fix then cuts the polygon at the edge, and removes what lies completely outside.
    """
    for row in on_right_size(file, file.shapes.overshoot > OUTSIDE):
        over = float(file.shapes.overshoot[row])
        height, width = repairs.image_size(file, row)
        x0, y0, x1, y1 = file.shapes.extents[row].tolist()
        expected = f"x from 0 to {width}, y from 0 to {height}"
        found = f"x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}"
        message, small = f"a polygon reaches {over:.4g} pixels out of the image", over <= 1
        edits, fix = partial(_inside, file, row, small), Fix.SAFE if small else Fix.UNSAFE
        yield file.hit(row, message, "segmentation", expected=expected, found=found, edits=edits, fix=fix)


def _inside(file: CocoFile, row: int, small: bool) -> Sequence[Edit]:
    height, width = repairs.image_size(file, row)
    parts = parts_of(file, row)
    if small:
        return repairs.reshape(file, row, [_plain(np.clip(np.reshape(p, (-1, 2)), 0, (width, height))) for p in parts])
    import shapely

    frame = shapely.box(0, 0, width, height)
    usable = [part for part, flag in zip(parts, examine(parts).flags) if not flag & UNUSABLE_PART]
    pieces = shapely.intersection([outlines.polygon_of(part) for part in usable], frame)
    return repairs.reshape(file, row, polygons_in(pieces))


def polygons_in(geometry: Any) -> list[list[Any]]:
    """The outer outlines of Shapely's geometries, as flat polygons rounded to a hundredth of a pixel."""
    import shapely

    found = []
    for piece in shapely.get_parts(geometry):
        if piece.geom_type in ("MultiPolygon", "GeometryCollection"):
            found += polygons_in(piece)
        elif piece.geom_type == "Polygon" and piece.area >= 0.01:
            found.append(_plain(np.round(shapely.get_coordinates(piece.exterior)[:-1], 2)))
    return found


@rule("CI025", "polygon-self-intersection", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_self_intersection(file: CocoFile) -> Iterator[Hit]:
    """A polygon crosses itself.

    What lies in its loops is inside for one tool and outside for another; the area by the shoelace formula is wrong in
    any case. Usually two points were set in the wrong order. Outlines that only touch themselves, and loops of less
    than half a pixel, are not reported. The unsafe fix cuts it there and keeps what its loops enclose.
    """
    import shapely

    for row, parts, place in _faulty(file, outlines.CROSSING):
        reason = shapely.is_valid_reason(shapely.Polygon(np.asarray(parts[place]).reshape(-1, 2)))
        message = f"a polygon of {len(parts[place]) // 2} points crosses itself"
        edits = partial(_untangled, file, row, parts)
        yield _part_hit(file, row, place, message, "an outline without crossings", reason.lower() or "crossing", edits)


def _untangled(file: CocoFile, row: int, parts: Sequence[list[float]]) -> Sequence[Edit]:
    crossing = examine(parts).flags & outlines.CROSSING != 0
    pieces = (polygons_in(outlines.polygon_of(p)) if bad else [_plain(p)] for p, bad in zip(parts, crossing))
    return repairs.reshape(file, row, list(chain.from_iterable(pieces)))


@rule("CI026", "polygon-zero-area", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_zero_area(file: CocoFile) -> Iterator[Hit]:
    """A polygon encloses nothing: its points lie on a line, or no pixel falls within it.

    The mask is empty; a trainer that computes a box from it divides by zero or trains on a box without an object. The
    unsafe fix removes the polygon, and the annotation where it was the only one.
    """
    zero = (file.shapes.flags & ZERO != 0) & (file.shapes.kinds == POLYGONS) & ~file.once(fractions)["polygons"]
    thin, expected = "a polygon so thin that its mask has no pixel", "points that enclose an area"
    for row in np.flatnonzero(zero).tolist():
        parts = parts_of(file, row)
        examined = examine(parts)
        places = np.flatnonzero(examined.flags & ZERO).tolist()
        for place in places:
            edits, found = partial(_without, file, row, parts, ZERO), shown(parts[place])
            yield _part_hit(file, row, place, "a polygon without area", expected, found, edits)
        if not places:
            found, gone = f"an area of {examined.areas.sum():.3g} and no pixel", repairs.remove(file, row)
            yield file.hit(row, thin, "segmentation", expected="at least 1 pixel", found=found, edits=gone)


@rule("CI027", "polygon-duplicate-vertices", Severity.INFO, Fix.SAFE, on="instances")
def polygon_duplicate_vertices(file: CocoFile) -> Iterator[Hit]:
    """A point of a polygon is repeated (the last and the first count as neighbours).

    The mask is right; the points cost space, and some geometry libraries refuse them. The fix keeps one of each,
    unchanged.
    """
    for row, parts, place in _faulty(file, outlines.REPEATED):
        points = list(zip(parts[place][0::2], parts[place][1::2]))
        kept = [point for index, point in enumerate(points) if point != points[index + 1 - len(points)]]
        if len(kept) < 3:
            continue  # CI026
        edits = [SetValue(file.path, f"/annotations/{row}/{_at(file, row, place)}", _plain(kept))]
        message = f"{len(points) - len(kept)} points of a polygon repeat the one before"
        yield _part_hit(file, row, place, message, f"{len(kept)} points", f"{len(points)} points", edits)


@rule("CI028", "polygon-part-inside-part", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_part_inside_part(file: CocoFile) -> Iterator[Hit]:
    """One polygon of an object lies within another of it.

    COCO's polygons of one object are a union: there are no holes. An inner outline meant as a hole is silently filled.
    Holes need an RLE. The unsafe fix takes the inner polygon for a hole and writes the object as an RLE without it.
    """
    for row in file.shapes.having(outlines.INSIDE).tolist():
        parts = parts_of(file, row)
        examined = examine(parts)
        pairs = outlines.inside_pairs(parts, examined.extents, (examined.flags & (UNUSABLE_PART | ZERO)) == 0)
        for inner, outer in pairs:
            message = f"polygon {inner} lies within polygon {outer}: that does not make a hole"
            found = f"{examined.areas[inner]:.4g} of {examined.areas[outer]:.4g} square pixels"
            edits = partial(_with_holes, file, row, {hole for hole, _ in pairs}, parts)
            yield _part_hit(file, row, inner, message, "polygons beside one another, or an RLE", found, edits)


def _with_holes(file: CocoFile, row: int, holes: set[int], parts: Sequence[list[float]]) -> Sequence[Edit]:
    height, width = repairs.image_size(file, row)
    if not height or not width or file.shapes.flags[row] & (UNUSABLE_PART | outlines.WRONG_TYPE):
        return []
    groups = ([part for place, part in enumerate(parts) if (place in holes) == inner] for inner in (False, True))
    solid, empty = (rle_to_mask(polygons_to_rle(group, height, width)) for group in groups)
    return repairs.reshape(file, row, as_json(mask_to_rle(solid & ~empty)))


@rule("CI048", "polygon-spike", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_spike(file: CocoFile) -> Iterator[Hit]:
    """A polygon has a spike of no width: it goes to a point and straight back.

    The mask hardly changes, but the box reaches to the point, and trainers crop by the box. The unsafe fix removes it.
    """
    for row, parts, place in _faulty(file, outlines.SPIKE):
        if file.shapes.flags[row] & ZERO:
            continue  # CI026
        points = np.asarray(parts[place], np.float64).reshape(-1, 2)
        following = np.arange(1, len(points) + 1) % len(points)
        along_xs, along_ys = (points[following] - points).T
        tips = np.roll(outlines.spikes(along_xs, along_ys, following), 1)
        found = ", ".join(f"({x:g}, {y:g})" for x, y in points[tips][:3])
        edits = partial(repairs.reshape, file, row, [*parts[:place], _plain(points[~tips]), *parts[place + 1 :]])
        yield _part_hit(file, row, place, "a polygon with a spike of no width", "an outline without", found, edits)


@rule("CI049", "stray-polygons", Severity.INFO, on="instances")
def stray_polygons(file: CocoFile) -> Iterator[Hit]:
    """An object has a speck, a polygon of a thousandth of its area, or polygons very far apart.

    Often a slip of the mouse, or two objects in one annotation: the box spans both.
    """
    message, others = "a speck, or polygons far apart, in one object", UNUSABLE_PART | ZERO | outlines.INSIDE
    for row in np.flatnonzero(file.shapes.flags & (outlines.STRAY | others) == outlines.STRAY).tolist():
        areas = examine(parts_of(file, row)).areas
        found = f"areas {areas.min():.3g} to {areas.max():.3g}"
        yield file.hit(row, message, "segmentation", expected="polygons of one object", found=found)
