"""Painting stretch by stretch gives what painting pixel by pixel does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2knet.converters.base import Measured
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.writers import painting as _painting
from seg2knet.converters.writers.painting import paint
from seg2knet.dataset.label_image import X
from seg2knet.dataset.rle import areas_and_boxes, mask_to_rle, rle_to_mask
from seg2knet.dataset.sample import Image, Object, Sample
from seg2knet.errors import UsageError


def measured(masks: list[np.ndarray], depths: list[int]) -> Measured:
    rles = [mask_to_rle(mask) for mask in masks]
    objects = tuple(Object("car", rle, z=z, place=f"shape {index}") for index, (rle, z) in enumerate(zip(rles, depths)))
    height, width = masks[0].shape
    areas, boxes = areas_and_boxes(rles)
    return Measured(Sample(Image("a.jpg", width, height), objects), areas, boxes)


def by_pixels(found: Measured, overlap: str) -> np.ndarray:
    image = found.sample.image
    canvas = np.zeros((image.height, image.width), np.int64)
    order = list(range(len(found.rles)))
    if overlap == "small-first":
        order.sort(key=lambda index: -found.areas[index])
    elif overlap == "z-order":
        order.sort(key=lambda index: found.sample.objects[index].z)
    for index in order:
        canvas[rle_to_mask(found.rles[index])] = index + 1
    return canvas


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), height=st.integers(1, 9), width=st.integers(1, 9), count=st.integers(1, 6),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), overlap=st.sampled_from(["z-order", "small-first", "last"]),
    few=st.sampled_from([0, 64]),
)  # fmt: skip
def test_as_by_pixels(seed: int, height: int, width: int, count: int, share: float, overlap: str, few: int) -> None:
    rng = np.random.default_rng(seed)
    found = measured(
        [(rng.random((height, width)) < share).astype(np.uint8) for _ in range(count)],
        rng.integers(0, 3, count).tolist(),
    )
    expected = by_pixels(found, overlap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_painting, "_FEW", few)
        painting = paint(found, range(1, count + 1), ConvertOptions(overlap=overlap))
    assert np.array_equal(painting.image(np.arange(count + 1, dtype=np.int32)), expected)
    assert np.array_equal(painting.image(np.arange(count + 1, dtype=np.uint8)), expected)
    assert painting.areas(count) == np.bincount(expected.ravel(), minlength=count + 1).tolist()
    boxes = {number: tuple(box) for number, _, *box in painting.table().tolist()}
    for number in range(count + 1):
        ys, xs = np.nonzero(expected == number)
        box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1) if len(xs) else (0, 0, 0, 0)
        assert boxes.get(number, (0, 0, 0, 0)) == box


def test_no_objects() -> None:
    painting = paint(Measured(Sample(Image("a.jpg", 4, 3)), [], []), [], ConvertOptions())
    assert painting.areas(0) == [12]
    assert painting.table()[:, X:].tolist() == [[0, 0, 4, 3]]
    assert not painting.image(np.zeros(1, np.uint8)).any()


@pytest.mark.parametrize("few", [0, 64])
def test_overlaps_are_found_when_asked_for(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_painting, "_FEW", few)
    left, right = np.zeros((5, 6), np.uint8), np.zeros((5, 6), np.uint8)
    left[1:4, :3], right[1:4, 3:] = 1, 1
    assert paint(measured([left, right], [0, 0]), [1, 2], ConvertOptions(overlap="error")).areas(2) == [12, 9, 9]
    right[3, 2] = 1
    with pytest.raises(UsageError, match="overlap") as caught:
        paint(measured([left, right], [0, 0]), [1, 2], ConvertOptions(overlap="error"))
    assert caught.value.place == "shape 1"
