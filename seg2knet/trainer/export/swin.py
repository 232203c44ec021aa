"""Swin's shifted windows, written so that they can be exported with free size.

mmdet's and mmseg's own ``ShiftWindowMSA`` makes Python numbers of sizes, which fixes them when it is traced. The result
is the same (Liu et al., arXiv 2103.14030, section 3.2).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

APART = -100.0
"""Added to the attention between pixels that the shift brought together and that are none of each other's business."""


@contextlib.contextmanager
def exportable_windows() -> Iterator[None]:
    """While it lasts, both packages' shifted-window attention is the one here."""
    modules = [sys.modules.get(f"{package}.models.backbones.swin") for package in ("mmdet", "mmseg")]
    kept = [(module.ShiftWindowMSA, module.ShiftWindowMSA.forward) for module in modules if module is not None]
    for kind, _ in kept:
        kind.forward = shifted_windows
    try:
        yield
    finally:
        for kind, forward in kept:
            kind.forward = forward


def shifted_windows(self: Any, query: Tensor, hw_shape: tuple[Any, Any]) -> Tensor:
    """``ShiftWindowMSA.forward``: (B, H * W, C) and (H, W) -> (B, H * W, C)."""
    batch, _, channels = query.shape
    height, width = hw_shape
    side, shift = self.window_size, self.shift_size
    rows, columns = (height + side - 1) // side, (width + side - 1) // side
    x = query.reshape(batch, height, width, channels)
    x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
    if shift:
        x = torch.roll(x, (-shift, -shift), (1, 2))
    windows = x.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    windows = windows.reshape(batch, rows * columns, side * side, channels)
    windows = _attend(self.w_msa, windows, _strangers(rows, columns, side, shift) if shift else None)
    x = windows.reshape(batch, rows, columns, side, side, channels).transpose(2, 3)
    x = x.reshape(batch, rows * side, columns * side, channels)
    if shift:
        x = torch.roll(x, (shift, shift), (1, 2))
    return self.drop(x[:, :height, :width].reshape(batch, height * width, channels))


def _attend(attention: Any, windows: Tensor, strangers: Any) -> Tensor:
    """``WindowMSA.forward`` on (B, n, N, C), windows apart from images; ``strangers`` (n, N, N) or ``None``."""
    heads = attention.num_heads
    pixels, channels = windows.shape[2:]
    parts = attention.qkv(windows).unflatten(-1, (3, heads, channels // heads))  # (B, n, N, 3, heads, C / heads)
    query, key, value = parts.permute(3, 0, 1, 4, 2, 5).unbind(0)  # each (B, n, heads, N, C / heads)
    bias = attention.relative_position_bias_table[attention.relative_position_index.flatten()]
    weights = query * attention.scale @ key.transpose(-2, -1) + bias.reshape(pixels, pixels, heads).permute(2, 0, 1)
    if strangers is not None:
        weights = weights + strangers[:, None]
    mixed = weights.softmax(-1) @ value
    return attention.proj(mixed.transpose(2, 3).flatten(3))


def _strangers(rows: Any, columns: Any, side: int, shift: int) -> Tensor:
    """(rows * columns, N, N): ``APART`` where two pixels of a window come from different edges of the image, else 0."""
    down, across = _regions(rows, side, shift), _regions(columns, side, shift)
    regions = 3 * down[:, :, None, None] + across[None, None]  # (rows, side, columns, side)
    regions = regions.transpose(1, 2).reshape(rows * columns, side * side)
    return (regions[:, :, None] != regions[:, None]).float() * APART


def _regions(windows: Any, side: int, shift: int) -> Tensor:
    """(windows, side): 0; in the last window 1, and 2 for what the shift moved there from the other edge."""
    last = (torch.arange(windows) == windows - 1).long()[:, None]
    moved = (torch.arange(side) >= side - shift).long()[None]
    return last * (1 + moved)
