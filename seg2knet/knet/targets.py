"""Truth at stride 4: what the losses need of full-size masks, made on the CPU, one sixteenth of the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seg2knet.errors import DataError

NOTHING = 255  # in a semantic map
STRIDE = 4
FULL = 4  # the value that a wholly covered pixel has in reduced masks


@dataclass
class ImageTruth:
    """One image's truth at stride 4, on any device.

    Masks hold quarters: 0 to 4. The G things come first, then one mask for each stuff class that the image has.
    """

    masks: Tensor  # (G + S', h, w) uint8
    labels: list[int]  # G + S' class indices; those from `num_things` on are stuff


@dataclass
class BatchTruth:
    """The truth of a batch: all images' masks in one tensor, one after another."""

    masks: Tensor  # (T, h, w) uint8, quarters
    labels: Tensor  # (T,) int64
    things: list[tuple[int, int]]  # for each image, where its things begin and end in `masks`
    stuff: list[list[tuple[int, int]]]  # for each image, (place in `masks`, class) of its stuff

    def thing_masks(self, image: int) -> Tensor:
        """(G, h, w) float32 in 0..1, one image's things."""
        begin, end = self.things[image]
        return self.masks[begin:end].float() / FULL


def reduce_masks(masks: np.ndarray) -> np.ndarray:
    """Resize binary masks bilinearly to stride 4, keeping them soft.

    Bilinear sampling at a quarter of the size, corners not aligned, reads the mean of the four inner pixels of each
    4 x 4 block: so the result is a number of quarters and fits a byte. Sizes that 4 does not divide are padded by zero.

    Args:
        masks: (n, H, W) bool or uint8 of 0 and 1.

    Returns:
        (n, ceil(H / 4), ceil(W / 4)) uint8 of 0..4.
    """
    a, b, c, d = _inner(masks.astype(np.uint8, copy=False))
    return a + b + c + d


def reduce_semantic(labels: np.ndarray, first: int, count: int) -> tuple[np.ndarray, list[int]]:
    """The masks of some classes of a label map, resized as :func:`reduce_masks` does.

    Args:
        labels: (H, W), class indices, 255 = nothing.
        first: the first class wanted.
        count: how many classes from there on.

    Returns:
        (n, ceil(H / 4), ceil(W / 4)) uint8 of 0..4 and the n classes that the image has, be it in a single pixel.

    Raises:
        DataError: a label is neither one of the classes below ``first + count`` nor 255.
    """
    if labels.dtype != np.uint8 and labels.size and (labels.min() < 0 or labels.max() > NOTHING):
        raise _unknown(int(labels.min() if labels.min() < 0 else labels.max()), first + count)
    pixels = np.bincount(labels.ravel(), minlength=NOTHING + 1)
    unknown = np.flatnonzero(pixels[first + count : NOTHING]) + first + count
    if unknown.size:
        raise _unknown(int(unknown[0]), first + count)
    present = [int(c) for c in np.flatnonzero(pixels[first : first + count]) + first]
    corners = _inner(labels, fill=NOTHING)
    wanted = np.asarray(present, labels.dtype)[:, None, None]
    masks = np.zeros((len(present), *corners[0].shape), np.uint8)
    for corner in corners:
        masks += corner == wanted
    return masks, present


def pad(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad reduced masks (n, h, w) with zeros at the right and the bottom to (n, *size)."""
    if tuple(masks.shape[1:]) == size:
        return masks
    padded = masks.new_zeros((masks.shape[0], *size))
    height, width = min(size[0], masks.shape[1]), min(size[1], masks.shape[2])
    padded[:, :height, :width] = masks[:, :height, :width]
    return padded


def collate(truths: Sequence[ImageTruth], size: tuple[int, int], num_things: int, device: torch.device) -> BatchTruth:
    """Put the images' truths together at the size of the batch and move them to where the model is, once.

    Args:
        truths: one an image.
        size: (h, w) of the padded input at stride 4.
        num_things: classes below are things.
        device: the model's.
    """
    labels: list[int] = []
    things: list[tuple[int, int]] = []
    stuff: list[list[tuple[int, int]]] = []
    for truth in truths:
        begin = len(labels)
        count = sum(label < num_things for label in truth.labels)
        things.append((begin, begin + count))
        stuff.append([(begin + i, label) for i, label in enumerate(truth.labels) if i >= count])
        labels += truth.labels
    # Moved first and padded there: padding is cheap and makes the transfer larger.
    padded = [pad(truth.masks.to(device, non_blocking=True), size) for truth in truths]
    masks = torch.cat(padded) if padded else torch.zeros((0, *size), dtype=torch.uint8, device=device)
    return BatchTruth(masks, torch.tensor(labels, dtype=torch.int64).to(device, non_blocking=True), things, stuff)


def _inner(masks: np.ndarray, fill: int = 0) -> list[np.ndarray]:
    """The four inner pixels of every 4 x 4 block of (..., H, W), each (..., ceil(H / 4), ceil(W / 4))."""
    height, width = masks.shape[-2:]
    bottom, right = -height % STRIDE, -width % STRIDE
    if bottom or right:
        around = [(0, 0)] * (masks.ndim - 2) + [(0, bottom), (0, right)]
        masks = np.pad(masks, around, constant_values=fill)
    return [masks[..., y::STRIDE, x::STRIDE] for y in (1, 2) for x in (1, 2)]


def _unknown(label: int, classes: int) -> DataError:
    return DataError(
        "a semantic map holds a class that the model does not have",
        found=f"label {label}",
        expected=f"0 to {classes - 1}, or {NOTHING} for nothing",
        hint="run `seg2knet validate` on the data set",
    )
