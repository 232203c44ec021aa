"""Label images to run-length codes, against pycocotools and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seg2knet.dataset import label_image
from seg2knet.dataset.rle import mask_to_rle, rle_to_mask

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
label_images = arrays.arrays(np.uint8, shapes, elements=st.integers(0, 3))


@given(label_images)
def test_regions_are_what_pycocotools_encodes(labels: np.ndarray) -> None:
    found = label_image.regions(label_image.cut(labels), without=[0])
    assert found.values == [v for v in np.unique(labels).tolist() if v]
    for value, rle, area in zip(found.values, found.rles, found.areas):
        assert rle == mask_to_rle(labels == value)
        assert area == (labels == value).sum()


def _components(mask: np.ndarray) -> list[np.ndarray]:
    count, labels = cv2.connectedComponents(np.ascontiguousarray(mask, np.uint8), connectivity=8)
    return [labels == number for number in range(1, count)]


@given(label_images)
def test_components_are_what_opencv_finds(labels: np.ndarray) -> None:
    found = label_image.regions(label_image.cut(labels), without=[0], split=True)
    expected = [
        (value, mask_to_rle(part))
        for value in np.unique(labels).tolist()
        if value
        for part in sorted(_components(labels == value), key=lambda part: int(part.reshape(-1).argmax()))
    ]
    assert list(zip(found.values, found.rles)) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_all_depths(dtype: type) -> None:
    labels = (np.arange(24).reshape(4, 6) % 5).astype(dtype)
    found = label_image.regions(label_image.cut(labels))
    assert [rle_to_mask(rle).sum() for rle in found.rles] == found.areas
    assert sum(found.areas) == 24


def test_colours_are_one_number_each() -> None:
    picture = np.zeros((3, 4, 3), np.uint8)
    picture[1, 1:3] = (10, 20, 30)
    picture[2, 3] = (0, 0, 255)
    found = label_image.regions(label_image.cut(picture), without=[0])
    assert found.values == [10 | 20 << 8 | 30 << 16, 255 << 16]
    assert found.areas == [2, 1]


def test_long_runs_and_large_differences() -> None:
    labels = np.zeros((3000, 1500), np.uint8)
    labels[2999, 1499] = labels[0, 0] = 1
    labels[:, 700:1400] = 2
    found = label_image.regions(label_image.cut(labels), without=[0])
    assert found.rles == [mask_to_rle(labels == 1), mask_to_rle(labels == 2)]


@given(label_images, st.integers(-14, 14), st.integers(-14, 14), shapes)
def test_a_window_is_placed_and_cut(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> None:
    height, width = size
    large = np.zeros((height + 60, width + 60), bool)
    large[30 + top : 30 + top + mask.shape[0], 30 + left : 30 + left + mask.shape[1]] = mask > 1
    expected = large[30 : 30 + height, 30 : 30 + width]
    rle = label_image.window_rle(mask > 1, left, top, height, width)
    assert rle == (mask_to_rle(expected) if expected.any() else None)


def test_majority_leaves_void_out_and_says_the_share() -> None:
    objects = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [3, 3, 3, 3]], np.uint8)
    classes = np.array([[255, 7, 7, 8], [8, 8, 8, 0], [255, 255, 0, 0]], np.uint8)
    runs, others = label_image.cut_pair(objects, classes)
    most = label_image.majority(runs, others, void=(0, 255))
    assert most == {1: (7, 0.5), 2: (8, 1.0), 0: (8, 0.5)}
    found = label_image.regions(runs, without=[0])
    assert found.rles == [mask_to_rle(objects == value) for value in (1, 2, 3)]
