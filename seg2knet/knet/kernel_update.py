"""One kernel update stage: adaptive kernel update, kernel interaction, class and mask prediction (section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg2knet.knet.kernel_head import PRIOR_BIAS, group_features


class StageOutput(NamedTuple):
    """Output of a stage: M kernels, K classes, C channels, stride 8."""

    kernels: Tensor  # (B, M, C), input of the next stage
    class_logits: Tensor  # (B, M, K)
    mask_logits: Tensor  # (B, M, h, w)


class AdaptiveUpdate(nn.Module):
    """Mixes each kernel with the feature under its mask by two learned gates (paper, equations 4 to 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.feature_in = nn.Linear(channels, 2 * channels)
        self.kernel_in = nn.Linear(channels, 2 * channels)
        self.kernel_gate = nn.Linear(channels, channels)  # the paper's input gate
        self.feature_gate = nn.Linear(channels, channels)  # the paper's update gate
        self.kernel_gate_norm = nn.LayerNorm(channels)
        self.feature_gate_norm = nn.LayerNorm(channels)
        self.kernel_norm = nn.LayerNorm(channels)
        self.feature_norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, channels)
        self.out_norm = nn.LayerNorm(channels)

    def forward(self, feature: Tensor, kernels: Tensor) -> Tensor:
        """Group features and kernels, (B, M, C) each -> updated kernels (B, M, C)."""
        feature_gating, feature_value = self.feature_in(feature).chunk(2, dim=-1)
        kernel_gating, kernel_value = self.kernel_in(kernels).chunk(2, dim=-1)
        gate = kernel_gating * feature_gating
        kernel_gate = self.kernel_gate_norm(self.kernel_gate(gate)).sigmoid()
        feature_gate = self.feature_gate_norm(self.feature_gate(gate)).sigmoid()
        mixed = feature_gate * self.feature_norm(feature_value) + kernel_gate * self.kernel_norm(kernel_value)
        return F.relu(self.out_norm(self.out(mixed)))


class UpdateStage(nn.Module):
    """Adaptive update, self-attention over the kernels, feed-forward network, class and mask branch.

    The stage's own 1x1 convolution on the features, x = W F + b, is linear, and x is only summed under masks and
    multiplied by kernels. So it is applied to those few vectors instead of the feature map: with n pixels under a mask,
    sum x = W sum F + n b, and for a kernel v, v . x = (v W) . F + v . b. That saves x and its C x C x h x w products.
    """

    def __init__(self, channels: int, num_classes: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__()
        self.feature_conv = nn.Conv2d(channels, channels, 1)
        self.update = AdaptiveUpdate(channels)
        self.attention = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(channels)
        self.ffn = nn.Sequential(
            nn.Linear(channels, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Linear(feedforward_channels, channels),
        )
        self.ffn_norm = nn.LayerNorm(channels)
        self.class_branch = _branch(channels)
        self.class_out = nn.Linear(channels, num_classes)
        self.mask_branch = _branch(channels)
        self.mask_out = nn.Linear(channels, channels)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.class_out.bias, PRIOR_BIAS)

    def forward(self, features: Tensor, kernels: Tensor, mask_logits: Tensor) -> StageOutput:
        """Update the kernels once: the kernel head's F, (B, C, h, w), and kernels (B, M, C) and mask logits
        (B, M, h, w) of the previous stage."""
        weight, bias = self.feature_conv.weight.flatten(1), self.feature_conv.bias
        assert bias is not None
        sums, pixels = group_features(mask_logits, features)
        with torch.autocast(features.device.type, enabled=False):  # sums over masks and the gates overflow float16
            group_feature = F.linear(sums, weight) + pixels * bias
            new = self.update(group_feature, kernels.float())
        new = self.attention_norm(new + self.attention(new, new, new, need_weights=False)[0])
        new = self.ffn_norm(new + self.ffn(new))
        mask_kernels = self.mask_out(self.mask_branch(new))
        flat = (mask_kernels @ weight) @ features.flatten(2) + (mask_kernels @ bias).unsqueeze(-1)
        return StageOutput(new, self.class_out(self.class_branch(new)), flat.unflatten(2, features.shape[-2:]))


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU(inplace=True))
