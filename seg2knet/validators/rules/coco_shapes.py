"""CI018 to CI028, CI048 and CI049: segmentations made of polygons."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from seg2knet.dataset.geometry import MAX_COORDINATE, polygons_to_rle
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import as_json, mask_to_rle, rle_to_mask
from seg2knet.validators.fixing import repairs
from seg2knet.validators.fixing.repairs import EditsOfEach, Together
from seg2knet.validators.model import Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_measures import fractions
from seg2knet.validators.rules.images import on_right_size
from seg2knet.validators.subjects import outlines
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile, once
from seg2knet.validators.subjects.measure import ABSENT, EMPTY, POLYGONS, chunks
from seg2knet.validators.subjects.outlines import UNUSABLE_PART, ZERO, examine

Parts = list[list[float]]
OUTSIDE = 1e-3
"""Pixels beyond the image's edge that are rounding and not reported."""


def parts_of(file: CocoFile, rows: Sequence[int]) -> list[Parts]:
    """Annotations' polygons, read leniently."""
    return [shape if isinstance(shape, list) else [] for shape in file.outlines(rows)]


def written_otherwise(file: CocoFile) -> np.ndarray:
    """``(N,)`` bool: the segmentation is not written as COCO writes it but can be read, which CI003 reports."""
    rows = np.zeros(len(file.shapes.flags), bool)
    for row in file.shapes.having(outlines.FEW | outlines.RLE_BAD).tolist():
        rows[row] = repairs.meant_by(file.segmentation(row))[0] is not None
    return rows


def _examined(file: CocoFile, rows: np.ndarray, every: bool = False) -> Iterator[tuple[int, Parts, np.ndarray]]:
    """(row, its polygons, their flags): those of an only polygon are the annotation's, unless ``every`` is wanted."""
    for some in chunks(rows.tolist()):
        shapes = parts_of(file, some)
        anew = [every or len(parts) > 1 for parts in shapes]
        flags = examine([part for parts, again in zip(shapes, anew) if again for part in parts]).flags
        for row, parts, again in zip(some, shapes, anew):
            yield row, parts, flags[: len(parts)] if again else file.shapes.flags[row : row + 1]
            flags = flags[len(parts) :] if again else flags


def _faulty(file: CocoFile, bit: int) -> Iterator[tuple[int, Parts, np.ndarray, int]]:
    """(row, its polygons, their flags, index of a polygon with that fault)."""
    for row, parts, flags in _examined(file, file.shapes.having(bit)):
        yield from ((row, parts, flags, place) for place in np.flatnonzero(flags & bit).tolist())


def _at(file: CocoFile, row: int, place: int) -> str:
    return "segmentation" if file.shapes.flags[row] & outlines.FLAT else f"segmentation/{place}"


def _part_hit(file: CocoFile, row: int, place: int, message: str, expected: str, found: str, edits: Any = ()) -> Hit:
    return file.hit(row, message, _at(file, row, place), expected=expected, found=found, edits=edits)


def _without(file: CocoFile, bad: int, given: Sequence[tuple[int, Parts, np.ndarray]]) -> EditsOfEach:
    """Remove the polygons with these faults, and the annotation where none is left."""
    new = []
    for row, parts, flags in given:
        kept = [part for part, flag in zip(parts, flags) if not flag & bad]
        places = np.flatnonzero(flags & bad).tolist()
        gone = [Remove(file.path, f"/annotations/{row}/segmentation/{place}") for place in places]
        new.append((row, kept, gone))
    return repairs.reshape(file, new)


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
    fixes, expected = Together(partial(_without, file, UNUSABLE_PART)), "at least 3 points, 6 numbers"
    for row, parts, flags, place in _faulty(file, outlines.FEW):
        if not once(file, written_otherwise)[row]:  # else CI003
            message, edits = f"a polygon of {len(parts[place]) // 2} points", fixes.of((row, parts, flags))
            yield _part_hit(file, row, place, message, expected, shown(parts[place]), edits)


@rule("CI021", "polygon-odd-length", Severity.ERROR, on="instances")
def polygon_odd_length(file: CocoFile) -> Iterator[Hit]:
    """A polygon has an odd number of coordinates.

    A number is missing or superfluous, and from there on x and y are swapped. pycocotools silently drops the last
    number. Which one is wrong cannot be told, so there is no fix.
    """
    for row, parts, _, place in _faulty(file, outlines.ODD):
        message = f"a polygon of {len(parts[place])} numbers"
        yield _part_hit(file, row, place, message, "an even number: x, y, x, y, ...", shown(parts[place]))


