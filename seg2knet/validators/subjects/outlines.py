"""Segmentations examined: many polygons at a time in NumPy, run-length codes one by one.

Nothing here calls pycocotools; what passes here cannot crash it. Coordinates are pixels as in ``dataset.geometry``.
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
from seg2knet.dataset.rle import counts_to_runs, measure_runs, size_allowed
from seg2knet.errors import DataError

(
    WRONG_TYPE,
    FLAT,
    ODD,
    FEW,
    FOUR,
    NONFINITE,
    ZERO,
    REPEATED,
    CROSSING,
    INSIDE,
    RLE_SIZE,
    RLE_SUM,
    RLE_BAD,
    SPIKE,
    STRAY,
) = (1 << bit for bit in range(15))
"""What can be wrong with a segmentation, as bits. The first four of a polygon's make it useless (``BROKEN``)."""
BROKEN = WRONG_TYPE | FLAT | ODD | FEW | FOUR | NONFINITE | RLE_SIZE | RLE_SUM | RLE_BAD
"""With any of these the segmentation has no area and box that could be compared."""
UNUSABLE_PART = ODD | FEW | FOUR | NONFINITE | WRONG_TYPE
CROSSING_PIXELS = 0.5
"""A polygon is taken for self-intersecting when its loops falsify its area by this many pixels."""
FAR = 1e7
"""A coordinate this far out is no coordinate: the same bound as ``geometry.polygon_problem``."""


Shape = Union[List[List[float]], RleCode, None]


@dataclass
class Parts:
    """Polygons examined.

    Attributes:
        flags: ``(P,)`` int64, bits above.
        areas: ``(P,)`` float64, enclosed by the outline, loops cancelling; 0 for an unusable part.
        perimeters: ``(P,)`` float64.
        extents: ``(P, 4)`` float64, x0, y0, x1, y1; NaN for an unusable part.
    """

    flags: np.ndarray
    areas: np.ndarray
    perimeters: np.ndarray
    extents: np.ndarray


