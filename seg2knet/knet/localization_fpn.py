"""The localization FPN: four pyramid levels become one localization and one semantic feature at stride 8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seg2knet.knet.merging import Pending
from seg2knet.knet.recompute import made_anew, recomputed

GROUPS = 32


class ConvNorm(nn.Module):
    """Convolution without bias -> GroupNorm(32) -> ReLU, the block of which everything outside the stages is made.

    Args:
        channels: features in and out; a multiple of 32.
        kernel_size: 1 or 3, padded so that only the stride changes the size.
        stride: of the convolution.
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)
        nn.init.normal_(self.conv.weight, std=0.01)

    def forward(self, x: Tensor | Pending) -> Tensor:
        """(B, C, h, w) -> (B, C, h / stride, w / stride)."""
        return recomputed(self._activate, x.then(self.conv) if isinstance(x, Pending) else self.conv(x))

    def enlarged(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """The block on `x` resized bilinearly; the resized map is not kept for backward."""
        return recomputed(self._activate, made_anew(partial(_resize, size=size), self.conv, x))

    def _activate(self, x: Tensor) -> Tensor:
        return relu(self.norm(x))


def relu(x: Tensor) -> Tensor:
    """ReLU that keeps one byte an entry for backward: what follows here mostly does not keep its input."""
    return _ReLU.apply(x) if torch.is_grad_enabled() and x.requires_grad else F.relu(x)


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return F.relu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return grad * positive


class LocalizationFPN(nn.Module):
    """Brings P2..P5 to stride 8, sums them and draws two features from the sum (paper, section 3.2 and figure 2).

    P2 goes through one convolution of stride 2, P3 through one convolution, P4 and P5 through a convolution, a bilinear
    doubling, a convolution, and so on until stride 8. P5 first gets a sine encoding of its positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        strides = ((2,), (1,), (1, 1), (1, 1, 1))
        self.levels = nn.ModuleList(nn.ModuleList(ConvNorm(channels, 3, s) for s in level) for level in strides)
        self.localization = ConvNorm(channels, 1)
        self.semantic = ConvNorm(channels, 1)

    def forward(self, pyramid: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """From P2..P5 (B, C, H/4, W/4) .. (B, C, H/32, W/32) to the two features, each (B, C, H/8, W/8)."""
        total = self.total(pyramid)
        return self.localization(total), self.semantic(total)

    def total(self, pyramid: Sequence[Any]) -> Tensor:
        """The sum at stride 8 that both features are drawn from. P2 may be :class:`~seg2knet.knet.merging.Pending`."""
        p2, p3, p4, p5 = pyramid
        levels: list[list[ConvNorm]] = [list(level) for level in self.levels]  # type: ignore[call-overload]
        size3, size4 = p3.shape[-2:], p4.shape[-2:]
        total = levels[0][0](p2) + levels[1][0](p3)
        total = total + levels[2][1].enlarged(levels[2][0](p4), size3)
        x = levels[3][1].enlarged(levels[3][0](p5 + sine_encoding(p5)), size4)
        return total + levels[3][2].enlarged(x, size3)


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def sine_encoding(feature: Tensor, temperature: float = 10000.0) -> Tensor:
    """Positions as sines and cosines (Carion et al., DETR, appendix A.4), normalised to 2 pi.

    Args:
        feature: (B, C, h, w), of which only size, type and device matter; C a multiple of 4.
        temperature: the base of the geometric series of wave lengths.

    Returns:
        (1, C, h, w): the first C/2 features encode y, the others x; sines and cosines alternate.
    """
    _, channels, height, width = feature.shape
    half = channels // 2
    steps = torch.arange(half, device=feature.device, dtype=torch.float32)
    frequency = temperature ** (2 * torch.div(steps, 2, rounding_mode="floor") / half)

    def encode(length: int) -> Tensor:
        position = torch.arange(1, length + 1, device=feature.device, dtype=torch.float32)
        angle = (position / (length + 1e-6) * (2 * math.pi))[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)  # (length, half)

    y = encode(height).t()[:, :, None].expand(half, height, width)
    x = encode(width).t()[:, None, :].expand(half, height, width)
    return torch.cat((y, x)).unsqueeze(0).to(feature.dtype)
