"""Ground truth at stride 4, a sixteenth of the pixels: all that the losses need of full-size masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seg2knet.errors import DataError
from seg2knet.knet.recipe import IGNORE

STRIDE = 4
FULL = 4
"""Value of a fully covered pixel in reduced masks."""


@dataclass
class ImageTruth:
    """One image's ground truth at stride 4. Masks hold quarters, 0 to 4.

    The semantic map holds thing and stuff classes; :func:`collate` takes the stuff of it, when the model's number of
    thing classes is known.
    """

    masks: np.ndarray  # (G, h, w) uint8, of the objects
    labels: list[int]  # G class indices
    semantic_masks: Optional[np.ndarray] = None  # (m, h, w) uint8, of the classes in the semantic map, if there is one
    semantic_labels: Optional[list[int]] = None  # m class indices
    name: str = "an image"  # for messages

    def check(self, num_things: int, num_stuff: int) -> None:
        """Raise DataError where an object or the semantic map has a class that the model does not have."""
        for holder, labels, count in (
            ("an object", self.labels, num_things),
            ("the semantic map", self.semantic_labels or [], num_things + num_stuff if num_stuff else IGNORE),
        ):
            if labels and not 0 <= min(labels) <= max(labels) < count:
                raise DataError(
                    f"{holder} has a class that the model does not have",
                    file=self.name,
                    found=f"class indices {min(labels)} to {max(labels)}",
                    expected=f"0 to {count - 1}",
                    hint="num_things and num_stuff in the config must be the class counts of the data set",
                )


@dataclass
class BatchTruth:
    """The ground truth of a batch: all images' masks in one tensor, one after another."""

    masks: Tensor  # (T, h, w) uint8, quarters
    labels: Tensor  # (T,) int64
    things: list[tuple[int, int]]  # for each image, the range of its things in `masks`
    stuff: list[list[tuple[int, int]]]  # for each image, (index in `masks`, class) of its stuff

    def thing_masks(self, image: int) -> Tensor:
        """One image's things, (G, h, w) float32 in 0..1."""
        begin, end = self.things[image]
        return self.masks[begin:end].float() / FULL


def reduce_masks(masks: np.ndarray) -> np.ndarray:
    """Resize masks, (n, H, W) of 0 and 1, bilinearly to stride 4: (n, ceil(H / 4), ceil(W / 4)) uint8 of 0..4.

    Bilinear sampling at a quarter of the size, corners not aligned, is the mean of the four inner pixels of each 4 x 4
    block: a number of quarters, which fits in a byte. Sizes that are no multiple of 4 are padded with zeros.
    """
    a, b, c, d = _inner(masks.astype(np.uint8, copy=False))
    return a + b + c + d


def reduce_semantic(labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The masks of the n classes in a label map, (H, W) uint8 with 255 = ignore, resized as :func:`reduce_masks` does;
    and these classes."""
    present = [int(c) for c in np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE)[:IGNORE])]
    corners = _inner(labels, fill=IGNORE)
    classes = np.asarray(present, labels.dtype)[:, None, None]
    masks = np.zeros((len(present), *corners[0].shape), np.uint8)
    for corner in corners:
        masks += corner == classes
    return masks, present


def pad(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad reduced masks (n, h, w) with zeros at the right and the bottom, or cut them, to (n, *size)."""
    return F.pad(masks, (0, size[1] - masks.shape[2], 0, size[0] - masks.shape[1]))


def collate(
    truths: Sequence[ImageTruth], size: tuple[int, int], num_things: int, num_stuff: int, device: torch.device
) -> BatchTruth:
    """Join the images' truths on the model's device, at the size (h, w) of the batch's padded input at stride 4.
    Classes below `num_things` are things; without stuff the semantic maps are left out.

    Raises DataError: a class that the model does not have.
    """
    labels: list[int] = []
    masks: list[Tensor] = [torch.zeros((0, *size), dtype=torch.uint8, device=device)]
    things: list[tuple[int, int]] = []
    stuff: list[list[tuple[int, int]]] = []

    def add(some: np.ndarray, of_class: list[int]) -> range:
        # Padded on the device: padding is cheap there and would make the transfer larger.
        masks.append(pad(torch.from_numpy(some).to(device, non_blocking=True), size))
        labels.extend(of_class)
        return range(len(labels) - len(of_class), len(labels))

    for truth in truths:
        truth.check(num_things, num_stuff)
        places = add(truth.masks, truth.labels)
        things.append((places.start, places.stop))
        stuff.append([])
        if num_stuff and truth.semantic_masks is not None and truth.semantic_labels is not None:
            present = [i for i, label in enumerate(truth.semantic_labels) if label >= num_things]
            classes = [truth.semantic_labels[i] for i in present]
            stuff[-1] = list(zip(add(truth.semantic_masks[present], classes), classes))
    label_tensor = torch.tensor(labels, dtype=torch.int64).to(device, non_blocking=True)
    return BatchTruth(torch.cat(masks), label_tensor, things, stuff)


def _inner(masks: np.ndarray, fill: int = 0) -> list[np.ndarray]:
    """The four inner pixels of every 4 x 4 block of (..., H, W), each (..., ceil(H / 4), ceil(W / 4))."""
    height, width = masks.shape[-2:]
    bottom, right = -height % STRIDE, -width % STRIDE
    if bottom or right:
        around = [(0, 0)] * (masks.ndim - 2) + [(0, bottom), (0, right)]
        masks = np.pad(masks, around, constant_values=fill)
    return [masks[..., y::STRIDE, x::STRIDE] for y in (1, 2) for x in (1, 2)]
