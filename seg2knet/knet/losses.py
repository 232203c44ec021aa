"""The losses as functions of tensors, in float32; criterion.py decides which kernel is compared with which target."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

CLASS, MASK, DICE, RANK, SEMANTIC = 2.0, 1.0, 4.0, 0.1, 1.0
"""Weights of the losses; those of the matching costs are the same."""
ALPHA = 0.25
"""Weight of the positives in the focal loss; negatives have 1 - ALPHA. Its exponent gamma is 2."""
DICE_EPS = 1e-3


def upsample(logits: Tensor) -> Tensor:
    """(B, M, h, w) logits at stride 8 -> (B, M, 2h, 2w) float32 at stride 4, bilinear."""
    return F.interpolate(logits.float(), scale_factor=2, mode="bilinear", align_corners=False)


def mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice loss of each positive: logits and soft masks in 0..1, (P, h, w) each -> the mean
    cross-entropy over each mask's pixels, and 1 - 2 sum(p t) / (sum p^2 + sum t^2 + 2e-3), (P,) each."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((1, 2))
    p, t = logits.sigmoid().flatten(1), targets.flatten(1)
    squares = p.square().sum(1) + DICE_EPS + t.square().sum(1) + DICE_EPS
    return entropy, 1 - 2 * (p * t).sum(1) / squares


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid focal loss (Lin et al., 2017), gamma 2, alpha 0.25, summed over all entries of the logits, (B, K, ...).
    Labels are (B, ...) int64: a value outside 0..K-1 is background, a negative in every column."""
    x = logits.float()
    p = x.sigmoid()
    negative = (1 - ALPHA) * p.square() * F.softplus(x)  # softplus(x) = -log(1 - p)
    # One column of each row is a positive instead. Gathered, so that no one-hot target of the logits' size is needed.
    positive_rows = ((labels >= 0) & (labels < logits.shape[1])).unsqueeze(1)
    column = labels.clamp(0, logits.shape[1] - 1).unsqueeze(1)
    positive = ALPHA * (1 - p.gather(1, column)).square() * F.softplus(-x.gather(1, column))
    return negative.sum() + ((positive - negative.gather(1, column)) * positive_rows).sum()


def rank_loss(mask_logits: Tensor, owners: Tensor) -> Tensor:
    """Cross-entropy over the kernels, (B, M, h, w), at every pixel: its owner, (B, h, w) int64 or -1 for none, should
    have the highest logit. The sum over the pixels that have an owner, divided by the number of all pixels."""
    return F.cross_entropy(mask_logits.float(), owners, ignore_index=-1, reduction="sum") / owners.numel()
