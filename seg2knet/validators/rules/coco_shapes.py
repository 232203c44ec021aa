"""CI018 to CI028: segmentations made of polygons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import ABSENT, EMPTY, POLYGONS, USELESS
from seg2knet.validators.subjects.outlines import (
    CROSSING,
    FEW,
    FLAT,
    FOUR,
    INSIDE,
    NONFINITE,
    ODD,
    REPEATED,
    UNUSABLE_PART,
    WRONG_TYPE,
    ZERO,
    examine,
    inside_pairs,
    polygon_of,
    shape_of,
)

OUTSIDE = 1e-3
"""Pixels beyond the picture's edge that are rounding and no finding."""


def parts_of(file: CocoFile, row: int) -> list[list[float]]:
    """An annotation's polygons, whatever stands there read by goodwill."""
    shape, _ = shape_of(file.segmentation(row))
    return shape if isinstance(shape, list) else []


def _faulty(file: CocoFile, bit: int) -> Iterator[tuple[int, list[list[float]], list[int]]]:
    """(row, its polygons, the indices of those with that fault)."""
    for row in file.shapes.having(bit).tolist():
        parts = parts_of(file, row)
        places = np.flatnonzero(examine(parts).flags & bit).tolist() if parts else []
        if places:
            yield row, parts, places


def _at(file: CocoFile, row: int, place: int) -> str:
    return "segmentation" if file.shapes.flags[row] & FLAT else f"segmentation/{place}"


def _without(file: CocoFile, row: int, parts: Sequence[list[float]], bad: int) -> Callable[[], Sequence[Edit]]:
    """Edits that take the parts with these faults out, and the annotation where none is left."""

    def edits() -> Sequence[Edit]:
        flags = examine(parts).flags
        kept = [list(part) for part, flag in zip(parts, flags) if not flag & bad]
        gone = [Remove(file.path, f"/annotations/{row}/segmentation/{place}") for place in np.flatnonzero(flags & bad)]
        return repairs.reshape(file, row, kept, gone)

    return edits


@rule("CI018", "missing-segmentation", Severity.ERROR, Fix.UNSAFE, on="instances")
def missing_segmentation(file: CocoFile) -> Iterator[Hit]:
    """An annotation has no segmentation.

    Instance segmentation has nothing to learn from it, and mmdet stops with a `KeyError`. Sets for detection have
    boxes alone: convert them with `--boxes as-polygons` if boxes will do.

    The unsafe fix takes the annotation out.
    """
    for row in np.flatnonzero((file.shapes.kinds == ABSENT) & file.annotations.usable).tolist():
        yield file.hit(
            row,
            "an annotation without a segmentation",
            expected="polygons or a run-length code",
            found="nothing",
            edits=repairs.remove(file, row),
        )


@rule("CI019", "empty-segmentation", Severity.ERROR, Fix.UNSAFE, on="instances")
def empty_segmentation(file: CocoFile) -> Iterator[Hit]:
    """An annotation's segmentation is empty: `[]`, `[[]]`, or a mask without a pixel.

    pycocotools cannot decode `[]` (`IndexError`), and a mask without a pixel has no box.

    The unsafe fix takes the annotation out.
    """
    for row in np.flatnonzero(file.shapes.kinds == EMPTY).tolist():
        yield file.hit(
            row,
            "the segmentation is empty",
            "segmentation",
            expected="polygons or a run-length code",
            found=shown(file.segmentation(row)),
            edits=repairs.remove(file, row),
        )


