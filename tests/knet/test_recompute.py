"""What saves memory gives the same numbers."""

from __future__ import annotations

import torch
from mmdet.models.necks import FPN
from torch import nn

from seg2knet.knet.localization_fpn import ConvNorm
from seg2knet.knet.neck import slim
from seg2knet.knet.recompute import made_anew, recomputed


def test_gradients_of_recomputed_parts_are_the_same_bits() -> None:
    part = nn.Sequential(ConvNorm(32, 1), ConvNorm(32, 1))
    x = torch.randn(2, 32, 6, 6, requires_grad=True)
    wanted = torch.autograd.grad(part(x).square().sum(), [x, *part.parameters()])
    found = torch.autograd.grad(recomputed(part, x).square().sum(), [x, *part.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(wanted, found))


def test_only_the_input_is_kept() -> None:
    part = nn.Sequential(ConvNorm(32, 1), ConvNorm(32, 1))
    x = torch.randn(2, 32, 6, 6, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        recomputed(part, x)
    assert {t.data_ptr() for t in kept} <= {x.data_ptr()}


def test_slim_fpn_is_mmdets() -> None:
    neck = FPN(in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4)
    inputs = [torch.randn(1, 8 << i, 32 >> i, 32 >> i, requires_grad=True) for i in range(4)]
    wanted = neck(inputs)
    gradients = torch.autograd.grad(sum(level.square().sum() for level in wanted), inputs)
    assert slim(neck)
    found = neck(inputs)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found))
    again = torch.autograd.grad(sum(level.square().sum() for level in found), inputs)
    for a, b in zip(gradients, again):
        torch.testing.assert_close(a, b)


def test_other_necks_are_left_alone() -> None:
    assert not slim(nn.Identity())
    assert not slim(FPN(in_channels=[8, 16], out_channels=8, num_outs=3))


def test_what_is_made_anew_is_not_kept() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 4, 4, requires_grad=True)

    def double(y: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(y, scale_factor=2, mode="bilinear")

    wanted = torch.autograd.grad(conv(double(x)).square().sum(), [x, *conv.parameters()])
    made: list[torch.Size] = []
    y = made_anew(lambda z: made.append(z.shape) or double(z), conv, x)
    assert len(made) == 1
    found = torch.autograd.grad(y.square().sum(), [x, *conv.parameters()])
    assert len(made) == 2
    assert all(torch.equal(a, b) for a, b in zip(wanted, found))
    with torch.no_grad():
        assert torch.equal(made_anew(double, conv, x), y)


def test_another_view_of_what_is_made_is_kept_as_it_is() -> None:
    x, other = torch.randn(3, 3), torch.randn(3, 3, requires_grad=True)
    y = made_anew(torch.tanh, lambda made: other @ made.t(), x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), other)[0], torch.ones(3, 3) @ torch.tanh(x))
