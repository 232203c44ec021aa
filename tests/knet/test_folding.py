"""Folded BatchNorm gives the same values and gradients, and steps aside in training mode."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from seg2knet.knet.folding import fold_batch_norms


def pair(bias: bool = False, **options: int) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=bias, **options), nn.BatchNorm2d(8), nn.ReLU())
    nn.init.normal_(net[1].weight)
    nn.init.normal_(net[1].bias)
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"stride": 2}, {"groups": 2}, {"dilation": 2}])
@pytest.mark.parametrize("training", [True, False])
def test_same_values_and_gradients(options: dict, training: bool) -> None:
    plain, folded = pair(**options), pair(**options)
    assert fold_batch_norms(folded) == 1
    x = torch.randn(2, 4, 6, 6)
    results = []
    for net in (plain, folded):
        net.train(training)
        y = x.clone().requires_grad_()
        out = net(y)
        out.square().sum().backward()
        results.append([out, y.grad, *(p.grad for p in net.parameters()), *net.buffers()])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_without_gradients_and_frozen() -> None:
    plain, folded = pair().eval(), pair().eval().requires_grad_(False)
    fold_batch_norms(folded)
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(folded(x), plain(x), rtol=1e-5, atol=1e-5)
    assert not folded(x).requires_grad


def test_names_copies_and_pickles() -> None:
    net = pair().eval()
    names = list(net.state_dict())
    fold_batch_norms(net)
    assert list(net.state_dict()) == names
    x = torch.randn(1, 4, 6, 6)
    before = net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(other(x), before)
        nn.init.zeros_(other[1].weight)
        nn.init.zeros_(other[1].bias)
        assert other(x).abs().sum() == 0  # it is its own BatchNorm that counts
    torch.testing.assert_close(net(x), before)


def test_autocast() -> None:
    net = pair().eval()
    fold_batch_norms(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(torch.randn(1, 4, 6, 6))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert net[0].weight.grad.dtype == torch.float32
