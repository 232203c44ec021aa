"""Areas and boxes of polygons: exactly those of the masks that pycocotools draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from seg2knet.dataset import polygon_masks
from seg2knet.dataset.polygon_masks import FAR, polygon_areas_and_boxes

Picture = tuple[int, int, list[list[float]]]

sizes = st.integers(1, 40)
# Whole pixels, halves, tenths, anything: where corners fall on the steps and middles that the rasteriser rounds to.
numbers = st.one_of(
    st.integers(-30, 70).map(float),
    st.integers(-60, 140).map(lambda n: n / 2),
    st.integers(-300, 700).map(lambda n: n / 10),
    st.floats(-60, 100),
)
polygons = st.integers(3, 9).flatmap(lambda points: st.lists(numbers, min_size=2 * points, max_size=2 * points))
pictures = st.lists(st.tuples(sizes, sizes, st.lists(polygons, max_size=4)), max_size=4)


def drawn(many: Sequence[Picture]) -> tuple[list[int], list[tuple[int, ...]]]:
    areas: list[int] = []
    boxes: list[tuple[int, ...]] = []
    for height, width, outlines in many:
        for outline in outlines:
            rle = coco_mask.frPyObjects([outline], height, width)[0]
            areas.append(int(coco_mask.area(rle)))
            boxes.append(tuple(map(int, coco_mask.toBbox(rle))))
    return areas, boxes


def computed(many: Sequence[Picture]) -> object:
    outlines = [outline for _, _, outlines in many for outline in outlines]
    heights = [height for height, _, outlines in many for _ in outlines]
    widths = [width for _, width, outlines in many for _ in outlines]
    return polygon_areas_and_boxes(outlines, heights, widths)


@given(pictures)
@example([(5, 5, [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])])  # a point, three times
@example([(9, 9, [[0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0]])])  # the whole picture
@example([(9, 9, [[2.3, -40.0, 2.7, 80.0, 2.5, 80.0]])])  # a needle through it
@example([(9, 9, [[-20.0, -20.0, -10.0, -20.0, -10.0, -10.0]])])  # outside
def test_the_same_to_the_pixel_as_pycocotools(many: list[Picture]) -> None:
    assert computed(many) == drawn(many)


def test_the_same_for_outlines_as_hands_draw_them() -> None:
    rng = np.random.default_rng(0)
    many = []
    for _ in range(60):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 60))
        radii = rng.uniform(20, 300, 60)
        centre = rng.uniform(0, 500, 2)
        outline = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
        many.append((480, 640, [outline.ravel().tolist(), np.round(outline).ravel().tolist()]))
    assert computed(many) == drawn(many)


def test_the_same_on_pictures_too_large_for_32_bits() -> None:
    rng = np.random.default_rng(1)
    outlines = [(rng.uniform(-100, 21_000, (7, 2))).ravel().tolist() for _ in range(12)]
    many = [(20_000, 20_000, outlines), (3, 4, [[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]])]
    assert computed(many) == drawn(many)


def test_the_same_where_the_arithmetic_wraps_around() -> None:
    rng = np.random.default_rng(3)
    zigzag = [[0.0, 0.0], *([100.0 * (turn % 2), float(y)] for turn, y in enumerate(rng.uniform(0, 20_000, 2500)))]
    many = [(20_000, 100, [[number for point in zigzag for number in point]])]
    assert computed(many) == drawn(many)


def test_none_at_all() -> None:
    assert polygon_areas_and_boxes([], [], []) == ([], [])


@pytest.mark.parametrize("far", [FAR * 2.0, FAR * -2.0])
def test_what_reaches_out_too_far_is_left_to_pycocotools(far: float) -> None:
    assert polygon_areas_and_boxes([[0.0, 0.0, far, 0.0, 5.0, 5.0]], [9], [9]) is None


def test_many_long_outlines_are_done_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygon_masks, "_MANY", 900)
    rng = np.random.default_rng(2)
    many = [(70, 90, [rng.uniform(-9, 99, (6, 2)).ravel().tolist() for _ in range(5)]) for _ in range(3)]
    assert computed(many) == drawn(many)
    monkeypatch.setattr(polygon_masks, "_MANY", 20)
    assert computed(many) is None


def test_pictures_too_large_for_the_arithmetic_are_left_to_pycocotools() -> None:
    triangle = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    assert polygon_areas_and_boxes([triangle] * 4, [1, 1 << 30, 1, 1], [1 << 30, 1, 1, 1]) is None
