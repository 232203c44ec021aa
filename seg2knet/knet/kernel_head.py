"""The kernel head: proposal kernels with their mask logits, and the semantic logits (paper, section 3.2)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seg2knet.knet.localization_fpn import ConvNorm

PRIOR_BIAS = -math.log((1 - 0.01) / 0.01)
"""Initial bias of class logits: every class starts at probability 0.01 (Lin et al., Focal Loss, section 4.1)."""


class Proposals(NamedTuple):
    """Output of the kernel head: N instance kernels, S stuff classes, M = N + S kernels, K classes, C channels.

    All maps have stride 8. The last S kernels are the rows of the semantic convolution that belong to the stuff
    classes, their mask logits the stuff channels of the semantic logits.
    """

    features: Tensor  # (B, C, h, w): F, the feature map that all update stages read
    kernels: Tensor  # (B, M, C) proposal kernels
    mask_logits: Tensor  # (B, M, h, w)
    semantic_logits: Tensor  # (B, K, h, w)


def group_features(mask_logits: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the features under each mask, where sigmoid(mask logit) > 0.5 (equation 3 of the paper, with hard masks).

    Of mask logits (B, M, h, w) and features (B, C, h, w): the sums, (B, M, C), and the pixels of each mask, (B, M, 1).
    Both are float32 under autocast too: a sum runs over up to 100,000 pixels, which float16 cannot hold.
    """
    with torch.autocast(mask_logits.device.type, enabled=False):
        masks = (mask_logits.detach() > 0).flatten(2).float()
        return masks @ features.float().flatten(2).transpose(1, 2), masks.sum(-1, keepdim=True)


class KernelHead(nn.Module):
    """Learned kernels predict the first masks; the features under those masks are added to the kernels.

    C channels, N instance kernels, K classes, of which the last S are stuff; 0 for instance segmentation."""

    def __init__(self, channels: int, num_kernels: int, num_classes: int, num_stuff: int) -> None:
        super().__init__()
        self.num_stuff = num_stuff
        self.localization = ConvNorm(channels, 1)
        self.semantic = ConvNorm(channels, 1)
        self.kernels = nn.Conv2d(channels, num_kernels, 1, bias=False)
        self.semantic_out = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.kernels.weight, std=1.0)
        nn.init.normal_(self.semantic_out.weight, std=0.01)
        nn.init.constant_(self.semantic_out.bias, PRIOR_BIAS)  # type: ignore[arg-type]

    def forward(self, localization: Tensor, semantic: Tensor) -> Proposals:
        """Both feature maps of the localization FPN, (B, C, h, w) each -> proposals."""
        localization, semantic = self.localization(localization), self.semantic(semantic)
        mask_logits, semantic_logits = self.kernels(localization), self.semantic_out(semantic)
        features = semantic + localization
        kernels = self.kernels.weight.flatten(1) + group_features(mask_logits, features)[0]
        if self.num_stuff:
            stuff_kernels = self.semantic_out.weight[-self.num_stuff :].flatten(1)
            kernels = torch.cat((kernels, stuff_kernels.expand(kernels.shape[0], -1, -1)), dim=1)
            mask_logits = torch.cat((mask_logits, semantic_logits[:, -self.num_stuff :]), dim=1)
        return Proposals(features, kernels, mask_logits, semantic_logits)
