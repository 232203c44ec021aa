"""Polygons whose parts were joined by bridges of no width, taken apart again.

A YOLO row is one ring. Converters that have an object of several parts walk around one, across to the next and back by
the same line: that line is an edge that occurs once in each direction. Cut there, the ring falls into the parts. A hole
may be bridged likewise; it stays, for parts of one object are a union and would fill it.
"""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def bridged(flat: Sequence[float]) -> bool:
    """Whether a ring touches itself in a corner, as a bridged one does (and few others): a cheap first look."""
    if 2 * len(set(flat[0::2])) == len(flat):
        return False  # no two corners even have the same x
    points = list(zip(flat[0::2], flat[1::2]))
    return len(set(points)) < len(points) - (points[0] == points[-1])


def unbridged(flat: Sequence[float]) -> list[list[float]]:
    """The parts of a ring ``[x0, y0, x1, y1, ...]``; the ring itself where it has no bridge."""
    points = list(zip(flat[0::2], flat[1::2]))
    if points[0] == points[-1]:
        points.pop()
    pieces = _cut(points)
    solid = [piece for piece in pieces if len(piece) >= 3]
    if len(solid) < 2 or any(_holds(one, two) for one in solid for two in solid if one is not two):
        return [list(flat)]
    return [[number for point in piece for number in point] for piece in solid]


def _cut(points: list[Point]) -> list[list[Point]]:
    """Rings left after taking out every edge that occurs once in each direction."""
    count = len(points)
    edges = [(points[index], points[(index + 1) % count]) for index in range(count)]
    at: dict[tuple[Point, Point], list[int]] = {}
    for index, edge in enumerate(edges):
        at.setdefault(edge, []).append(index)
    partner: dict[int, int] = {}
    for index, (start, end) in enumerate(edges):
        back = at.get((end, start), [])
        if start != end and len(back) == 1 and len(at[start, end]) == 1:
            partner[index] = back[0]
    return _rings(points, partner)


def _rings(points: list[Point], partner: dict[int, int]) -> list[list[Point]]:
    """Follow the edges that are left: at a bridge, go on where the way back begins."""
    count = len(points)
    left = set(range(count)) - partner.keys()
    rings = []
    while left:
        first = index = min(left)
        ring: list[Point] = []
        while index in left:
            left.discard(index)
            ring.append(points[index])
            index = (index + 1) % count
            hops = 0
            while index in partner and hops <= count:
                index = (partner[index] + 1) % count
                hops += 1
            if index == first:
                break
        rings.append([point for place, point in enumerate(ring) if point != ring[place - 1] or len(ring) == 1])
    return rings


def _holds(outer: Sequence[Point], inner: Sequence[Point]) -> bool:
    """Whether most corners of a ring lie within another."""
    import shapely

    return 2 * int(shapely.contains_xy(shapely.Polygon(outer), inner).sum()) > len(inner)
