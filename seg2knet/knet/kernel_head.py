"""The kernel head: the first mask logits, the semantic logits, and the kernels that the stages then refine."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seg2knet.knet.localization_fpn import ConvNorm
from seg2knet.knet.recompute import made_anew

# So that every class starts at probability 0.01 (Lin et al., Focal Loss, section 4.1).
RARE = -math.log((1 - 0.01) / 0.01)


class FirstKernels(NamedTuple):
    """What the kernel head gives to the losses and to the first stage.

    N instance kernels, S stuff classes, M = N + S kernels in all, K classes, C channels, stride 8.
    """

    features: Tensor  # (B, C, h, w): F, which all stages read
    kernels: Tensor  # (B, M, C)
    masks: Tensor  # (B, M, h, w) logits; the last S are the stuff channels of `semantic`
    semantic: Tensor  # (B, K, h, w) logits


def gather_features(masks: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the features under each mask, where sigmoid(mask) > 0.5.

    In float32 whatever autocast says: the sum runs over as many as 100,000 pixels, too many for float16.

    Args:
        masks: (B, M, h, w) logits.
        features: (B, C, h, w).

    Returns:
        the sums, (B, M, C), and how many pixels each mask has, (B, M, 1).
    """
    with torch.autocast(masks.device.type, enabled=False):
        masks = masks.detach().flatten(2)
        sums = made_anew(_inside, lambda inside: inside @ features.float().flatten(2).transpose(1, 2), masks)
        return sums, (masks > 0).sum(-1, keepdim=True).float()


def _inside(masks: Tensor) -> Tensor:
    return (masks > 0).float()


class KernelHead(nn.Module):
    """Learned kernels make the first masks; the features under those masks are added to them (paper, section 3.2).

    Args:
        channels: C.
        num_kernels: N, instance kernels.
        num_classes: K, things and stuff.
        num_stuff: S, the last of the K classes; 0 for instance segmentation.
    """

    def __init__(self, channels: int, num_kernels: int, num_classes: int, num_stuff: int) -> None:
        super().__init__()
        self.num_stuff = num_stuff
        self.localization = ConvNorm(channels, 1)
        self.semantic = ConvNorm(channels, 1)
        self.kernels = nn.Conv2d(channels, num_kernels, 1, bias=False)
        self.semantic_out = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.kernels.weight, std=1.0)
        nn.init.normal_(self.semantic_out.weight, std=0.01)
        nn.init.constant_(self.semantic_out.bias, RARE)  # type: ignore[arg-type]

    def forward(self, localization: Tensor, semantic: Tensor) -> FirstKernels:
        """From the two features of the localization FPN, each (B, C, h, w)."""
        return self.join(*self.locate(localization), *self.classify(semantic))

    def locate(self, localization: Tensor) -> tuple[Tensor, Tensor]:
        """The localization branch: its feature (B, C, h, w) and the instance kernels' mask logits (B, N, h, w)."""
        place = self.localization(localization)
        return place, self.kernels(place)

    def classify(self, semantic: Tensor) -> tuple[Tensor, Tensor]:
        """The semantic branch: its feature (B, C, h, w) and the semantic logits (B, K, h, w)."""
        meaning = self.semantic(semantic)
        return meaning, self.semantic_out(meaning)

    def join(self, place: Tensor, masks: Tensor, meaning: Tensor, classes: Tensor) -> FirstKernels:
        """Both branches' results together."""
        features = meaning + place
        sums, _ = gather_features(masks, features)
        kernels = self.kernels.weight.flatten(1) + sums
        if self.num_stuff:
            stuff = self.semantic_out.weight[-self.num_stuff :].flatten(1)
            kernels = torch.cat((kernels, stuff.expand(kernels.shape[0], -1, -1)), dim=1)
            masks = torch.cat((masks, classes[:, -self.num_stuff :]), dim=1)
        return FirstKernels(features, kernels, masks, classes)
