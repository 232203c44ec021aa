"""What a quick test of an outline clears is simple for Shapely too."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from seg2knet.validators.subjects.outlines import CROSSING, REPEATED, examine


def band(random: np.random.Generator) -> np.ndarray:
    """A winding band: not seen from its middle, and simple."""
    xs = np.linspace(0, 300, int(random.integers(4, 20)))
    ys = 100 + 80 * np.sin(np.linspace(0, random.uniform(3, 9), len(xs)))
    return np.concatenate([np.stack([xs, ys], 1), np.stack([xs, ys + random.uniform(5, 30, len(xs))], 1)[::-1]])


def drawn(random: np.random.Generator) -> np.ndarray:
    """Any of: a band, corners on a small grid, anywhere, a band on a grid that may touch or cross itself."""
    kind, count = random.integers(4), int(random.integers(3, 9))
    if kind == 0:
        points = band(random)
    elif kind == 1:
        points = random.integers(0, 6, (count, 2)).astype(float)
    elif kind == 2:
        points = 100 * random.random((count, 2))
    else:
        xs, ys = np.sort(random.integers(0, 30, count)), random.integers(0, 5, count)
        other = ys[::-1] + random.integers(-1, 4, count)
        points = np.concatenate([np.stack([xs, ys], 1), np.stack([xs[::-1], other], 1)]).astype(float)
    points = np.roll(points, int(random.integers(len(points))), 0)
    points = points[:, ::-1] if random.random() < 0.5 else points
    return points + 1e4 * random.integers(0, 2)


@pytest.mark.parametrize("seed", range(3))
def test_what_shapely_calls_simple_is_not_marked(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [drawn(random) for _ in range(1000)]
    flags = examine([part.ravel().tolist() for part in parts]).flags
    simple = np.array([shapely.is_simple(shapely.linearrings(part)) for part in parts])
    assert simple.sum() > 300
    assert not (flags[simple] & CROSSING).any()


@pytest.mark.parametrize("seed", range(3))
def test_among_many_a_polygon_has_the_flags_that_it_has_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [drawn(random).ravel().tolist() for _ in range(400)]
    flags = examine(parts).flags
    assert 50 < np.count_nonzero(flags & CROSSING) < 350
    assert flags.tolist() == [int(examine([part]).flags[0]) for part in parts]


def test_chains_that_cross_are_marked() -> None:
    crossing = [0.0, 0, 10, 20, 20, 0, 30, 20, 40, 0, 30, 5, 20, 20, 10, 5]
    apart = [0.0, 0, 10, 20, 20, 10, 30, 20, 40, 0, 30, 5, 20, 2, 10, 5]
    again = [0.0, 0, 0, 0, 10, 20, 20, 10, 30, 20, 40, 0, 30, 5, 20, 2, 10, 5]
    flags = examine([crossing, apart, again]).flags
    assert [bool(flag & CROSSING) for flag in flags] == [True, False, False]
    assert [bool(flag & REPEATED) for flag in flags] == [False, False, True]
