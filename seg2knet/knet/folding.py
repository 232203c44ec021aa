"""BatchNorm in eval mode, folded into the convolution before it.

With fixed statistics BatchNorm is one factor and one offset a channel, so conv -> BN equals a convolution with other
weights. Folding saves a pass over every feature map forward, two backward, and the memory of every convolution's
output, while the parameters stay what and where they were and get the same gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm


def fold_batch_norms(root: nn.Module) -> int:
    """Let every conv -> BatchNorm pair in a network run as one convolution whenever the BatchNorm is in eval mode.

    Nothing changes while it is in training mode, and names, parameters and buffers never do.

    Args:
        root: a backbone.

    Returns:
        the number of pairs found.
    """
    pairs = list(_pairs(root))
    for conv, norm in pairs:
        conv.forward = partial(_conv_forward, conv, norm)  # type: ignore[method-assign]
        norm.forward = partial(_norm_forward, norm)  # type: ignore[method-assign]
    return len(pairs)


def _pairs(root: nn.Module) -> Iterator[tuple[nn.Conv2d, _BatchNorm]]:
    """Neighbours in a Sequential, and ``conv1`` with ``norm1`` and so on, as mmdet's residual blocks and stems are."""
    for module in root.modules():
        if isinstance(module, nn.Sequential):
            children = list(module)
            candidates = list(zip(children, children[1:]))
        else:
            numbered = [(getattr(module, f"conv{i}", None), getattr(module, f"norm{i}", None)) for i in (1, 2, 3)]
            candidates = [(conv, norm) for conv, norm in numbered if conv is not None and norm is not None]
        for conv, norm in candidates:
            # Exactly Conv2d: a deformable convolution is a subclass that does more.
            if type(conv) is nn.Conv2d and isinstance(norm, _BatchNorm) and norm.track_running_stats:
                yield conv, norm


def _conv_forward(conv: nn.Conv2d, norm: _BatchNorm, x: Tensor) -> Tensor:
    if norm.training:
        return conv._conv_forward(x, conv.weight, conv.bias)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    factor = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        factor = norm.weight * factor
    bias = factor * ((0 if conv.bias is None else conv.bias) - norm.running_mean)
    if norm.affine:
        bias = bias + norm.bias
    if torch.is_grad_enabled() and conv.weight.requires_grad and conv.padding_mode == "zeros":
        geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)
        return _ScaledConv.apply(as_computed(x), conv.weight, factor, bias, geometry)
    return conv._conv_forward(x, conv.weight * _column(factor), bias)


def _norm_forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    return type(norm).forward(norm, x) if norm.training else x


def _column(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def as_computed(x: Tensor) -> Tensor:
    """The input in the type that autocast would compute in, so that it is kept once and in that type."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class _ScaledConv(torch.autograd.Function):
    """Convolution with weight * factor, which makes the scaled weights anew for backward instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, factor: Tensor, bias: Tensor, geometry: tuple) -> Tensor:
        ctx.save_for_backward(x, weight, factor)
        ctx.geometry = geometry
        scaled = (weight * _column(factor)).to(x.dtype)
        return F.conv2d(x, scaled, bias.to(x.dtype), *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], ...]:
        x, weight, factor = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        wanted = [ctx.needs_input_grad[0], True, True]
        scaled = (weight * _column(factor)).to(x.dtype)
        arguments = ([weight.shape[0]], stride, padding, dilation, False, [0, 0], groups, wanted)
        grad_x, grad_scaled, grad_bias = torch.ops.aten.convolution_backward(grad, x, scaled, *arguments)
        del scaled
        grad_scaled = grad_scaled.to(weight.dtype)
        grad_factor = (grad_scaled * weight).sum((1, 2, 3))
        return grad_x, grad_scaled.mul_(_column(factor)), grad_factor, grad_bias.to(factor.dtype), None
