"""Everything of K-Net behind the pyramid: localization FPN, kernel head, update stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from seg2knet.errors import UsageError
from seg2knet.knet.kernel_head import FirstKernels, KernelHead
from seg2knet.knet.kernel_update import Update, UpdateStage
from seg2knet.knet.localization_fpn import GROUPS, LocalizationFPN
from seg2knet.knet.recompute import recomputed


@dataclass(frozen=True)
class Shape:
    """The sizes of a K-Net, said once."""

    num_things: int
    num_stuff: int = 0  # 0: instance segmentation
    num_kernels: int = 100
    num_stages: int = 3
    channels: int = 256
    feedforward_channels: int = 2048
    num_heads: int = 8

    @property
    def num_classes(self) -> int:
        """Things, then stuff."""
        return self.num_things + self.num_stuff

    def check(self) -> None:
        """Raise UsageError where the sizes cannot make a network."""
        for name in ("num_things", "num_kernels", "num_stages", "channels", "feedforward_channels", "num_heads"):
            if getattr(self, name) < 1:
                raise UsageError("K-Net's sizes must be positive", found=f"{name}={getattr(self, name)}")
        if self.num_stuff < 0:
            raise UsageError("a number of classes is not negative", found=f"num_stuff={self.num_stuff}")
        if self.channels % GROUPS or self.channels % self.num_heads:
            raise UsageError(
                "K-Net's width does not divide",
                found=f"channels={self.channels}, num_heads={self.num_heads}",
                expected=f"channels that are a multiple of {GROUPS} and of num_heads",
            )


class Predictions(NamedTuple):
    """All that the losses and the results need: the kernel head's output and each stage's."""

    first: FirstKernels
    stages: list[Update]


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

    def forward(self, pyramid: Sequence[Any]) -> Predictions:
        """From the four FPN levels P2..P5, each (B, C, H/stride, W/stride) with strides 4, 8, 16, 32.

        P2 may be :class:`~seg2knet.knet.merging.Pending`.
        """
        total = self.localization_fpn.total(pyramid)
        # 1x1 convolutions: little work, and half a dozen feature maps of stride 8 that need not be kept.
        first = self.kernel_head.join(*recomputed(self._locate, total), *recomputed(self._classify, total))
        kernels, masks = first.kernels, first.masks
        updates: list[Update] = []
        for stage in self.stages:
            update = stage(first.features, kernels, masks)
            kernels, masks = update.kernels, update.masks
            updates.append(update)
        return Predictions(first, updates)

    def _locate(self, total: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernel_head.locate(self.localization_fpn.localization(total))

    def _classify(self, total: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernel_head.classify(self.localization_fpn.semantic(total))