@rule("CI020", "polygon-too-few-points", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_too_few_points(file: CocoFile) -> Iterator[Hit]:
    """A polygon has fewer than three points.

    It encloses nothing, and pycocotools stops the whole process on it. (Two points, four numbers: CI022.)

    The unsafe fix takes the polygon out, and the annotation where it was the only one.
    """
    for row, parts, places in _faulty(file, FEW):
        for place in places:
            yield file.hit(
                row,
                f"a polygon of {len(parts[place]) // 2} points",
                _at(file, row, place),
                expected="at least 3 points, 6 numbers",
                found=shown(parts[place]),
                edits=_without(file, row, parts, UNUSABLE_PART),
            )


@rule("CI021", "polygon-odd-length", Severity.ERROR, on="instances")
def polygon_odd_length(file: CocoFile) -> Iterator[Hit]:
    """A polygon has an odd number of coordinates.

    A number is missing or too many, and from there on x and y are swapped. pycocotools drops the last number in
    silence. Which one is wrong nobody can tell, so there is no fix.
    """
    for row, parts, places in _faulty(file, ODD):
        for place in places:
            yield file.hit(
                row,
                f"a polygon of {len(parts[place])} numbers",
                _at(file, row, place),
                expected="an even number: x, y, x, y, ...",
                found=shown(parts[place]),
            )


@rule("CI022", "polygon-four-numbers", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_four_numbers(file: CocoFile) -> Iterator[Hit]:
    """A polygon has four numbers.

    pycocotools takes such a list for a box x, y, width, height and fills it; as a polygon it is a line.

    The unsafe fix takes it out, and the annotation where it was the only one.
    """
    for row, parts, places in _faulty(file, FOUR):
        for place in places:
            yield file.hit(
                row,
                "a polygon of four numbers, which pycocotools reads as a box",
                _at(file, row, place),
                expected="at least 3 points, 6 numbers",
                found=shown(parts[place]),
                edits=_without(file, row, parts, UNUSABLE_PART),
            )


@rule("CI023", "non-finite-coordinate", Severity.ERROR, Fix.UNSAFE, on="instances")
def non_finite_coordinate(file: CocoFile) -> Iterator[Hit]:
    """A coordinate is no finite number: `NaN`, `Infinity`, `null`, or beyond ten million pixels.

    pycocotools crashes the process on it, without a traceback.

    The unsafe fix takes the points out that have such a coordinate, the polygon where fewer than three are left, and
    the annotation where no polygon is.
    """
    for row, parts, places in _faulty(file, NONFINITE):
        for place in places:
            wrong = [number for number in parts[place] if not abs(number) <= 1e7]
            yield file.hit(
                row,
                f"{len(wrong)} of {len(parts[place])} coordinates are no finite numbers",
                _at(file, row, place),
                expected="finite numbers",
                found=", ".join("not a number" if math.isnan(each) else f"{each:g}" for each in wrong[:4]),
                edits=partial(_finite, file, row, parts),
            )


def _finite(file: CocoFile, row: int, parts: Sequence[list[float]]) -> Sequence[Edit]:
    kept = []
    for part in parts:
        points = zip(part[0::2], part[1::2])
        finite = [point for point in points if all(abs(each) <= 1e7 for each in point)]
        kept.append([repairs.plain(number) for point in finite for number in point])
    flags = examine(kept).flags
    return repairs.reshape(file, row, [part for part, flag in zip(kept, flags) if not flag & UNUSABLE_PART])


@rule("CI024", "polygon-out-of-image", Severity.WARNING, Fix.SAFE, on="instances")
def polygon_out_of_image(file: CocoFile) -> Iterator[Hit]:
    """A polygon reaches out of its picture.

    By up to one pixel that is rounding; the fix moves those points onto the edge. By more, either the polygon belongs
    to another picture, the picture was resized after it was annotated, or width and height are swapped: look at it
    first. The unsafe fix then cuts the polygon at the edge, and takes out what lies outside as a whole.
    """
    for row in np.flatnonzero(file.shapes.overshoot > OUTSIDE).tolist():
        over = float(file.shapes.overshoot[row])
        height, width = repairs.image_size(file, row)
        x0, y0, x1, y1 = file.shapes.extents[row].tolist()
        small = over <= 1
        yield file.hit(
            row,
            f"a polygon reaches {over:.4g} pixels out of the picture",
            "segmentation",
            expected=f"x from 0 to {width}, y from 0 to {height}",
            found=f"x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}",
            edits=partial(_inside, file, row, small),
            fix=Fix.SAFE if small else Fix.UNSAFE,
        )


def _inside(file: CocoFile, row: int, small: bool) -> Sequence[Edit]:
    height, width = repairs.image_size(file, row)
    parts = parts_of(file, row)
    if small:
        kept = []
        for part in parts:
            limits = [width, height] * (len(part) // 2)
            kept.append([_moved(number, limit) for number, limit in zip(part, limits)])
        return repairs.reshape(file, row, kept)
    import shapely

    frame = shapely.box(0, 0, width, height)
    pieces: list[list[Any]] = []
    for part, flag in zip(parts, examine(parts).flags):
        if not flag & UNUSABLE_PART:
            pieces += outlines_of(shapely.intersection(polygon_of(part), frame))
    return repairs.reshape(file, row, pieces)


def _moved(number: float, limit: int) -> Any:
    if 0 <= number <= limit:
        return repairs.plain(number)
    return 0 if number < 0 else limit


def outlines_of(geometry: Any) -> list[list[Any]]:
    """The outer outlines of whatever Shapely made, as flat polygons rounded to a hundredth of a pixel."""
    import shapely

    found = []
    for piece in shapely.get_parts(geometry):
        if piece.geom_type == "MultiPolygon" or piece.geom_type == "GeometryCollection":
            found += outlines_of(piece)
        elif piece.geom_type == "Polygon" and piece.area >= 0.01:
            points = np.round(shapely.get_coordinates(piece.exterior)[:-1], 2)
            found.append([repairs.plain(number) for number in points.ravel().tolist()])
    return found


@rule("CI025", "polygon-self-intersection", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_self_intersection(file: CocoFile) -> Iterator[Hit]:
    """A polygon crosses itself.

    What lies in its loops is inside for one tool and outside for another; the area by the shoelace formula is wrong
    in any case. Usually two points were set in the wrong order. Outlines that only touch themselves, and loops that
    make up less than half a pixel, are passed over.

    The unsafe fix cuts the polygon at the crossings and keeps what its loops enclose.
    """
    for row, parts, places in _faulty(file, CROSSING):
        for place in places:
            yield file.hit(
                row,
                f"a polygon of {len(parts[place]) // 2} points crosses itself",
                _at(file, row, place),
                expected="an outline that does not cross itself",
                found=_crossing(parts[place]),
                edits=partial(_untangled, file, row, parts),
            )


def _crossing(part: Sequence[float]) -> str:
    import shapely

    words = shapely.is_valid_reason(shapely.Polygon(np.asarray(part).reshape(-1, 2)))
    return words[0].lower() + words[1:] if words else "crossing sides"


def _untangled(file: CocoFile, row: int, parts: Sequence[list[float]]) -> Sequence[Edit]:
    kept: list[list[Any]] = []
    for part, flag in zip(parts, examine(parts).flags):
        kept += outlines_of(polygon_of(part)) if flag & CROSSING else [[repairs.plain(each) for each in part]]
    return repairs.reshape(file, row, kept)


@rule("CI026", "polygon-zero-area", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_zero_area(file: CocoFile) -> Iterator[Hit]:
    """A polygon encloses nothing: its points lie on a line, or no pixel falls within it.

    The mask is empty; a trainer that computes a box from it divides by zero or trains on a box without an object.

    The unsafe fix takes the polygon out, and the annotation where it was the only one.
    """
    for row in np.flatnonzero((file.shapes.flags & ZERO != 0) & (file.shapes.kinds == POLYGONS)).tolist():
        parts = parts_of(file, row)
        found = examine(parts)
        places = np.flatnonzero(found.flags & ZERO).tolist()
        if places:
            for place in places:
                yield file.hit(
                    row,
                    "a polygon without area",
                    _at(file, row, place),
                    expected="points that enclose an area",
                    found=shown(parts[place]),
                    edits=_without(file, row, parts, ZERO),
                )
        else:
            yield file.hit(
                row,
                "a polygon so thin that its mask has no pixel",
                "segmentation",
                expected="a mask of at least 1 pixel",
                found=f"{found.areas.sum():.3g} square pixels and no pixel in the mask",
                edits=repairs.remove(file, row),
            )


@rule("CI027", "polygon-duplicate-vertices", Severity.INFO, Fix.SAFE, on="instances")
def polygon_duplicate_vertices(file: CocoFile) -> Iterator[Hit]:
    """A point of a polygon is there twice in a row (the last and the first count as neighbours).

    No harm to the mask; it costs space, and some geometry libraries refuse it.

    The fix leaves one of each. Coordinates are not changed.
    """
    for row, parts, places in _faulty(file, REPEATED):
        lean = {place: _without_repeats(parts[place]) for place in places}
        for place in places:
            if len(lean[place]) < 6:
                continue  # a polygon on one spot or line: CI026
            count = (len(parts[place]) - len(lean[place])) // 2
            pointer = _at(file, row, place)
            yield file.hit(
                row,
                f"{count} points of a polygon repeat the one before",
                pointer,
                expected=f"{len(lean[place]) // 2} points",
                found=f"{len(parts[place]) // 2} points",
                edits=[SetValue(file.path, f"/annotations/{row}/{pointer}", lean[place])],
            )


def _without_repeats(part: Sequence[float]) -> list[Any]:
    points = list(zip(part[0::2], part[1::2]))
    kept = [point for index, point in enumerate(points) if point != points[index - 1]]
    return [repairs.plain(number) for point in kept for number in point]


@rule("CI028", "polygon-part-inside-part", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_part_inside_part(file: CocoFile) -> Iterator[Hit]:
    """One polygon of an object lies within another of it.

    COCO's polygons of one object are a union: there are no holes. An inner outline meant as a hole is filled in
    silence. Holes need a run-length code.

    The unsafe fix takes the inner polygon for a hole and writes the object as a run-length code without it.
    """
    for row in file.shapes.having(INSIDE).tolist():
        parts = parts_of(file, row)
        found = examine(parts)
        pairs = inside_pairs(parts, found.extents, (found.flags & (UNUSABLE_PART | ZERO)) == 0)
        for inner, outer in pairs:
            yield file.hit(
                row,
                f"polygon {inner} lies within polygon {outer}: a hole is not written like that",
                _at(file, row, inner),
                expected="polygons beside one another, or a run-length code",
                found=f"{found.areas[inner]:.4g} of {found.areas[outer]:.4g} square pixels",
                edits=partial(_with_holes, file, row, pairs, parts),
            )


def _with_holes(
    file: CocoFile, row: int, pairs: Sequence[tuple[int, int]], parts: Sequence[list[float]]
) -> Sequence[Edit]:
    from seg2knet.dataset.geometry import polygons_to_rle
    from seg2knet.dataset.rle import as_json, mask_to_rle, rle_to_mask

    height, width = repairs.image_size(file, row)
    if not height or not width or file.shapes.flags[row] & (UNUSABLE_PART | WRONG_TYPE):
        return []
    holes = {inner for inner, _ in pairs}
    outer = [part for place, part in enumerate(parts) if place not in holes]
    solid = rle_to_mask(polygons_to_rle(outer, height, width))
    empty = rle_to_mask(polygons_to_rle([parts[place] for place in sorted(holes)], height, width))
    rle = mask_to_rle(solid & ~empty)
    return repairs.reshape(file, row, as_json(rle))


__all__ = ["USELESS", "outlines_of", "parts_of"]
