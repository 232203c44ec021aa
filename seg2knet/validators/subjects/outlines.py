"""Polygons and run-length codes examined: polygons many at a time in NumPy, codes one by one.

Nothing here calls pycocotools; what passes here cannot crash it. Coordinates are pixels as in ``dataset.geometry``.
Columns over polygons are ``(P,)``, over their corners ``(V,)``.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, List, NamedTuple, Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.geometry import MAX_COORDINATE
from seg2knet.dataset.rle import counts_to_runs, measure_runs, size_allowed
from seg2knet.errors import DataError

WRONG_TYPE, FLAT, ODD, FEW, FOUR, NONFINITE, ZERO, REPEATED, CROSSING, INSIDE = (1 << bit for bit in range(10))
RLE_SIZE, RLE_SUM, RLE_BAD, SPIKE, STRAY = (1 << bit for bit in range(10, 15))
"""What can be wrong with a segmentation, as bits."""
UNUSABLE_PART = ODD | FEW | FOUR | NONFINITE | WRONG_TYPE
BROKEN = UNUSABLE_PART | FLAT | RLE_SIZE | RLE_SUM | RLE_BAD
"""With any of these the segmentation has no area and box that could be compared."""
CROSSING_PIXELS = 0.5
"""A polygon is taken for self-intersecting when its loops falsify its area by this many pixels."""
_SLANT, _GAP, _WIDEST = 1e-3, 1e-3, 1e4
"""Of chains that are compared: how much x grows with y, pixels that are surely a gap, and x where digits get scarce."""
_MANY = 50
"""Polygons from which on NumPy sorts out quicker than Shapely which of them surely do not cross themselves."""

Shape = Union[List[List[float]], RleCode, None]


@dataclass
class Parts:
    """Polygons examined: ``flags`` int64, the bits above; ``areas`` enclosed by the outline, loops cancelling, 0 for an
    unusable part; ``perimeters``; ``extents``: ``(P, 4)`` x0, y0, x1, y1, NaN for an unusable part."""

    flags: np.ndarray
    areas: np.ndarray
    perimeters: np.ndarray
    extents: np.ndarray


def examine(parts: Sequence[list[float]]) -> Parts:
    """Flat polygons, each alone (``INSIDE`` is not looked at)."""
    count = len(parts)
    lengths = np.fromiter(map(len, parts), np.int64, count)
    numbers = array("d")
    for part in parts:
        numbers.fromlist(part)  # a third quicker than np.fromiter
    flat = np.frombuffer(numbers, np.float64) if count else np.zeros(0)
    flags = np.where(lengths % 2, ODD, 0) | np.where(lengths == 4, FOUR, 0)
    flags |= np.where((lengths < 6) & (lengths != 4) & (lengths % 2 == 0), FEW, 0)
    far = ~(np.abs(flat) <= MAX_COORDINATE)
    if far.any():
        flags[np.repeat(np.arange(count), lengths)[far]] |= NONFINITE
    result = Parts(flags, np.zeros(count), np.zeros(count), np.full((count, 4), np.nan))
    good = np.flatnonzero(flags == 0)
    if len(good) < count:
        flat = flat[np.repeat(flags == 0, lengths)]
    if len(good):
        _measure(flat.reshape(-1, 2), lengths[good] // 2, good, result)
    return result


def _measure(points: np.ndarray, counts: np.ndarray, rows: np.ndarray, into: Parts) -> None:
    """Fill in the usable parts. ``points``: ``(V, 2)`` of all of them; ``counts``: corners of each."""
    xs, ys = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
    starts, following = _rings(counts)
    along_xs, along_ys = xs[following] - xs, ys[following] - ys
    # Against the part's own first corner: far from the origin the products lose digits.
    crosses = (xs - np.repeat(xs[starts], counts)) * along_ys - along_xs * (ys - np.repeat(ys[starts], counts))
    areas = np.abs(np.add.reduceat(crosses, starts)) / 2
    sides = np.sqrt(along_xs**2 + along_ys**2)
    into.areas[rows] = areas
    into.perimeters[rows] = perimeters = np.add.reduceat(sides, starts)
    for side, (reduce, values) in enumerate(((np.minimum, xs), (np.minimum, ys), (np.maximum, xs), (np.maximum, ys))):
        into.extents[rows, side] = reduce.reduceat(values, starts)
    into.flags[rows] |= np.where(np.logical_or.reduceat(sides == 0, starts), REPEATED, 0)
    into.flags[rows] |= np.where(np.logical_or.reduceat(spikes(along_xs, along_ys, following), starts), SPIKE, 0)
    # Whether all of a polygon is seen from the mean of its corners: then it does not cross itself. Every side turns the
    # same way about that point, and the outline changes sides of the horizontal through the point twice.
    off_xs = xs - np.repeat(np.add.reduceat(xs, starts) / counts, counts)
    off_ys = ys - np.repeat(np.add.reduceat(ys, starts) / counts, counts)
    turns = off_xs * along_ys - along_xs * off_ys
    above = off_ys > 0
    once_round = np.add.reduceat(above != above[following], starts, dtype=np.int64) == 2
    star = ((np.minimum.reduceat(turns, starts) > 0) | (np.maximum.reduceat(turns, starts) < 0)) & once_round
    _mark_crossings(points, counts, rows, ~star, into)
    # What encloses nothing is flat, unless its loops cancel one another: then it crosses itself.
    flat = (areas <= 5e-7 * np.maximum(perimeters, 1.0)) & (into.flags[rows] & CROSSING == 0)
    into.flags[rows] |= np.where(flat, ZERO, 0)


def _rings(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each polygon's corners start, and each corner's follower."""
    starts = np.cumsum(counts) - counts
    following = np.arange(1, int(counts.sum()) + 1)
    following[starts + counts - 1] = starts
    return starts, following


