"""Reduced truth equals bilinear resizing of the padded full-size masks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2knet.knet.targets import ImageTruth, collate, pad, reduce_masks, reduce_semantic


def resized(masks: np.ndarray) -> torch.Tensor:
    """Pad to a multiple of 4 and let PyTorch resize."""
    height, width = masks.shape[-2:]
    whole = F.pad(torch.from_numpy(masks).float()[None], (0, -width % 4, 0, -height % 4))
    return F.interpolate(whole, scale_factor=0.25, mode="bilinear", align_corners=False)[0]


@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_masks_are_resized_bilinearly(count: int, height: int, width: int, seed: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 2, (count, height, width), dtype=np.uint8)
    ours = reduce_masks(masks)
    assert ours.dtype == np.uint8
    torch.testing.assert_close(torch.from_numpy(ours).float() / 4, resized(masks))
    np.testing.assert_array_equal(reduce_masks(masks.astype(bool)), ours)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_semantic_masks_are_those_of_each_class(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (height, width))
    ours, present = reduce_semantic(labels)
    assert present == [c for c in range(5) if (labels == c).any()]
    for mask, c in zip(ours, present):
        np.testing.assert_array_equal(mask, reduce_masks((labels == c)[None])[0])


def test_a_class_of_one_pixel_is_present_though_its_mask_is_empty() -> None:
    labels = np.full((8, 8), 255, np.uint8)
    labels[0, 0] = 1
    masks, present = reduce_semantic(labels)
    assert present == [1]
    assert not masks.any()


def test_collate_puts_things_and_stuff_where_it_says() -> None:
    ones = np.ones((2, 2, 3), np.uint8)
    truths = [ImageTruth(ones[:1], [1], ones, [1, 4]), ImageTruth(ones[:0], []), ImageTruth(2 * ones[:1], [0])]
    batch = collate(truths, (3, 4), 3, 2, torch.device("cpu"))
    assert batch.masks.shape == (3, 3, 4)
    assert batch.things == [(0, 1), (2, 2), (2, 3)]
    assert batch.stuff == [[(1, 4)], [], []]
    assert batch.labels.tolist() == [1, 4, 0]
    assert batch.thing_masks(2)[0, :2, :3].unique().tolist() == [0.5]
    assert batch.masks[:, 2].sum() == 0


def test_without_stuff_classes_the_semantic_map_is_left_out() -> None:
    ones = np.ones((1, 2, 3), np.uint8)
    batch = collate([ImageTruth(ones, [1], ones, [4])], (2, 3), 3, 0, torch.device("cpu"))
    assert batch.labels.tolist() == [1]
    assert batch.stuff == [[]]


def test_padding_also_cuts() -> None:
    assert pad(torch.ones(1, 4, 4), (3, 5)).sum() == 12
