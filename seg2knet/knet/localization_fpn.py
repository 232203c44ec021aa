"""The localization FPN: four pyramid levels become a localization and a semantic feature map at stride 8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
TEMPERATURE = 10000.0  # of the sine encoding: base of the geometric series of wavelengths


class ConvNorm(nn.Module):
    """Convolution without bias -> GroupNorm(32) -> ReLU; ``channels``, a multiple of 32, go in and out. The kernel, 1
    or 3 wide, is padded so that only the stride changes the size."""

    def __init__(self, channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)
        nn.init.normal_(self.conv.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h / stride, w / stride)."""
        return F.relu(self.norm(self.conv(x)))


class LocalizationFPN(nn.Module):
    """Resamples P2..P5 to stride 8, sums them and computes two feature maps from the sum (section 3.2, figure 2).

    P2 goes through one convolution of stride 2, P3 through one convolution, P4 and P5 through a convolution, bilinear
    upsampling by 2, a convolution, and so on until stride 8. A sine position encoding is added to P5 first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        strides = ((2,), (1,), (1, 1), (1, 1, 1))
        self.levels = nn.ModuleList(nn.ModuleList(ConvNorm(channels, 3, s) for s in level) for level in strides)
        self.localization = ConvNorm(channels, 1)
        self.semantic = ConvNorm(channels, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """P2..P5, (B, C, H/4, W/4) .. (B, C, H/32, W/32) -> localization and semantic map, (B, C, H/8, W/8) each."""
        p2, p3, p4, p5 = pyramid
        size3, size4 = p3.shape[-2:], p4.shape[-2:]
        levels: list[list[ConvNorm]] = [list(level) for level in self.levels]  # type: ignore[call-overload]
        total = levels[0][0](p2) + levels[1][0](p3)
        total = total + levels[2][1](_resize(levels[2][0](p4), size3))
        x = levels[3][1](_resize(levels[3][0](p5 + sine_encoding(p5)), size4))
        total = total + levels[3][2](_resize(x, size3))
        return self.localization(total), self.semantic(total)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def sine_encoding(feature: Tensor) -> Tensor:
    """Sine position encoding (Carion et al., DETR, appendix A.4), positions normalised to 2 pi.

    For a map (B, C, h, w) of which only size, dtype and device are used; C is a multiple of 4. Returns (1, C, h, w):
    the first C/2 channels encode y, the others x; sines and cosines alternate.
    """
    _, channels, height, width = feature.shape
    half = channels // 2
    steps = torch.arange(half, device=feature.device, dtype=torch.float32)
    frequency = TEMPERATURE ** (2 * torch.div(steps, 2, rounding_mode="floor") / half)

    def encode(length: int) -> Tensor:
        position = torch.arange(1, length + 1, device=feature.device, dtype=torch.float32)
        angle = (position / (length + 1e-6) * (2 * math.pi))[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)  # (length, half)

    y = encode(height).t()[:, :, None].expand(half, height, width)
    x = encode(width).t()[:, None, :].expand(half, height, width)
    return torch.cat((y, x)).unsqueeze(0).to(feature.dtype)
