"""Deformable convolution (Dai et al., arXiv 1703.06211) for the ``-dcn`` models, by whichever operator is installed.

PyTorch has none of its own: mmcv's compiled one is used, else torchvision's. Importing this module registers
``Seg2KNetDeformConv`` with mmengine, under the parameter names of mmcv's ``DCN``, so that released weights load.
A config names it in ``custom_imports`` and in a ResNet's ``dcn=dict(type="Seg2KNetDeformConv", deform_groups=1)``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Callable

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from seg2knet.errors import EnvironmentProblem
from seg2knet.trainer.openmmlab import operators
from seg2knet.trainer.openmmlab.packages import first_line

Operator = Callable[..., Tensor]


@cache
def operator(device: str = "cpu") -> Operator:
    """``f(x, offset, weight, stride, padding, dilation, groups, deform_groups)`` -> the convolved x; tried on `device`.

    x is (B, in, H, W); offset (B, 2 * deform_groups * k * k, h, w), y before x for each tap;
    weight (out, in/groups, k, k).

    Raises EnvironmentProblem: neither mmcv's operator nor torchvision's runs here.
    """
    reasons = []
    for name, find in (("mmcv", _of_mmcv), ("torchvision", _of_torchvision)):
        try:
            convolve = find()
            tap = torch.zeros(1, 1, 1, 1, device=device)  # it may import and not run, or not on this device
            convolve(tap, tap.expand(1, 2, 1, 1), tap, (1, 1), (0, 0), (1, 1), 1, 1)
        except Exception as problem:  # absent, not compiled, built for another torch: each raises something else
            reasons.append(f"{name}: {first_line(problem)}")
        else:
            return convolve
    raise EnvironmentProblem(
        "the model needs deformable convolution, and no operator for it is installed", found="; ".join(reasons),
        expected="torchvision, or an mmcv with its compiled operators",
        hint="pip install torchvision   (of the same release as torch)",
    )  # fmt: skip


def _of_mmcv() -> Operator:
    if not operators.compiled():
        raise EnvironmentProblem("without compiled operators")
    from mmcv.ops import deform_conv2d

    return deform_conv2d


def _of_torchvision() -> Operator:
    from torchvision.ops import deform_conv2d

    def run(x: Tensor, offset: Tensor, weight: Tensor, *places: Any) -> Tensor:  # groups are read off the shapes
        return deform_conv2d(x, offset, weight, None, *places[:3])

    return run


@MODELS.register_module(force=True)
class Seg2KNetDeformConv(nn.Conv2d):
    """A convolution whose taps each move by an offset that a second convolution predicts; without bias.

    In (B, in_channels, H, W), out (B, out_channels, h, w). Parameters ``weight`` and ``conv_offset.{weight,bias}``;
    offsets begin at zero, so that it begins as a plain convolution. Raises what :func:`operator` raises.
    """

    def __init__(self, *args: Any, deform_groups: int = 1, bias: bool = False, **kwargs: Any) -> None:
        if bias:
            raise ValueError("deformable convolution has no bias here: normalisation follows it")
        operator()
        super().__init__(*args, **kwargs, bias=False)  # type: ignore[misc]
        self.deform_groups = deform_groups
        offsets = 2 * deform_groups * self.kernel_size[0] * self.kernel_size[1]
        place = (self.stride, self.padding, self.dilation)
        self.conv_offset = nn.Conv2d(self.in_channels, offsets, self.kernel_size, *place)  # type: ignore[arg-type]
        self.init_weights()

    def init_weights(self) -> None:
        """As mmcv's DCN: uniform within 1/sqrt(fan in), which is PyTorch's own, and offsets zero."""
        self.reset_parameters()
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
