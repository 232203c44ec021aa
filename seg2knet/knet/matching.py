"""One-to-one assignment of kernels to ground-truth objects: Hungarian matching (section 3.3; DETR, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seg2knet.knet.losses import ALPHA, CLASS, DICE, DICE_EPS, MASK, upsample
from seg2knet.knet.targets import BatchTruth

INVALID_COST = 1e6
"""In place of costs that are not finite."""

Pairs = tuple[np.ndarray, np.ndarray]
"""Kernels of one image, rising, and for each of them its object, counted within the image; (n,) int64 each."""


@dataclass
class Matches:
    """The positives of a batch as four index tensors, each (P,) int64 on the model's device."""

    image: Tensor
    kernel: Tensor
    truth: Tensor  # index into BatchTruth.masks
    label: Tensor


@torch.no_grad()
def matching_cost(
    probabilities: Tensor, targets: Tensor, class_logits: Optional[Tensor] = None, labels: Optional[Tensor] = None
) -> Tensor:
    """Cost of assigning object g to kernel n, (N, G) float32: of masks after the sigmoid, (N, h, w), to soft masks in
    0..1, (G, h, w); with class logits (N, K), which the kernel head lacks, to class indices (G,)."""
    p, t = probabilities.float().flatten(1), targets.float().flatten(1)
    both = p @ t.t()
    p_sum, t_sum = p.sum(1, keepdim=True), t.sum(1)
    # sum p t + sum (1 - p)(1 - t), without the complements
    agree = 2 * both - p_sum - t_sum + p.shape[1]
    cost = -MASK * agree / p.shape[1]
    squares = p.square().sum(1, keepdim=True) + DICE_EPS + t.square().sum(1) + DICE_EPS
    cost = cost - DICE * 2 * both / squares
    if class_logits is not None and labels is not None:
        q = class_logits.float().sigmoid()
        present = -ALPHA * (1 - q).square() * (q + 1e-12).log()
        absent = -(1 - ALPHA) * q.square() * (1 - q + 1e-12).log()
        cost = cost + CLASS * (present - absent)[:, labels]
    return cost


@torch.no_grad()
def batch_costs(mask_logits: Tensor, truth: BatchTruth, class_logits: Optional[Tensor] = None) -> list[Tensor]:
    """The cost matrix of each image, (N, G) on the model's device, of the instance kernels' logits: (B, N, h, w) at
    stride 8 and (B, N, T) of the thing classes, None for the kernel head's masks."""
    costs: list[Tensor] = []
    for i, (begin, end) in enumerate(truth.things):
        classes = None if class_logits is None else class_logits[i]
        probabilities = upsample(mask_logits[i : i + 1])[0].sigmoid()
        costs.append(matching_cost(probabilities, truth.thing_masks(i), classes, truth.labels[begin:end]))
    return costs


def assign(costs: Sequence[Tensor]) -> list[Pairs]:
    """Assign objects to kernels, one to one, at the least total cost of each matrix, (N, G) of one N; G may differ.
    With more objects than kernels some objects get no kernel.

    Everything is copied to the CPU at once: the only synchronisation with the device that a training step needs. Where
    torch-hungarian can solve on the GPU, the assignments are copied, otherwise the costs, which SciPy then solves.
    """
    # The costs of a diverging model are not numbers. The run reports that by its loss; matching must not fail on it.
    flat = torch.cat([cost.flatten() for cost in costs])
    flat = flat.nan_to_num(nan=INVALID_COST, posinf=INVALID_COST, neginf=-INVALID_COST)
    finite = [part.view(cost.shape) for part, cost in zip(flat.split([cost.numel() for cost in costs]), costs)]
    solver = _gpu_solver(flat.device)
    most = max(cost.shape[1] for cost in costs)
    if solver is None or not 0 < most <= costs[0].shape[0]:
        from scipy.optimize import linear_sum_assignment

        on_cpu = np.split(flat.cpu().numpy(), np.cumsum([cost.numel() for cost in costs])[:-1])
        return [linear_sum_assignment(part.reshape(cost.shape)) for part, cost in zip(on_cpu, costs)]
    # One batch. Columns that an image lacks cost nothing for any kernel, so they do not change which its objects get.
    columns = solver(torch.stack([F.pad(cost, (0, most - cost.shape[1])) for cost in finite])).cpu().numpy()
    kernels = [np.flatnonzero((row >= 0) & (row < cost.shape[1])) for row, cost in zip(columns, costs)]
    return [(chosen, row[chosen]) for chosen, row in zip(kernels, columns)]


@cache
def _gpu_solver(device: torch.device) -> Optional[Callable[[Tensor], Tensor]]:
    """torch-hungarian's solver where it is installed and runs on this GPU: NVIDIA, compute capability 8.0 or newer.

    It takes costs (B, N, G) and gives (B, N) int64, the column assigned to each row, -1 for none.
    """
    if device.type != "cuda" or torch.version.cuda is None or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    if find_spec("torch_linear_assignment") is None or find_spec("triton") is None:
        return None
    from torch_linear_assignment import batch_linear_assignment

    return batch_linear_assignment


def positives(pairs: Sequence[Pairs], truth: BatchTruth, num_kernels: int = 0, num_things: int = 0) -> Matches:
    """All positives of a batch, from the pairs of each image.

    Stuff kernel c is always assigned to stuff class c, and is positive where the image has that class. `num_kernels`
    and `num_things` are the indices of the first stuff kernel (0 leaves stuff out) and of the first stuff class.
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