def spikes(along_xs: np.ndarray, along_ys: np.ndarray, following: np.ndarray) -> np.ndarray:
    """``(V,)`` bool: the outline goes along to the corner's follower and comes straight back, two pixels and more."""
    after_xs, after_ys = along_xs[following], along_ys[following]
    back = along_xs * after_xs + along_ys * after_ys
    straight = back < -4
    rows = np.flatnonzero(straight)
    across = along_xs[rows] * after_ys[rows] - along_ys[rows] * after_xs[rows]
    straight[rows] = np.abs(across) <= -1e-3 * back[rows]
    return straight


def _mark_crossings(
    points: np.ndarray, counts: np.ndarray, rows: np.ndarray, suspected: np.ndarray, into: Parts
) -> None:
    """Mark those of the suspects whose outline crosses itself so that it matters. ``suspected`` is changed."""
    import shapely

    for axis in (0, 1) if len(counts) >= _MANY else ():
        mine, own = points[np.repeat(suspected, counts)], counts[suspected]
        suspected[suspected] = ~_of_two_chains(mine[:, axis], mine[:, 1 - axis], own)
    suspects = np.flatnonzero(suspected)
    if not len(suspects):
        return
    owners = np.repeat(np.arange(len(suspects)), counts[suspects])
    rings = shapely.linearrings(points[np.repeat(suspected, counts)], indices=owners)
    crossing = np.flatnonzero(~shapely.is_simple(rings))
    polygons = shapely.polygons(rings[crossing])
    try:
        valid = shapely.make_valid(polygons, method="structure", keep_collapsed=True)  # ten times as fast
    except TypeError:  # Shapely 2.0
        valid = shapely.make_valid(polygons)
    crossed = rows[suspects[crossing]]
    matters = np.abs(shapely.area(valid) - into.areas[crossed]) >= CROSSING_PIXELS
    into.flags[crossed[matters]] |= CROSSING


