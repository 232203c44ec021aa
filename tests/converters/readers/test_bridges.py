"""Bridges between parts, built here and taken out again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seg2knet.converters.readers.yolo.reader import bridged, unbridged

Ring = list[tuple[float, float]]


def flat(ring: Ring) -> list[float]:
    return [number for point in ring for number in point]


def ring(points: int, x: float) -> Ring:
    """A convex ring of that many corners in a cell of its own."""
    import math

    return [
        (x + math.cos(2 * math.pi * index / points) * 0.4, math.sin(2 * math.pi * index / points) * 0.4)
        for index in range(points)
    ]


def turned(points: Ring, first: int) -> Ring:
    return points[first:] + points[:first]


def joined(rings: list[Ring], entries: list[tuple[int, int]]) -> Ring:
    """One ring over all: out along a chain of bridges, around the last one, and back by the same way.

    ``entries`` are, of each ring, the corners where the bridge comes in and where it goes on.
    """
    out: Ring = []
    back: list[Ring] = []
    for index, points in enumerate(rings):
        enter, leave = entries[index]
        points = turned(points, enter % len(points))
        leave = (leave - enter) % len(points)
        if index in (0, len(rings) - 1):
            out += [*points, points[0]]
        else:
            out += points[: leave + 1]
            back.insert(0, [*points[leave:], points[0]])
    return out + [point for piece in back for point in piece]


def same(one: Ring, two: Ring) -> bool:
    return any(turned(two, first) == one for first in range(len(two))) if len(one) == len(two) else False


@given(st.lists(st.tuples(st.integers(3, 8), st.integers(0, 7), st.integers(0, 7)), min_size=2, max_size=5))
def test_parts_come_back_whole(shapes: list[tuple[int, int, int]]) -> None:
    rings = [ring(points, float(index)) for index, (points, _, _) in enumerate(shapes)]
    whole = flat(joined(rings, [(enter, leave) for _, enter, leave in shapes]))
    assert bridged(whole)
    parts = unbridged(whole)
    assert len(parts) == len(rings)
    again = [list(zip(part[0::2], part[1::2])) for part in parts]
    assert all(any(same(one, two) for two in again) for one in rings)


@given(st.integers(3, 12), st.booleans())
def test_a_ring_without_bridges_stays(points: int, closed: bool) -> None:
    whole = ring(points, 0.0)
    numbers = flat([*whole, whole[0]] if closed else whole)
    assert not bridged(numbers)
    assert unbridged(numbers) == [numbers]


def test_a_bridged_hole_stays_a_hole() -> None:
    outer = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)]
    hole = [(3.0, 3.0), (3.0, 6.0), (6.0, 6.0), (6.0, 3.0)]
    whole = flat(joined([outer, hole], [(0, 0), (0, 0)]))
    assert unbridged(whole) == [whole]


def test_a_spike_is_no_part() -> None:
    whole = flat([(0.0, 0.0), (9.0, 0.0), (9.0, 4.0), (12.0, 4.0), (9.0, 4.0), (9.0, 9.0)])
    assert unbridged(whole) == [whole]
