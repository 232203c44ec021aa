"""Geometry: what pycocotools decodes is the mask, and nothing that crashes it gets there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seg2knet.dataset import geometry
from seg2knet.dataset.rle import (
    areas_and_boxes,
    mask_to_rle,
    rle_bbox,
    rle_from_counts,
    rle_from_string,
    rle_runs,
    rle_to_mask,
)
from seg2knet.dataset.sample import Polygons, Rle
from seg2knet.errors import DataError

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]


@given(masks)
def test_mask_to_rle_and_back_is_the_identity(mask: np.ndarray) -> None:
    rle = mask_to_rle(mask)
    assert (rle_to_mask(rle) == mask).all()
    assert areas_and_boxes([rle])[0] == [mask.sum()]
    runs = rle_runs(rle.counts)
    assert rle_from_counts(runs.tolist(), *mask.shape) == rle
    assert rle_from_string(rle.counts, *mask.shape) == rle


@pytest.mark.parametrize(
    ("counts", "height", "width"),
    [
        (b"", 2, 2),
        (b"1", 2, 2),
        (b"o", 2, 2),
        (b"\xff", 2, 2),
        (b"4", 0, 4),
        (b"4", 10**6, 10**6),
        (b"PPPPPPPPPP1", 9, 9),
    ],
)
def test_a_broken_rle_is_refused(counts: bytes, height: int, width: int) -> None:
    with pytest.raises(DataError):
        rle_from_string(counts, height, width)


@pytest.mark.parametrize("counts", [[3], [-1, 5], [1.0, 3], [True, 3], ["4"], [10**12]])
def test_broken_counts_are_refused(counts: list) -> None:
    with pytest.raises(DataError):
        rle_from_counts(counts, 2, 2)


@given(masks)
@settings(max_examples=200)
def test_polygons_of_a_mask_give_back_every_pixel_but_the_holes(mask: np.ndarray) -> None:
    outline = geometry.mask_to_polygons(mask)
    if outline is None:
        assert not mask.any()
        return
    again = rle_to_mask(geometry.polygons_to_rle(outline.parts, *mask.shape))
    assert (again == _without_holes(mask)).all()


def _without_holes(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_fill_holes, label

    filled = np.zeros_like(mask)
    pieces, count = label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        filled |= binary_fill_holes(pieces == number)
    return filled


@given(masks)
def test_rings_are_apart_and_make_up_the_mask(mask: np.ndarray) -> None:
    total = np.zeros(mask.shape, int)
    for outer, holes in geometry.mask_to_rings(mask):
        total += rle_to_mask(geometry.polygons_to_rle([outer], *mask.shape))
        for hole in holes:
            total -= rle_to_mask(geometry.polygons_to_rle([hole], *mask.shape))
    assert (total == mask).all()


def test_the_mask_of_a_square_is_measured_in_whole_pixels() -> None:
    area, box = geometry.measure(Polygons([SQUARE]), 10, 10)
    assert area == 12
    assert box == (2, 1, 4, 3)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ([0, 0, 1], "odd"),
        ([0, 0, 4, 4], "2 points"),
        ([], "0 points"),
        ([0, 0, math.nan, 4, 4, 4], "finite"),
        ([0, 0, math.inf, 4, -math.inf, 4], "finite"),
        ([0, 0, 1e300, 4, 4, 4], "ten million"),
    ],
)
def test_what_crashes_pycocotools_is_named(part: list[float], reason: str) -> None:
    assert reason in (geometry.polygon_problem(part) or "")
    with pytest.raises(DataError, match=reason):
        geometry.polygons_to_rle([part], 8, 8)


def test_sums_that_overflow_are_no_reason_to_refuse() -> None:
    assert geometry.polygon_problem(SQUARE) is None


def test_joined_polygons_stay_polygons_and_masks_become_their_union() -> None:
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [4, 4, 6, 4, 6, 6, 4, 6]
    assert geometry.join([Polygons([left]), Polygons([right])], 8, 8) == Polygons([left, right])
    mask = np.zeros((8, 8), bool)
    mask[7, 7] = True
    joined = geometry.join([Polygons([left]), mask_to_rle(mask)], 8, 8)
    assert isinstance(joined, Rle)
    assert areas_and_boxes([joined])[0] == [5]


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="another size"):
        geometry.shape_to_rle(Rle(b"4", 2, 2), 4, 4)


def test_a_turned_box_keeps_centre_and_area() -> None:
    turned = geometry.box_polygon(10, 10, 8, 4, 90)
    assert np.allclose(sorted(zip(turned[::2], turned[1::2])), [(12, 8), (12, 16), (16, 8), (16, 16)])
    assert math.isclose(geometry.polygon_area(geometry.box_polygon(0, 0, 8, 4, 33)), 32)


def test_a_box_turns_clockwise_as_on_the_screen() -> None:
    x, y = geometry.box_polygon(0, 0, 10, 10, 45)[:2]
    assert math.isclose(x, 5)
    assert math.isclose(y, 5 - 5 * math.sqrt(2))


@pytest.mark.parametrize(("rx", "ry", "degrees"), [(10, 10, 0), (20, 5, 0), (20, 5, 30)])
def test_an_ellipse_has_its_area(rx: float, ry: float, degrees: float) -> None:
    part = geometry.ellipse_polygon(50, 50, rx, ry, degrees)
    assert math.isclose(geometry.polygon_area(part), math.pi * rx * ry, rel_tol=1e-9)


def test_an_empty_mask_has_no_box() -> None:
    assert rle_bbox(mask_to_rle(np.zeros((3, 4), bool))) == (0, 0, 0, 0)


shapes = st.one_of(
    st.lists(st.lists(st.integers(-4, 40).map(lambda n: n / 2), min_size=6, max_size=6), min_size=1, max_size=3).map(
        Polygons
    ),
    hnp.arrays(np.bool_, (14, 17)).map(mask_to_rle),
)


@given(shapes)
def test_a_shape_of_any_kind_is_measured_as_its_pixels_are_counted(shape: Polygons | Rle) -> None:
    mask = rle_to_mask(geometry.shape_to_rle(shape, 14, 17))
    ys, xs = np.nonzero(mask)
    box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1) if len(xs) else (0, 0, 0, 0)
    assert geometry.measure(shape, 14, 17) == (mask.sum(), box)


# Whole pixels, halves, tenths, anything: where corners fall on the steps and middles that the rasteriser rounds to.
numbers = st.one_of(
    st.integers(-30, 70).map(float),
    st.integers(-60, 140).map(lambda n: n / 2),
    st.integers(-300, 700).map(lambda n: n / 10),
    st.floats(-60, 100),
)
corners = st.integers(3, 9).flatmap(lambda count: st.lists(numbers, min_size=2 * count, max_size=2 * count))
sides = st.integers(1, 40)


def assert_as_drawn(polygons: list[tuple[list[float], int, int]]) -> None:
    drawn = [geometry.measure(Polygons([part]), height, width) for part, height, width in polygons]
    assert geometry.measure_polygons(polygons) == drawn


@given(st.lists(st.tuples(corners, sides, sides), max_size=8))
@example([([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 5, 5)])  # a point, three times
@example([([0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0], 9, 9)])  # the whole image
@example([([2.3, -40.0, 2.7, 80.0, 2.5, 80.0], 9, 9)])  # a needle through it
@example([([-20.0, -20.0, -10.0, -20.0, -10.0, -10.0], 9, 9)])  # outside
def test_polygons_measured_together_are_to_the_pixel_as_drawn(polygons: list[tuple[list[float], int, int]]) -> None:
    assert_as_drawn(polygons)


def test_outlines_as_hands_draw_them_are_measured_as_drawn() -> None:
    rng = np.random.default_rng(0)
    angles, radii = np.sort(rng.uniform(0, 2 * np.pi, (60, 60))), rng.uniform(20, 300, (60, 60))
    outlines = rng.uniform(0, 500, (60, 1, 2)) + np.stack([np.cos(angles), np.sin(angles)], 2) * radii[..., None]
    for rounded in (outlines, np.round(outlines)):
        assert_as_drawn([(outline.ravel().tolist(), 480, 640) for outline in rounded])


def test_large_images_are_measured_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    large = [(rng.uniform(-100, 16_000, 14).tolist(), 16_000, 16_000) for _ in range(12)]  # more than 2^31 pixels
    assert_as_drawn([*large, ([0.0, 0.0, 4.0, 0.0, 4.0, 3.0], 3, 4)])
    monkeypatch.setattr(geometry, "_MANY", 200_000)
    assert_as_drawn(large)


def test_what_reaches_far_or_lies_on_an_image_too_large_is_not_measured_undrawn() -> None:
    near, far, behind = ([0.0, 0.0, reach, 0.0, 5.0, 5.0] for reach in (5.0, 1e5, -1e5))
    near_size = geometry.measure(Polygons([near]), 9, 9)
    found = geometry.measure_polygons([(far, 9, 9), (near, 9, 9), (near, 1 << 20, 1 << 20), (behind, 9, 9)])
    assert found == [None, near_size, None, None]


def test_what_cannot_be_drawn_is_an_error() -> None:
    square, other = Polygons([SQUARE]), mask_to_rle(np.ones((3, 3), bool))
    for shape, height, width in ((square, 0, 8), (square, 1 << 20, 1 << 20), (other, 8, 8)):
        with pytest.raises(DataError, match="size"):
            geometry.measure(shape, height, width)
    assert geometry.measure(square, 8, 8) == (12, (2, 1, 4, 3))