def _of_two_chains(xs: np.ndarray, ys: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``(P,)`` bool: a chain of sides goes up in x and one comes back, above or below it all the way: no crossing.

    Chains are compared at each corner, for between corners they are straight. x is slanted, so that upright sides go
    somewhere too, and one polygon stands behind the other, so that all are compared at once.
    """
    starts, following = _rings(counts)
    low, high = np.minimum.reduceat(xs, starts), np.maximum.reduceat(xs, starts)
    ys = ys - np.repeat(ys[starts], counts)
    xs = xs + _SLANT * ys
    along, across = xs[following] - xs, ys[following] - ys
    rises = along > 0
    turns = rises != rises[following]
    able = (np.add.reduceat(turns, starts, dtype=np.int64) == 2) & (high - low < _WIDEST)
    able &= np.logical_and.reduceat(np.abs(along) > 0.5 * _SLANT * np.abs(across), starts)
    if not able.any():
        return able
    low, high = np.minimum.reduceat(xs, starts), np.maximum.reduceat(xs, starts)
    xs += np.repeat(np.cumsum(np.where(able, high - low + 1, 0)) - high, counts)
    both = np.empty_like(rises)
    both[following] = turns  # the corner where a chain ends and the other begins
    ours = np.repeat(able, counts)
    there, back = np.flatnonzero(ours & (rises | both)), np.flatnonzero(ours & (~rises | both))
    gaps = np.zeros(len(xs))
    for sign, mine, others in ((1, there, back), (-1, back, there)):
        others = others[np.argsort(xs[others], kind="stable")]
        gaps[mine] += sign * (ys[mine] - np.interp(xs[mine], xs[others], ys[others]))
    sides = (np.add.reduceat(sign * gaps > _GAP, starts, dtype=np.int64) for sign in (1, -1))
    return able & np.logical_or(*(side == counts - 2 for side in sides))  # all corners but the two ends of both


def areas_before(objects: Sequence[Sequence[list[float]]], axis: int, cuts: np.ndarray) -> np.ndarray:
    """Areas of the parts of objects with x (``axis`` 0) or y (1) below each cut.

    ``objects``: ``P``, each of usable, simple polygons that do not overlap; ``cuts`` and the result: ``(K, P)``.
    """
    areas = np.empty(cuts.shape)
    parts = list(chain.from_iterable(objects))
    counts, many = np.fromiter(map(len, parts), np.int64) // 2, np.fromiter(map(len, objects), np.int64)
    points = np.fromiter(chain.from_iterable(parts), np.float64)
    xs, ys = points[axis::2].copy(), points[1 - axis :: 2].copy()
    starts, following = _rings(counts)
    next_xs = xs[following]
    slopes = np.divide(ys[following] - ys, next_xs - xs, out=np.zeros_like(xs), where=np.abs(next_xs - xs) > 1e-9)
    for place, cut in enumerate(cuts):
        cut = np.repeat(np.repeat(cut, many), counts)
        left, right = np.minimum(xs, cut), np.minimum(next_xs, cut)
        below = np.add.reduceat((right - left) * (ys + slopes * ((left + right) / 2 - xs)), starts)
        areas[place] = np.add.reduceat(np.abs(below), np.cumsum(many) - many)
    return areas


def beside(parts: Sequence[list[float]]) -> bool:
    """Whether each polygon begins where another has ended, from left to right: no two overlap."""
    spans = sorted((min(part[::2]), max(part[::2])) for part in parts)
    return all(one[1] <= other[0] for one, other in zip(spans, spans[1:]))


def inside_pairs(parts: Sequence[Sequence[float]], examined: Parts, counts: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (inner, outer) of polygons of one object, one within the other; ``counts``: how many each object has."""
    usable, extents, starts = examined.flags & (UNUSABLE_PART | ZERO) == 0, examined.extents, np.cumsum(counts) - counts
    maybe = [np.zeros((0, 2), np.int64)]
    for one in range(int(counts.max(initial=1)) - 1):
        # Each object's polygon number ``one`` against all of its later ones, all objects at a time.
        rows = np.flatnonzero(counts > one + 1)
        later = counts[rows] - one - 1
        first = np.repeat(starts[rows] + one, later)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(later) - later, later)
        for inner, outer in ((first, second), (second, first)):
            within = (extents[inner, :2] >= extents[outer, :2]) & (extents[inner, 2:] <= extents[outer, 2:])
            maybe.append(np.stack([inner, outer], 1)[within.all(1) & usable[inner] & usable[outer]])
    pairs = np.concatenate(maybe)
    if not len(pairs):
        return []
    import shapely

    places, own = np.unique(pairs, return_inverse=True)
    inner, outer = polygons_of([parts[place] for place in places.tolist()])[own.reshape(-1, 2)].T
    found = {(one, other) for one, other in pairs[shapely.covers(outer, inner)].tolist()}
    # Of two that are the same the first is the inner one.
    return sorted((one, other) for one, other in found if one < other or (other, one) not in found)


