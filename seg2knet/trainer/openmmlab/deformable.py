"""Deformable convolution (Dai et al., arXiv 1703.06211) for the ``-dcn`` models, by whichever operator is installed.

PyTorch has none of its own: mmcv's compiled one is used, else torchvision's. Importing this module registers
``Seg2KNetDeformConv`` with mmengine, under the parameter names of mmcv's ``DCN``, so that released weights load.
A config names it in ``custom_imports`` and in a ResNet's ``dcn=dict(type="Seg2KNetDeformConv", deform_groups=1)``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Callable, Union

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from seg2knet.errors import EnvironmentProblem
from seg2knet.trainer.openmmlab import operators

Operator = Callable[..., Tensor]
Sides = Union[int, tuple[int, int]]


@cache
def operator(device: str = "cpu") -> Operator:
    """``f(x, offset, weight, stride, padding, dilation, groups, deform_groups)`` -> the convolved x.

    x is (B, in, H, W); offset (B, 2 * deform_groups * k * k, h, w), y before x for each tap;
    weight (out, in/groups, k, k). It is tried on `device` first.

    Raises:
        EnvironmentProblem: neither mmcv's operator nor torchvision's runs here.
    """
    reasons = []
    for name, find in (("mmcv", _of_mmcv), ("torchvision", _of_torchvision)):
        try:
            convolve = find()
            tap = torch.zeros(1, 1, 1, 1, device=device)  # it may import and not run, or not on this device
            convolve(tap, tap.expand(1, 2, 1, 1), tap, (1, 1), (0, 0), (1, 1), 1, 1)
        except Exception as problem:  # absent, not compiled, built for another torch: each raises something else
            reasons.append(f"{name}: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}")
        else:
            return convolve
    raise EnvironmentProblem(
        "the model needs deformable convolution, and no operator for it is installed",
        found="; ".join(reasons),
        expected="torchvision, or an mmcv with its compiled operators",
        hint="pip install torchvision   (of the same release as torch)",
    )


def _of_mmcv() -> Operator:
    if not operators.compiled():
        raise EnvironmentProblem("without compiled operators")
    from mmcv.ops import deform_conv2d

    return deform_conv2d


def _of_torchvision() -> Operator:
    from torchvision.ops import deform_conv2d

    def run(
        x: Tensor, offset: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, _groups: int, _deform: int
    ) -> Tensor:  # the numbers of groups are read off the shapes
        return deform_conv2d(x, offset, weight, None, stride, padding, dilation)

    return run


@MODELS.register_module(force=True)
class Seg2KNetDeformConv(nn.Module):
    """A convolution whose taps each move by an offset that a second convolution predicts; without bias.

    In (B, in_channels, H, W), out (B, out_channels, h, w). Parameters ``weight`` and ``conv_offset.{weight,bias}``;
    offsets begin at zero, so that it begins as a plain convolution.

    Raises:
        EnvironmentProblem: there is no operator for it here.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sides,
        stride: Sides = 1,
        padding: Sides = 0,
        dilation: Sides = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if bias:
            raise ValueError("deformable convolution has no bias here: normalisation follows it")
        operator()
        self.kernel_size = _pair(kernel_size)
        self.stride, self.padding, self.dilation = _pair(stride), _pair(padding), _pair(dilation)
        self.groups, self.deform_groups = groups, deform_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        taps = self.kernel_size[0] * self.kernel_size[1]
        self.conv_offset = nn.Conv2d(
            in_channels, 2 * deform_groups * taps, self.kernel_size, self.stride, self.padding, self.dilation
        )
        self.init_weights()

    def init_weights(self) -> None:
        """As mmcv's DCN: uniform within 1/sqrt(fan in), offsets zero."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.conv_offset.weight)
        if self.conv_offset.bias is not None:
            nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        offset = self.conv_offset(x)
        if torch.is_autocast_enabled(x.device.type):  # the operators do not all take bfloat16, nor two types at once
            x, offset = x.float(), offset.float()
        with torch.autocast(x.device.type, enabled=False):
            return operator(x.device.type)(
                x, offset, self.weight, self.stride, self.padding, self.dilation, self.groups, self.deform_groups
            )
