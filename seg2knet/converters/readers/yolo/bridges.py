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
    import shapely

    points = list(zip(flat[0::2], flat[1::2]))
    edges = set(zip(points, [*points[1:], points[0]]))
    rings: list[tuple[int, list[Point]]] = []
    walked: dict[Point, int] = {}
    for index, point in enumerate([*points, points[0]]):
        if point not in walked:
            walked[point] = index
            continue
        ring = [point]  # the walk is back at a corner: what it went round since then is a ring
        while next(reversed(walked)) != point:
            ring.insert(1, walked.popitem()[0])
        rings.append((walked[point], ring))
    solid = [ring for _, ring in sorted(rings) if len(ring) >= 3]
    outlines = list(map(shapely.Polygon, solid))
    hole = any(
        2 * int(shapely.contains_xy(outline, inner).sum()) > len(inner)  # most corners lie within another ring
        for outline in outlines
        for inner in solid
    )
    bridge = any(start != end and (end, start) in edges for start, end in edges)
    if not bridge or hole or len(solid) < 2:
        return [list(flat)]
    return [[number for point in ring for number in point] for ring in solid]