def polygons_of(parts: Sequence[Sequence[float]]) -> Any:
    """Usable flat polygons as valid Shapely geometries."""
    import shapely

    points = np.fromiter(chain.from_iterable(parts), np.float64).reshape(-1, 2)
    owners = np.repeat(np.arange(len(parts)), [len(part) // 2 for part in parts])
    polygons = shapely.polygons(shapely.linearrings(points, indices=owners))
    wrong = ~shapely.is_valid(polygons)
    polygons[wrong] = shapely.make_valid(polygons[wrong])
    return polygons


class Mask(NamedTuple):
    """What a run-length code measures: flags, pixels, box (x, y, width, height), and the length of the outline."""

    flags: int
    area: float = math.nan
    box: tuple[float, float, float, float] = (math.nan,) * 4
    perimeter: float = 0.0


def examine_rle(rle: RleCode, height: int, width: int) -> Mask:
    """A run-length code, on an image of that size (0: not known)."""
    flags = RLE_SIZE if height and width and tuple(rle.size) != (height, width) else 0
    if not size_allowed(*rle.size):
        return Mask(flags or RLE_BAD)
    try:
        runs = counts_to_runs(rle.counts)
    except (DataError, OverflowError, ValueError):
        return Mask(flags | RLE_BAD)
    if int(runs.sum()) != rle.size[0] * rle.size[1]:
        # With the wrong size the sum cannot be right either: one defect, one finding.
        return Mask(flags or RLE_SUM)
    return Mask(flags, *measure_runs(runs, rle.size[0]))


def shape_of(value: Any) -> tuple[Shape, int]:
    """A decoded segmentation of any type, read leniently; and what was wrong with its type."""
    if value is None or value in ([], {}, ""):
        return (None if value is None else []), 0
    if isinstance(value, dict):
        try:
            return msgspec.convert(value, RleCode), 0
        except (msgspec.MsgspecError, OverflowError):
            return None, RLE_BAD
    if not isinstance(value, list):
        return None, WRONG_TYPE
    flat = numbers_of(value)
    if flat is not None:
        return [flat], FLAT
    parts = [numbers_of(part) for part in value]
    return (None, WRONG_TYPE) if None in parts else (parts, 0)  # type: ignore[return-value]


def numbers_of(value: Any) -> Optional[list[float]]:
    """A list of numbers, of which some may be ``null`` (what JavaScript writes for NaN) or too large for a float."""
    if not isinstance(value, list):
        return None
    numbers: list[float] = []
    for number in value:
        if isinstance(number, bool) or not (number is None or isinstance(number, (int, float))):
            return None
        try:
            numbers.append(math.nan if number is None else float(number))
        except OverflowError:
            numbers.append(math.inf)
    return numbers
