"""Which kernel answers for which object: the Hungarian matching (paper, section 3.3; DETR, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from seg2knet.knet.targets import BatchTruth

CLASS_WEIGHT, MASK_WEIGHT, DICE_WEIGHT = 2.0, 1.0, 4.0
ALPHA, GAMMA = 0.25, 2.0
DICE_EPS = 1e-3


@dataclass
class Matches:
    """The positives of a batch as four index tensors, each (P,) int64 on the model's device."""

    image: Tensor
    kernel: Tensor
    truth: Tensor  # the place in BatchTruth.masks
    label: Tensor

    def __len__(self) -> int:
        return self.image.shape[0]


@torch.no_grad()
def matching_cost(
    probabilities: Tensor, targets: Tensor, class_logits: Optional[Tensor] = None, labels: Optional[Tensor] = None
) -> Tensor:
    """What it costs that kernel n answers for object g, in float32.

    Args:
        probabilities: (N, h, w) masks after the sigmoid.
        targets: (G, h, w) soft masks in 0..1.
        class_logits: (N, K), absent where there are none yet.
        labels: (G,) class indices, with `class_logits`.

    Returns:
        (N, G).
    """
    p, t = probabilities.float().flatten(1), targets.float().flatten(1)
    both = p @ t.t()
    p_sum, t_sum = p.sum(1, keepdim=True), t.sum(1)
    # sum p t + sum (1 - p)(1 - t), without making the complements
    agree = 2 * both - p_sum - t_sum + p.shape[1]
    cost = -MASK_WEIGHT * agree / p.shape[1]
    squares = p.square().sum(1, keepdim=True) + DICE_EPS + t.square().sum(1) + DICE_EPS
    cost = cost - DICE_WEIGHT * 2 * both / squares
    if class_logits is not None and labels is not None:
        q = class_logits.float().sigmoid()
        present = -ALPHA * (1 - q) ** GAMMA * (q + 1e-12).log()
        absent = -(1 - ALPHA) * q**GAMMA * (1 - q + 1e-12).log()
        cost = cost + CLASS_WEIGHT * (present - absent)[:, labels]
    return cost


@torch.no_grad()
def match(masks: Tensor, truth: BatchTruth, classes: Optional[Tensor] = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Match every image's objects to its kernels, one to one, at the least total cost.

    All costs of a batch go to the CPU in one copy: the only synchronisation of a stage.

    Args:
        masks: (B, N, h, w) logits of the instance kernels at stride 8.
        truth: the batch's, at stride 4.
        classes: (B, N, T) logits of the thing classes, absent for the kernel head's own masks.

    Returns:
        for each image the kernels, rising, and for each of them its object, counted within the image.
    """
    blocks: list[Tensor] = []
    shapes: list[tuple[int, int]] = []
    with torch.autocast(masks.device.type, enabled=False):
        for i, (begin, end) in enumerate(truth.things):
            shapes.append((masks.shape[1], end - begin))
            if begin == end:
                continue
            large = F.interpolate(masks[i : i + 1].float(), scale_factor=2, mode="bilinear", align_corners=False)
            logits = None if classes is None else classes[i]
            cost = matching_cost(large[0].sigmoid_(), truth.thing_masks(i), logits, truth.labels[begin:end])
            blocks.append(cost.flatten())
    flat = torch.cat(blocks).cpu().numpy() if blocks else np.zeros(0, np.float32)
    # A diverging model has costs that are not numbers; its loss says so, and the matching need not fall over it.
    flat = np.nan_to_num(flat, nan=1e6, posinf=1e6, neginf=-1e6)
    ends = np.cumsum([n * g for n, g in shapes])
    return [linear_sum_assignment(flat[end - n * g : end].reshape(n, g)) for (n, g), end in zip(shapes, ends)]


def positives(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], truth: BatchTruth, num_kernels: int = 0, num_things: int = 0
) -> Matches:
    """All positives of a batch; with `num_kernels`, the stuff kernels' as well.

    Stuff kernel c always answers for stuff class c, and is positive where the image has that class.

    Args:
        pairs: :func:`match`'s.
        truth: the batch's.
        num_kernels: N, the place of the first stuff kernel; 0 leaves the stuff out.
        num_things: the first stuff class.
    """
    image: list[int] = []
    kernel: list[int] = []
    place: list[int] = []
    for i, (kernels, objects) in enumerate(pairs):
        kernel += kernels.tolist()
        place += (objects + truth.things[i][0]).tolist()
        if num_kernels:
            kernel += [num_kernels + label - num_things for _, label in truth.stuff[i]]
            place += [index for index, _ in truth.stuff[i]]
        image += [i] * (len(kernel) - len(image))
    table = torch.tensor([image, kernel, place], dtype=torch.int64).reshape(3, -1)
    table = table.to(truth.masks.device, non_blocking=True)
    return Matches(table[0], table[1], table[2], truth.labels[table[2]])
