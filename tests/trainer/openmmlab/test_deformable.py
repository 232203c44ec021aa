"""Deformable convolution: the layer around whichever operator there is, here one written out in PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

pytest.importorskip("torch")
pytest.importorskip("mmengine")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg2knet.trainer.openmmlab import deformable
from seg2knet.trainer.openmmlab.deformable import Seg2KNetDeformConv


def plain_deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: object = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Equation 2 of arXiv 1703.06211, one tap after another; signature and refusals are torchvision's."""
    if not x.dtype == offset.dtype == weight.dtype:
        raise RuntimeError(f"expected one type, got {x.dtype}, {offset.dtype}, {weight.dtype}")
    height, width = offset.shape[-2:]
    rows, columns = weight.shape[-2:]
    ys = torch.arange(height)[:, None] * stride[0] - padding[0]
    xs = torch.arange(width)[None, :] * stride[1] - padding[1]
    total = torch.zeros(x.shape[0], weight.shape[0], height, width)
    for tap in range(rows * columns):
        y = ys + tap // columns * dilation[0] + offset[:, 2 * tap]
        xx = xs + tap % columns * dilation[1] + offset[:, 2 * tap + 1]
        # In grid_sample's coordinates -1 and 1 are the outer pixels' centres.
        grid = torch.stack([2 * xx / max(1, x.shape[3] - 1) - 1, 2 * y / max(1, x.shape[2] - 1) - 1], -1)
        sampled = F.grid_sample(x, grid, align_corners=True, padding_mode="zeros")
        total = total + torch.einsum("oi,bihw->bohw", weight[:, :, tap // columns, tap % columns], sampled)
    return total


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A torchvision with just this operator."""
    package, ops = ModuleType("torchvision"), ModuleType("torchvision.ops")
    ops.deform_conv2d = plain_deform_conv2d  # type: ignore[attr-defined]
    package.ops = ops  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    deformable.operator.cache_clear()
    yield
    deformable.operator.cache_clear()


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_it_begins_as_a_plain_convolution(torchvision: None, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = Seg2KNetDeformConv(3, 5, 3, stride=stride, padding=dilation, dilation=dilation)
    x = torch.rand(2, 3, 9, 8)
    expected = F.conv2d(x, layer.weight, stride=stride, padding=dilation, dilation=dilation)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_mixed_precision_leaves_the_operator_in_float32(torchvision: None) -> None:
    torch.manual_seed(0)
    layer = Seg2KNetDeformConv(3, 5, 3, padding=1)
    x = torch.rand(2, 3, 9, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x.bfloat16())
    torch.testing.assert_close(found, layer(x), atol=2e-2, rtol=2e-2)


def test_offsets_move_the_taps_y_before_x(torchvision: None) -> None:
    torch.manual_seed(0)
    layer = Seg2KNetDeformConv(2, 2, 1)
    x = torch.rand(1, 2, 6, 7)
    with torch.no_grad():
        layer.conv_offset.bias.copy_(torch.tensor([2.0, 3.0]))
    moved = F.conv2d(x[:, :, 2:, 3:], layer.weight)
    torch.testing.assert_close(layer(x)[:, :, :4, :4], moved, atol=1e-5, rtol=1e-5)


def test_gradients_reach_weight_and_offsets(torchvision: None) -> None:
    layer = Seg2KNetDeformConv(2, 2, 3, padding=1)
    nn.init.constant_(layer.conv_offset.bias, 0.3)
    layer(torch.rand(1, 2, 5, 5)).square().sum().backward()
    for parameter in (layer.weight, layer.conv_offset.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_the_operator_is_tried_on_the_device_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmcv's may be built without the GPU's part: here "meta" stands for the GPU."""

    def cpu_only(x: torch.Tensor, *_: object) -> torch.Tensor:
        if x.device.type != "cpu":
            raise RuntimeError("not compiled with GPU support")
        return x

    def anywhere(x: torch.Tensor, *_: object) -> torch.Tensor:
        return x + 1

    monkeypatch.setattr(deformable, "_of_mmcv", lambda: cpu_only)
    monkeypatch.setattr(deformable, "_of_torchvision", lambda: anywhere)
    deformable.operator.cache_clear()
    try:
        assert deformable.operator("cpu") is cpu_only
        assert deformable.operator("meta") is anywhere
    finally:
        deformable.operator.cache_clear()
    asked: list[str] = []
    monkeypatch.setattr(deformable, "operator", lambda device="any": asked.append(device) or anywhere)
    Seg2KNetDeformConv(2, 2, 1)(torch.rand(1, 2, 3, 3))
    assert asked == ["any", "cpu"], "when it is built, and on the device of what it is given"


def test_the_names_are_those_of_mmcv(torchvision: None) -> None:
    assert set(Seg2KNetDeformConv(1, 1, 3).state_dict()) == {"weight", "conv_offset.weight", "conv_offset.bias"}


def test_mmdet_builds_a_resnet_of_it(torchvision: None) -> None:
    from seg2knet.trainer.config.backbones import BACKBONES
    from seg2knet.trainer.openmmlab import operators as mmcv_ops

    mmcv_ops.install()
    import mmdet.models  # noqa: F401 - registers ResNet
    from mmdet.registry import MODELS

    config = BACKBONES["r101-dcn"].config(None, scratch=True)
    model = MODELS.build({**config, "depth": 50, "base_channels": 8})
    kinds = [[isinstance(block.conv2, Seg2KNetDeformConv) for block in layer]
             for layer in (model.layer1, model.layer2, model.layer3, model.layer4)]  # fmt: skip
    assert [all(kind) for kind in kinds] == [False, True, True, True]
    assert not any(kinds[0])
    model.init_weights()
    levels = model(torch.rand(1, 3, 64, 64))
    assert [level.shape[-1] for level in levels] == [16, 8, 4, 2]
