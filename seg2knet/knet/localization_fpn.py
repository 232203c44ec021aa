"""The localization FPN: four pyramid levels become one localization and one semantic feature at stride 8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h / stride, w / stride)."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class LocalizationFPN(nn.Module):
    """Brings P2..P5 to stride 8, sums them and draws two features from the sum (paper, section 3.2 and figure 2).

    P2 goes through one convolution of stride 2, P3 through one convolution, P4 and P5 through a convolution, a bilinear
    doubling, a convolution, and so on until stride 8. P5 first gets a sine encoding of its positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                nn.ModuleList([ConvNorm(channels, 3, stride=2)]),
                nn.ModuleList([ConvNorm(channels, 3)]),
                nn.ModuleList([ConvNorm(channels, 3) for _ in range(2)]),
                nn.ModuleList([ConvNorm(channels, 3) for _ in range(3)]),
            ]
        )
        self.localization = ConvNorm(channels, 1)
        self.semantic = ConvNorm(channels, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """From P2..P5 (B, C, H/4, W/4) .. (B, C, H/32, W/32) to the two features, each (B, C, H/8, W/8)."""
        p2, p3, p4, p5 = pyramid
        sizes = [p.shape[-2:] for p in pyramid]
        p5 = p5 + sine_encoding(p5)
        total = self.levels[0][0](p2) + self.levels[1][0](p3)
        for level, convs in ((p4, self.levels[2]), (p5, self.levels[3])):
            x = convs[0](level)
            for conv, size in zip(convs[1:], reversed(sizes[1 : len(convs)])):
                x = conv(F.interpolate(x, size=size, mode="bilinear", align_corners=False))
            total = total + x
        return self.localization(total), self.semantic(total)


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
