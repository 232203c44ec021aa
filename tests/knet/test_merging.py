"""Two convolutions as one: the same values and gradients, borders included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seg2knet.knet.merging import Pending, merge


def pair(bias: bool, channels: tuple[int, int, int] = (5, 4, 3), **second: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    ends = {"stride": 2, "padding": 1, **second}
    return (
        nn.Conv2d(channels[0], channels[1], 3, padding=1, bias=bias).double(),
        nn.Conv2d(channels[1], channels[2], 3, bias=not bias, **ends).double(),
    )


def picture(height: int, width: int) -> torch.Tensor:
    x = torch.randn(2, 5, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x.requires_grad_()


@pytest.mark.parametrize("size", [(2, 2), (2, 8), (6, 4), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_same_values_and_gradients(size: tuple[int, int], bias: bool) -> None:
    first, second = pair(bias)
    x = picture(*size)
    everything = [x, *first.parameters(), *second.parameters()]
    found, wanted = merge(x, first, second), second(first(x))
    assert found is not None
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(wanted)
    for a, b in zip(*(torch.autograd.grad((y * weights).sum(), everything) for y in (found, wanted))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(7, 8), (8, 7)])
def test_odd_sizes_are_worked_out_one_by_one(size: tuple[int, int]) -> None:
    first, second = pair(True)
    x = picture(*size)
    assert merge(x, first, second) is None
    assert torch.equal(Pending(x, first).then(second), second(first(x)))


@pytest.mark.parametrize("other", [{"stride": 1}, {"padding": 0}, {"dilation": 2}])
def test_other_convolutions_are_left_alone(other: dict) -> None:
    assert merge(picture(8, 8), *pair(True, **other)) is None


def test_weights_are_rounded_once_under_autocast() -> None:
    first, second = (conv.float() for conv in pair(True))
    x = picture(8, 8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = merge(x, first, second)
    assert found is not None
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), second(first(x)), rtol=0.02, atol=0.02)
