"""Two convolutions in a row, with nothing between them, as one.

FPN's last convolution on P2 (3x3, at stride 4) and the localization FPN's first one (3x3, to stride 8) are both linear,
so together they are one convolution of 5x5 to stride 8: 25 products for each pair of channels and pixel of the result
instead of 4 x 9 + 9, a feature map less at stride 4, and none of its gradients. The parameters stay what and where they
are and get the same gradients.

Only the border needs care: the second convolution sees zeros around the first one's result, where the merged one would
see what the first makes of the picture's edge.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seg2knet.knet.folding import as_computed


class Pending(NamedTuple):
    """``conv(x)``, not yet worked out."""

    x: Tensor
    conv: nn.Conv2d

    def then(self, second: nn.Conv2d) -> Tensor:
        """``second(conv(x))``, merged where it can be."""
        merged = merge(self.x, self.conv, second)
        return second(self.conv(self.x)) if merged is None else merged


def merge(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Optional[Tensor]:
    """``second(first(x))`` as one convolution.

    Args:
        x: (B, C, H, W), H and W even.
        first: 3x3, stride 1, padded by 1.
        second: 3x3, stride 2, padded by 1.

    Returns:
        (B, C', H / 2, W / 2); None where the two are not of that kind.
    """
    even = x.shape[-1] % 2 == 0 and x.shape[-2] % 2 == 0
    if not even or not (_plain(first, 1) and _plain(second, 2)) or torch.compiler.is_compiling():
        return None
    return _Merged.apply(as_computed(x), first.weight, first.bias, second.weight, second.bias)


class _Merged(torch.autograd.Function):
    """Keeps the input alone: the merged weights are made anew for backward, and the border's gradients are added to
    the border, where autograd would add a whole map for each side."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inner: Tensor, inner_bias: Optional[Tensor], outer: Tensor, outer_bias: Optional[Tensor]
    ) -> Tensor:
        ctx.save_for_backward(x, inner, inner_bias, outer, outer_bias)
        parts = _parts(x[:, :, :1], x[..., :1], inner, inner_bias, outer, outer_bias)
        weight, bias = (part.to(x.dtype) for part in parts[:2])
        y = F.conv2d(x, weight, bias, stride=2, padding=2)
        y[:, :, :1] -= parts[2]
        y[..., :1] -= parts[3]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], ...]:
        x, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            leaves: list[Any] = [
                None if tensor is None else tensor.detach().requires_grad_()
                for tensor in (x[:, :, :1], x[..., :1], *parameters)
            ]
            parts = _parts(*leaves)
        wanted = [ctx.needs_input_grad[0], True, True]
        arguments = ([len(parts[1])], [2, 2], [2, 2], [1, 1], False, [0, 0], 1, wanted)
        weight = parts[0].detach().to(x.dtype)
        grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(grad, x, weight, *arguments)
        del weight
        sides = (-grad[:, :, :1], -grad[..., :1])
        grads = [part.to(whole.dtype) for part, whole in zip((grad_weight, grad_bias, *sides), parts)]
        found = iter(torch.autograd.grad(parts, [leaf for leaf in leaves if leaf is not None], grads))
        row, column, *others = [None if leaf is None else next(found) for leaf in leaves]
        if grad_x is not None:
            grad_x[:, :, :1] += row
            grad_x[..., :1] += column
        return grad_x, *others


def _parts(
    top: Tensor,
    left: Tensor,
    inner: Tensor,
    inner_bias: Optional[Tensor],
    outer: Tensor,
    outer_bias: Optional[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The merged weight and bias, and what they make too much of in the first row and the first column.

    Args:
        top, left: the first row and the first column of the input, (B, C, 1, W) and (B, C, H, 1).
        inner, inner_bias: the first convolution's.
        outer, outer_bias: the second one's.

    Returns:
        weight (C', C, 5, 5), bias (C'), row (B, C', 1, W / 2), column (B, C', H / 2, 1).
    """
    with torch.autocast(top.device.type, enabled=False):  # small; and weights are rounded once instead of twice
        top, left = top.to(inner.dtype), left.to(inner.dtype)
        # Each kernel of the second as a little picture, on which every weight leaves a copy of the first one's kernel.
        weight = F.conv_transpose2d(outer, inner)
        bias = torch.zeros_like(outer[:, 0, 0, 0]) if outer_bias is None else outer_bias
        if inner_bias is not None:
            bias = bias + outer.sum((2, 3)) @ inner_bias
        # What the first would make of the row above the picture, from its left neighbour on, and of the column left
        # of it, where the second one sees zeros.
        above = F.conv2d(top, inner[:, :, 2:], inner_bias, padding=(0, 2))[..., :-1]
        beside = F.conv2d(left, inner[..., 2:], inner_bias, padding=(1, 0))
        row = F.conv2d(above, outer[:, :, :1], stride=(1, 2))
        column = F.conv2d(beside, outer[..., :1], stride=(2, 1), padding=(1, 0))
    return weight, bias, row, column


def _plain(conv: nn.Conv2d, stride: int) -> bool:
    """Exactly a Conv2d of 3x3 with this stride, padded by one zero all around."""
    return (
        type(conv) is nn.Conv2d
        and "forward" not in conv.__dict__
        and conv.kernel_size == (3, 3)
        and conv.stride == (stride, stride)
        and conv.padding == (1, 1)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )
