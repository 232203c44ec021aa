"""The losses as functions of tensors, in float32; which kernel is held against what is criterion.py's business."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seg2knet.knet.matching import ALPHA, DICE_EPS


def enlarge(masks: Tensor) -> Tensor:
    """(P, h, w) logits at stride 8 -> (P, 2h, 2w) float32 at stride 4, bilinear."""
    return F.interpolate(masks.float().unsqueeze(1), scale_factor=2, mode="bilinear", align_corners=False).squeeze(1)


def mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice loss of each positive.

    Args:
        logits: (P, h, w).
        targets: (P, h, w) soft masks in 0..1.

    Returns:
        cross-entropy, the mean over each mask's pixels, (P,); dice, 1 - 2 sum(p t) / (sum p^2 + sum t^2 + 2e-3), (P,).
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((1, 2))
    p, t = logits.sigmoid().flatten(1), targets.flatten(1)
    squares = p.square().sum(1) + DICE_EPS + t.square().sum(1) + DICE_EPS
    return entropy, 1 - 2 * (p * t).sum(1) / squares


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid focal loss (Lin et al., 2017), gamma 2, alpha 0.25, summed over everything.

    Its gradient is worked out along with its value, so that of all the intermediate results only one tensor is kept.

    Args:
        logits: (B, K, ...) any number of trailing dimensions.
        labels: (B, ...) int64; outside 0..K-1 means no class: background in every column.

    Returns:
        a scalar.
    """
    return _Focal.apply(logits, labels)


class _Focal(torch.autograd.Function):
    """Every entry as background first, then the entry of the true class of each place put right."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        x = logits.float()
        p = x.sigmoid()
        entropy = F.softplus(x)
        scratch = p.square().mul_(entropy)
        value = scratch.sum() * (1 - ALPHA)
        # d/dx p^2 softplus(x) = p^2 (2 (1 - p) softplus(x) + p)
        slope = entropy.mul_(torch.neg(p, out=scratch).add_(1).mul_(2)).add_(p)
        slope.mul_(torch.square(p, out=scratch)).mul_(1 - ALPHA)
        del scratch

        known = (labels >= 0) & (labels < logits.shape[1])
        index = labels.clamp(0, logits.shape[1] - 1).unsqueeze(1)
        y, q = x.gather(1, index), p.gather(1, index)
        entropy = F.softplus(-y)
        right = ALPHA * (1 - q).square() * entropy
        wrong = (1 - ALPHA) * q.square() * F.softplus(y)
        value = value + ((right - wrong) * known.unsqueeze(1)).sum()
        right_slope = -ALPHA * (1 - q).square() * (2 * q * entropy + 1 - q)
        slope.scatter_(1, index, torch.where(known.unsqueeze(1), right_slope, slope.gather(1, index)))
        ctx.save_for_backward(slope)
        ctx.kind = logits.dtype
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return (slope * gradient).to(ctx.kind), None


def rank_loss(masks: Tensor, owners: Tensor) -> Tensor:
    """Cross-entropy over the kernels at every pixel: that kernel should be highest whose mask owns the pixel.

    Args:
        masks: (B, M, h, w) logits.
        owners: (B, h, w) int64, the kernel that owns the pixel, -1 where none does.

    Returns:
        a scalar: the sum over the pixels that have an owner, divided by the number of all pixels.
    """
    return F.cross_entropy(masks.float(), owners, ignore_index=-1, reduction="sum") / owners.numel()
