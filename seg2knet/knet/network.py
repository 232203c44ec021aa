"""K-Net behind the feature pyramid: localization FPN, kernel head, kernel update stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from torch import Tensor, nn

from seg2knet.errors import UsageError
from seg2knet.knet.kernel_head import KernelHead, Proposals
from seg2knet.knet.kernel_update import StageOutput, UpdateStage
from seg2knet.knet.localization_fpn import GROUPS, LocalizationFPN
from seg2knet.knet.recipe import INSTANCE_OFFSET


@dataclass(frozen=True)
class Shape:
    """The sizes of a K-Net."""

    num_things: int
    num_stuff: int = 0  # 0: instance segmentation
    num_kernels: int = 100
    num_stages: int = 3
    channels: int = 256
    feedforward_channels: int = 2048
    num_heads: int = 8

    @property
    def num_classes(self) -> int:
        """Thing classes, then stuff classes."""
        return self.num_things + self.num_stuff

    def check(self) -> None:
        """Raise UsageError where no network can have these sizes."""
        positive = all(value >= (name != "num_stuff") for name, value in asdict(self).items())
        if not positive or self.channels % GROUPS or self.channels % self.num_heads:
            expected = f"positive sizes; channels: a multiple of {GROUPS} and of num_heads"
            raise UsageError("no K-Net can have these sizes", found=str(self), expected=expected)
        if self.num_stuff and self.num_classes >= INSTANCE_OFFSET:
            limit = f"fewer than {INSTANCE_OFFSET}"
            raise UsageError("too many classes for panoptic ids", found=f"{self.num_classes}", expected=limit)


class Predictions(NamedTuple):
    """Input of losses and results: the kernel head's output and each stage's."""

    proposals: Proposals
    stages: list[StageOutput]


class KNetwork(nn.Module):
    """K-Net without backbone and FPN (Zhang et al., NeurIPS 2021, arXiv 2106.14855)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.localization_fpn = LocalizationFPN(shape.channels)
        self.kernel_head = KernelHead(shape.channels, shape.num_kernels, shape.num_classes, shape.num_stuff)
        self.stages = nn.ModuleList(
            UpdateStage(shape.channels, shape.num_classes, shape.num_heads, shape.feedforward_channels)
            for _ in range(shape.num_stages)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> Predictions:
        """Predict from the FPN levels P2..P5, each (B, C, H/stride, W/stride) with strides 4, 8, 16, 32."""
        proposals = self.kernel_head(*self.localization_fpn(pyramid))
        kernels, mask_logits = proposals.kernels, proposals.mask_logits
        outputs: list[StageOutput] = []
        for stage in self.stages:
            output = stage(proposals.features, kernels, mask_logits)
            kernels, mask_logits = output.kernels, output.mask_logits
            outputs.append(output)
        return Predictions(proposals, outputs)