@rule("CI022", "polygon-four-numbers", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_four_numbers(file: CocoFile) -> Iterator[Hit]:
    """A polygon has four numbers.

    pycocotools takes such a list for a box x, y, width, height and fills it; as a polygon it is a line. The unsafe fix
    removes it, and the annotation where it was the only one.
    """
    fixes, expected = Together(partial(_without, file, UNUSABLE_PART)), "at least 3 points, 6 numbers"
    message = "a polygon of four numbers: pycocotools reads a box"
    for row, parts, flags, place in _faulty(file, outlines.FOUR):
        yield _part_hit(file, row, place, message, expected, shown(parts[place]), fixes.of((row, parts, flags)))


@rule("CI023", "non-finite-coordinate", Severity.ERROR, Fix.UNSAFE, on="instances")
def non_finite_coordinate(file: CocoFile) -> Iterator[Hit]:
    """A coordinate is not a finite number: `NaN`, `Infinity`, `null`, or beyond ten million pixels.

    pycocotools crashes the process on it, without a traceback. The unsafe fix removes the points with such a
    coordinate, the polygon where fewer than three are left, and the annotation where no polygon is.
    """
    fixes = Together(partial(_finite, file))
    for row, parts, _, place in _faulty(file, outlines.NONFINITE):
        wrong = [number for number in parts[place] if not abs(number) <= MAX_COORDINATE]
        found = ", ".join("not a number" if math.isnan(each) else f"{each:g}" for each in wrong[:4])
        message = f"{len(wrong)} of {len(parts[place])} coordinates are not finite numbers"
        yield _part_hit(file, row, place, message, "finite numbers", found, fixes.of((row, parts)))


def _finite(file: CocoFile, given: Sequence[tuple[int, Parts]]) -> EditsOfEach:
    new = []
    for row, parts in given:
        points = [[p for p in zip(part[::2], part[1::2]) if all(abs(n) <= MAX_COORDINATE for n in p)] for part in parts]
        new.append((row, [repairs.flat(each) for each in points if len(each) >= 3], ()))
    return repairs.reshape(file, new)


@rule("CI024", "polygon-out-of-image", Severity.WARNING, Fix.SAFE, on="instances")
def polygon_out_of_image(file: CocoFile) -> Iterator[Hit]:
    """A polygon reaches out of its image.

    By up to one pixel that is rounding; the fix moves those points onto the edge. By more, the polygon belongs to
    another image, the image was resized after it was annotated, or width and height are swapped: look at it first. The
    unsafe fix then cuts the polygon at the edge, and removes what lies completely outside.
    """
    onto_edge, cut = (Together(partial(work, file)) for work in (_onto_edge, _cut))
    for row in on_right_size(file, file.shapes.overshoot > OUTSIDE):
        over = float(file.shapes.overshoot[row])
        height, width = file.sizes[row].tolist()
        x0, y0, x1, y1 = file.shapes.extents[row].tolist()
        expected = f"x from 0 to {width}, y from 0 to {height}"
        found = f"x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}"
        message, small = f"a polygon reaches {over:.4g} pixels out of the image", over <= 1
        fixes, fix = (onto_edge, Fix.SAFE) if small else (cut, Fix.UNSAFE)
        # With a broken polygon beside it there is no telling what is left: CI020 to CI023 come first.
        edits = () if small and not file.shapes.sound[row] else fixes.of(row)
        yield file.hit(row, message, "segmentation", expected=expected, found=found, edits=edits, fix=fix)


def _onto_edge(file: CocoFile, rows: Sequence[int]) -> EditsOfEach:
    new = []
    for row, parts in zip(rows, parts_of(file, rows)):
        edge = file.sizes[row][::-1]
        new.append((row, [repairs.flat(np.clip(np.reshape(part, (-1, 2)), 0, edge)) for part in parts], ()))
    return repairs.reshape(file, new)


def _cut(file: CocoFile, rows: Sequence[int]) -> EditsOfEach:
    import shapely

    examined = _examined(file, np.array(rows))
    usable = [(row, p) for row, parts, flags in examined for p, flag in zip(parts, flags) if not flag & UNUSABLE_PART]
    heights, widths = file.sizes[[row for row, _ in usable]].T
    pieces = shapely.intersection(outlines.polygons_of([p for _, p in usable]), shapely.box(0, 0, widths, heights))
    left: dict[int, list[list[Any]]] = {row: [] for row in rows}
    for (row, _), own in zip(usable, polygons_in(pieces)):
        left[row] += own
    return repairs.reshape(file, [(row, parts, ()) for row, parts in left.items()])


def polygons_in(geometries: Any) -> list[list[list[Any]]]:
    """The outer outlines in each of Shapely's geometries, as flat polygons rounded to a hundredth of a pixel."""
    import shapely

    pieces, owners = shapely.get_parts(geometries, return_index=True)
    while (kinds := shapely.get_type_id(pieces)).max(initial=0) > shapely.GeometryType.POLYGON:  # have parts again
        pieces, inner = shapely.get_parts(pieces, return_index=True)
        owners = owners[inner]
    good = (kinds == shapely.GeometryType.POLYGON) & (shapely.area(pieces) >= 0.01)
    points, rings = shapely.get_coordinates(shapely.get_exterior_ring(pieces[good]), return_index=True)
    found: list[list[list[Any]]] = [[] for _ in geometries]
    for owner, ring in zip(owners[good].tolist(), np.split(np.round(points, 2), np.flatnonzero(np.diff(rings)) + 1)):
        found[owner].append(repairs.flat(ring[:-1]))
    return found


@rule("CI025", "polygon-self-intersection", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_self_intersection(file: CocoFile) -> Iterator[Hit]:
    """A polygon crosses itself.

    What lies in its loops is inside for one tool and outside for another; the area by the shoelace formula is wrong in
    any case. Usually two points were set in the wrong order. Outlines that only touch themselves, and loops of less
    than half a pixel, are not reported. The unsafe fix cuts it there and keeps what its loops enclose.
    """
    import shapely

    fixes = Together(partial(_untangled, file))
    for row, parts, flags, place in _faulty(file, outlines.CROSSING):
        reason = shapely.is_valid_reason(shapely.Polygon(np.asarray(parts[place]).reshape(-1, 2)))
        message, edits = f"a polygon of {len(parts[place]) // 2} points crosses itself", fixes.of((row, parts, flags))
        yield _part_hit(file, row, place, message, "an outline without crossings", reason.lower() or "crossing", edits)


def _untangled(file: CocoFile, given: Sequence[tuple[int, Parts, np.ndarray]]) -> EditsOfEach:
    crossing = [p for _, parts, flags in given for p, flag in zip(parts, flags) if flag & outlines.CROSSING]
    pieces = iter(polygons_in(outlines.polygons_of(crossing)))
    new = []
    for row, parts, flags in given:
        own = (next(pieces) if flag & outlines.CROSSING else [repairs.flat(p)] for p, flag in zip(parts, flags))
        new.append((row, list(chain.from_iterable(own)), ()))
    return repairs.reshape(file, new)


@rule("CI026", "polygon-zero-area", Severity.ERROR, Fix.UNSAFE, on="instances")
def polygon_zero_area(file: CocoFile) -> Iterator[Hit]:
    """A polygon encloses nothing: its points lie on a line, or no pixel falls within it.

    The mask is empty; a trainer that computes a box from it divides by zero or trains on a box without an object. The
    unsafe fix removes the polygon, and the annotation where it was the only one.
    """
    zero = (file.shapes.flags & ZERO != 0) & (file.shapes.kinds == POLYGONS) & ~once(file, fractions)["polygons"]
    thin, expected = "a polygon so thin that its mask has no pixel", "points that enclose an area"
    fixes = Together(partial(_without, file, ZERO))
    for row, parts, flags in _examined(file, np.flatnonzero(zero), every=True):
        places, edits = np.flatnonzero(flags & ZERO).tolist(), fixes.of((row, parts, flags))
        for place in places:
            yield _part_hit(file, row, place, "a polygon without area", expected, shown(parts[place]), edits)
        if not places:
            found, gone = f"an area of {file.shapes.areas[row]:.3g} and no pixel", repairs.remove(file, row)
            yield file.hit(row, thin, "segmentation", expected="at least 1 pixel", found=found, edits=gone)


@rule("CI027", "polygon-duplicate-vertices", Severity.INFO, Fix.SAFE, on="instances")
def polygon_duplicate_vertices(file: CocoFile) -> Iterator[Hit]:
    """A point of a polygon is repeated (the last and the first count as neighbours).

    The mask is right; the points cost space, and some geometry libraries refuse them. The fix keeps one of each,
    unchanged.
    """
    for row, parts, _, place in _faulty(file, outlines.REPEATED):
        points = list(zip(parts[place][0::2], parts[place][1::2]))
        kept = [point for index, point in enumerate(points) if point != points[index + 1 - len(points)]]
        if len(kept) < 3:
            continue  # CI026
        edits = [SetValue(file.path, f"/annotations/{row}/{_at(file, row, place)}", repairs.flat(kept))]
        message = f"{len(points) - len(kept)} points of a polygon repeat the one before"
        yield _part_hit(file, row, place, message, f"{len(kept)} points", f"{len(points)} points", edits)


@rule("CI028", "polygon-part-inside-part", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_part_inside_part(file: CocoFile) -> Iterator[Hit]:
    """One polygon of an object lies within another of it.

    COCO's polygons of one object are a union: there are no holes. An inner outline meant as a hole is silently filled.
    Holes need an RLE. The unsafe fix takes the inner polygon for a hole and writes the object as an RLE without it.
    """
    fixes, cannot = Together(partial(_with_holes, file)), UNUSABLE_PART | outlines.WRONG_TYPE
    for some in chunks(file.shapes.having(outlines.INSIDE).tolist()):
        shapes = parts_of(file, some)
        parts, counts = list(chain.from_iterable(shapes)), np.fromiter(map(len, shapes), np.int64)
        examined, starts = examine(parts), (np.cumsum(counts) - counts).tolist()
        pairs = outlines.inside_pairs(parts, examined, counts)
        for place, own in grouped((bisect_right(starts, pair[0]) - 1, pair) for pair in pairs).items():
            row, first = some[place], starts[place]
            able = file.sizes[row].all() and not file.shapes.flags[row] & cannot
            edits = fixes.of((row, {hole - first for hole, _ in own}, shapes[place])) if able else ()
            for inner, outer in own:
                message = f"polygon {inner - first} lies within polygon {outer - first}: that does not make a hole"
                found = f"{examined.areas[inner]:.4g} of {examined.areas[outer]:.4g} square pixels"
                expected = "polygons beside one another, or an RLE"
                yield _part_hit(file, row, inner - first, message, expected, found, edits)


def _with_holes(file: CocoFile, given: Sequence[tuple[int, set[int], Parts]]) -> EditsOfEach:
    new = []
    for row, holes, parts in given:
        groups = ([part for place, part in enumerate(parts) if (place in holes) == inner] for inner in (False, True))
        solid, empty = (rle_to_mask(polygons_to_rle(group, *file.sizes[row].tolist())) for group in groups)
        new.append((row, as_json(mask_to_rle(solid & ~empty)), ()))
    return repairs.reshape(file, new)


@rule("CI048", "polygon-spike", Severity.WARNING, Fix.UNSAFE, on="instances")
def polygon_spike(file: CocoFile) -> Iterator[Hit]:
    """A polygon has a spike of no width: it goes to a point and straight back.

    The mask hardly changes, but the box reaches to the point, and trainers crop by the box. The unsafe fix removes it.
    """
    fixes = Together(partial(repairs.reshape, file))
    for row, parts, _, place in _faulty(file, outlines.SPIKE):
        if file.shapes.flags[row] & ZERO:
            continue  # CI026
        points = np.asarray(parts[place], np.float64).reshape(-1, 2)
        following = np.arange(1, len(points) + 1) % len(points)
        along_xs, along_ys = (points[following] - points).T
        tips = np.roll(outlines.spikes(along_xs, along_ys, following), 1)
        found = ", ".join(f"({x:g}, {y:g})" for x, y in points[tips][:3])
        kept = points[~tips]
        once = kept[(kept != np.roll(kept, -1, 0)).any(1)]  # before and after the tip was one point
        new = repairs.flat(once if len(once) >= 3 else kept)
        edits = fixes.of((row, [*parts[:place], new, *parts[place + 1 :]], ()))
        yield _part_hit(file, row, place, "a polygon with a spike of no width", "an outline without", found, edits)


@rule("CI049", "stray-polygons", Severity.INFO, on="instances")
def stray_polygons(file: CocoFile) -> Iterator[Hit]:
    """An object has a speck, a polygon of a thousandth of its area, or polygons very far apart.

    Often a slip of the mouse, or two objects in one annotation: the box spans both.
    """
    message, others = "a speck, or polygons far apart, in one object", UNUSABLE_PART | ZERO | outlines.INSIDE
    for row in np.flatnonzero(file.shapes.flags & (outlines.STRAY | others) == outlines.STRAY).tolist():
        areas = examine(parts_of(file, [row])[0]).areas
        found = f"areas {areas.min():.3g} to {areas.max():.3g}"
        yield file.hit(row, message, "segmentation", expected="polygons of one object", found=found)
