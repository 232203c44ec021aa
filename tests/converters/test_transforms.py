"""Samples are measured many at a time as they are one by one."""

from __future__ import annotations

import pytest

from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.transforms import measure, prepare
from seg2knet.dataset.sample import Image, Object, Polygons, Sample
from seg2knet.errors import DataError

SQUARE = [2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]


def sample(*parts: list[float]) -> Sample:
    image = Image("a.png", 20, 20)
    return Sample(image, tuple(Object("car", Polygons([part])) for part in parts))


def test_together_and_one_by_one() -> None:
    many = [sample(*([SQUARE] * 4), [1.0, 1.0, 9.0, 1.0, 1.0, 9.0]) for _ in range(10)]
    sizes = measure(many)
    assert len(sizes) == 50
    for one in many:
        together, alone = prepare(one, ConvertOptions(), sizes=sizes), prepare(one, ConvertOptions())
        assert (together.areas, together.boxes) == (alone.areas, alone.boxes)


def test_half_a_point_of_one_polygon_moves_no_other() -> None:
    """Readers check their polygons; a plug-in's may not."""
    good = [sample(*([SQUARE] * 4)) for _ in range(10)]
    odd = sample(SQUARE[:7])
    sizes = measure([odd, *good])
    for one in good:
        assert prepare(one, ConvertOptions(), sizes=sizes).areas == [100] * 4
    with pytest.raises(DataError, match="odd number"):
        prepare(odd, ConvertOptions(), sizes=sizes)