def examine(parts: Sequence[list[float]], crossings: bool = True) -> Parts:
    """Flat polygons, each alone (``INSIDE`` is not looked at, ``CROSSING`` only where ``crossings`` asks for it)."""
    count = len(parts)
    lengths = np.fromiter(map(len, parts), np.int64, count)
    numbers = array("d")
    for part in parts:
        numbers.fromlist(part)  # a third quicker than np.fromiter
    flat = np.frombuffer(numbers, np.float64) if count else np.zeros(0)
    flags = np.where(lengths % 2, ODD, 0) | np.where(lengths == 4, FOUR, 0)
    flags |= np.where((lengths < 6) & (lengths != 4) & (lengths % 2 == 0), FEW, 0)
    far = ~(np.abs(flat) <= FAR)
    if far.any():
        owner = np.repeat(np.arange(count), lengths)
        flags[owner[far]] |= NONFINITE
    result = Parts(flags, np.zeros(count), np.zeros(count), np.full((count, 4), np.nan))
    good = np.flatnonzero(flags == 0)
    if len(good) < count:
        keep = np.repeat(flags == 0, lengths)
        flat = flat[keep]
    if len(good):
        _measure(flat.reshape(-1, 2), lengths[good] // 2, good, result, crossings)
    return result


def _measure(points: np.ndarray, counts: np.ndarray, rows: np.ndarray, into: Parts, crossings: bool) -> None:
    """Fill in the usable parts. ``points``: ``(V, 2)`` of all of them; ``counts``: vertices of each."""
    starts = np.cumsum(counts) - counts
    xs, ys = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
    following = np.arange(1, len(xs) + 1)
    following[starts + counts - 1] = starts
    next_xs, next_ys = xs[following], ys[following]
    # Against the part's own first corner: far from the origin the products lose digits.
    base_xs, base_ys = np.repeat(xs[starts], counts), np.repeat(ys[starts], counts)
    crosses = (xs - base_xs) * (next_ys - base_ys) - (next_xs - base_xs) * (ys - base_ys)
    signed = np.add.reduceat(crosses, starts) / 2
    along_xs, along_ys = next_xs - xs, next_ys - ys
    sides = np.sqrt(along_xs**2 + along_ys**2)
    into.areas[rows] = np.abs(signed)
    into.perimeters[rows] = perimeters = np.add.reduceat(sides, starts)
    for side, (reduce, values) in enumerate(((np.minimum, xs), (np.minimum, ys), (np.maximum, xs), (np.maximum, ys))):
        into.extents[rows, side] = reduce.reduceat(values, starts)
    into.flags[rows] |= np.where(np.logical_or.reduceat(sides == 0, starts), REPEATED, 0)
    flat = np.abs(signed) <= 1e-6 * np.maximum(perimeters, 1.0)
    if crossings:
        star = _star_shaped(xs, ys, next_xs, next_ys, starts, counts)
        _mark_crossings(points, counts, rows, np.flatnonzero(~star), into)
        into.flags[rows] |= np.where(np.logical_or.reduceat(spikes(along_xs, along_ys, following), starts), SPIKE, 0)
    # What encloses nothing is flat, unless its loops cancel one another: then it crosses itself.
    into.flags[rows] |= np.where(flat & (into.flags[rows] & CROSSING == 0), ZERO, 0)


def spikes(along_xs: np.ndarray, along_ys: np.ndarray, following: np.ndarray) -> np.ndarray:
    """``(V,)`` bool: the outline goes along to the corner's follower and comes straight back, two pixels and more."""
    after_xs, after_ys = along_xs[following], along_ys[following]
    back = along_xs * after_xs + along_ys * after_ys
    found = back < -4
    rows = np.flatnonzero(found)
    across = along_xs[rows] * after_ys[rows] - along_ys[rows] * after_xs[rows]
    found[rows] = np.abs(across) <= -1e-3 * back[rows]
    return found


def _star_shaped(
    xs: np.ndarray, ys: np.ndarray, next_xs: np.ndarray, next_ys: np.ndarray, starts: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Whether all of a polygon is seen from the mean of its corners: then it does not cross itself.

    Every side turns the same way about that point, and the outline goes round it once: it changes sides of the
    horizontal through the point twice.
    """
    middle_xs = np.repeat(np.add.reduceat(xs, starts) / counts, counts)
    middle_ys = np.repeat(np.add.reduceat(ys, starts) / counts, counts)
    turns = (xs - middle_xs) * (next_ys - middle_ys) - (next_xs - middle_xs) * (ys - middle_ys)
    one_way = np.logical_and.reduceat(turns > 0, starts) | np.logical_and.reduceat(turns < 0, starts)
    changes = np.add.reduceat(((ys > middle_ys) != (next_ys > middle_ys)).astype(np.int64), starts)
    return one_way & (changes == 2)


def _mark_crossings(
    points: np.ndarray, counts: np.ndarray, rows: np.ndarray, suspects: np.ndarray, into: Parts
) -> None:
    """Mark those of the suspects whose outline crosses itself so that it matters."""
    import shapely

    if not len(suspects):
        return
    suspected = np.zeros(len(counts), bool)
    suspected[suspects] = True
    owners = np.repeat(np.arange(len(suspects)), counts[suspects])
    rings = shapely.linearrings(points[np.repeat(suspected, counts)], indices=owners)
    crossing = np.flatnonzero(~shapely.is_simple(rings))
    polygons = shapely.polygons(rings[crossing])
    try:
        valid = shapely.make_valid(polygons, method="structure", keep_collapsed=True)  # ten times as fast
    except TypeError:  # Shapely 2.0
        valid = shapely.make_valid(polygons)
    owners = rows[suspects[crossing]]
    matters = np.abs(shapely.area(valid) - into.areas[owners]) >= CROSSING_PIXELS
    into.flags[owners[matters]] |= CROSSING


def areas_before(parts: Sequence[Sequence[float]], axis: int, cuts: np.ndarray) -> np.ndarray:
    """Areas of the parts of simple polygons with x (``axis`` 0) or y (1) below each cut.

    ``parts``: ``P`` usable flat polygons; ``cuts``: ``(K, P)``; the result ``(K, P)``.
    """
    areas = np.empty(cuts.shape)
    counts = np.fromiter(map(len, parts), np.int64, len(parts)) // 2
    points = np.fromiter(chain.from_iterable(parts), np.float64)
    xs, ys = points[axis::2].copy(), points[1 - axis :: 2].copy()
    starts = np.cumsum(counts) - counts
    following = np.arange(1, len(xs) + 1)
    following[starts + counts - 1] = starts
    next_xs = xs[following]
    slopes = np.divide(ys[following] - ys, next_xs - xs, out=np.zeros_like(xs), where=np.abs(next_xs - xs) > 1e-9)
    for place, cut in enumerate(cuts):
        cut = np.repeat(cut, counts)
        left, right = np.minimum(xs, cut), np.minimum(next_xs, cut)
        areas[place] = np.add.reduceat((right - left) * (ys + slopes * ((left + right) / 2 - xs)), starts)
    return np.abs(areas)


def maybe_inside(extents: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which objects may have a polygon within another, ``(N,)`` bool: the extents of one lie within another's.

    ``extents``: ``(P, 4)`` of all objects' polygons, NaN where unusable; ``starts``, ``counts``: whose are whose.
    """
    found = np.zeros(len(counts), bool)
    for one in range(int(counts.max(initial=1)) - 1):
        # Each object's polygon number ``one`` against all of its later ones, all objects at a time.
        rows = np.flatnonzero(counts > one + 1)
        later = counts[rows] - one - 1
        first = np.repeat(starts[rows] + one, later)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(later) - later, later)
        a, b = extents[first], extents[second]
        within = ((a[:, :2] <= b[:, :2]) & (a[:, 2:] >= b[:, 2:])).all(1)
        within |= ((b[:, :2] <= a[:, :2]) & (b[:, 2:] >= a[:, 2:])).all(1)
        found[np.repeat(rows, later)[within]] = True
    return found


def inside_pairs(parts: Sequence[Sequence[float]], extents: np.ndarray, usable: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (inner, outer) of one object's polygons of which one lies within the other. ``extents``: ``(P, 4)``."""
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        return []
    boxes = extents[rows]
    low, high = boxes[:, None, :2] >= boxes[None, :, :2], boxes[:, None, 2:] <= boxes[None, :, 2:]
    within: np.ndarray = np.logical_and(low.all(-1), high.all(-1))
    np.fill_diagonal(within, False)
    if not within.any():
        return []
    import shapely

    found: list[tuple[int, int]] = []
    for inner, outer in np.argwhere(within):
        one, other = (polygon_of(parts[rows[each]]) for each in (inner, outer))
        if shapely.covers(other, one) and (int(rows[outer]), int(rows[inner])) not in found:
            found.append((int(rows[inner]), int(rows[outer])))
    return found


def polygon_of(part: Sequence[float]) -> Any:
    """A usable flat polygon as a valid Shapely geometry."""
    import shapely

    polygon = shapely.Polygon(np.asarray(part, np.float64).reshape(-1, 2))
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


class Mask(NamedTuple):
    """What a run-length code measures: flags, pixels, x, y, width, height, and the length of the outline."""

    flags: int
    area: float
    box: tuple[float, float, float, float]
    perimeter: float = 0.0


def examine_rle(rle: RleCode, height: int, width: int) -> Mask:
    """A run-length code, on an image of that size (0: not known)."""
    nothing = (math.nan,) * 4
    rle_height, rle_width = rle.size
    flags = RLE_SIZE if height and width and (rle_height, rle_width) != (height, width) else 0
    if not size_allowed(rle_height, rle_width):
        return Mask(flags or RLE_BAD, math.nan, nothing)
    try:
        runs = counts_to_runs(rle.counts)
    except (DataError, OverflowError, ValueError):
        return Mask(flags | RLE_BAD, math.nan, nothing)
    if int(runs.sum()) != rle_height * rle_width:
        # With the wrong size the sum cannot be right either: one defect, one finding.
        return Mask(flags or RLE_SUM, math.nan, nothing)
    return Mask(flags, *measure_runs(runs, rle_height))


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
    if all(_is_number(each) for each in value):
        return [[_number(each) for each in value]], FLAT
    flags = 0
    parts: list[list[float]] = []
    for part in value:
        numbers: Optional[list[float]] = None
        if isinstance(part, list) and all(_is_number(each) for each in part):
            numbers = [_number(each) for each in part]
        else:
            flags = WRONG_TYPE
        parts.append(numbers or [])
    return (None, flags) if flags else (parts, 0)


def _is_number(value: Any) -> bool:
    # ``null`` is what JavaScript writes for NaN.
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf
