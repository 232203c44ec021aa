"""What is exported: normalisation, model and results as one module of plain tensors; ``export.py`` has in and out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg2knet.errors import UsageError
from seg2knet.knet.recipe import INSTANCE_OFFSET

KERNELS_AT_ONCE = 16


def build(model: Any, task: str) -> nn.Module:
    """The part of a detector or segmentor that is exported, with normalisation before and results behind it."""
    if any(type(module).__name__ == "Seg2KNetDeformConv" for module in model.modules()):
        raise UsageError(
            "a model with deformable convolution cannot be exported: its operator is not PyTorch's own",
            hint="train one without: the same --model name without -dcn",
        )
    kinds: dict[str, type[Graph]] = {"instance": InstanceGraph, "panoptic": PanopticGraph, "semantic": SemanticGraph}
    return kinds[task](model).eval().requires_grad_(False)


class Graph(nn.Module):
    """Normalisation before a detector of mmdet or a segmentor of mmseg; subclasses add the results."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        before = model.data_preprocessor
        one = torch.ones(1, 3, 1, 1)
        self.mean = nn.Buffer(before.mean.reshape(1, 3, 1, 1).clone() if hasattr(before, "mean") else 0 * one)
        self.std = nn.Buffer(before.std.reshape(1, 3, 1, 1).clone() if hasattr(before, "std") else one)
        # Images are read as BGR. Where the preprocessor turns them round, its mean and std are RGB's.
        self.takes_rgb = getattr(before, "reverse_channels", before._channel_conversion)

    def normalised(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..255 -> what the backbone was trained on."""
        return ((images if self.takes_rgb else images.flip(1)) - self.mean) / self.std


class InstanceGraph(Graph):
    """See ``export.py``: ``scores``, ``labels``, ``masks``."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        last = self.model._forward(self.normalised(images)).stages[-1]
        classes = last.class_logits.shape[-1]
        best = min(self.model.rules.max_per_img, last.class_logits.shape[1] * classes)
        scores, order = last.class_logits.sigmoid().flatten(1).topk(best)
        kernels = torch.div(order, classes, rounding_mode="floor")
        masks = F.interpolate(last.mask_logits, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
        return scores, order % classes, _pick(masks, kernels, images, 4)


class PanopticGraph(Graph):
    """See ``export.py``: ``segments``, ``ids``, ``scores``. The rule: :func:`seg2knet.knet.results.panoptic`."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        last = self.model._forward(self.normalised(images)).stages[-1]
        shape, rules = self.model.shape, self.model.rules
        probabilities = last.class_logits.sigmoid()
        scores, labels = probabilities[:, : shape.num_kernels, : shape.num_things].max(2)
        of_stuff = probabilities[:, shape.num_kernels :, shape.num_things :].diagonal(dim1=1, dim2=2)
        stuff = torch.arange(shape.num_things, shape.num_classes).expand_as(of_stuff)
        scores, order = torch.cat((scores, of_stuff), 1).topk(shape.num_kernels + shape.num_stuff)
        labels = torch.cat((labels, stuff), 1).gather(1, order)
        winner, own = self.contest(_pick(last.mask_logits, order, images, 8), scores)
        flat = winner.flatten(1)
        won = torch.zeros_like(scores).scatter_add(1, flat, torch.ones_like(flat, dtype=scores.dtype))
        kept = (scores >= rules.instance_score_thr) | (labels >= shape.num_things)
        kept = kept & (won > 0) & (own > 0) & (won >= rules.overlap_thr * own)
        number = kept.long().cumsum(1) - 1
        ids = torch.where(kept, labels + INSTANCE_OFFSET * number, torch.full_like(labels, shape.num_classes))
        return ids.gather(1, flat).reshape(-1, images.shape[2], images.shape[3]), ids, scores

    def contest(self, masks: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Who wins each pixel, (B, H, W), and how many pixels each kernel has of its own, (B, M)."""
        best: Optional[Tensor] = None
        winner = torch.zeros(())
        own = []
        for begin in range(0, self.model.shape.num_kernels + self.model.shape.num_stuff, KERNELS_AT_ONCE):
            some = masks[:, begin : begin + KERNELS_AT_ONCE]
            x = F.interpolate(some, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
            x = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
            own.append((x >= 0.5).to(x.dtype).flatten(2).sum(2))
            value, index = (x * scores[:, begin : begin + KERNELS_AT_ONCE, None, None]).max(1)
            if best is None:
                best, winner = value, index
            else:
                winner = torch.where(value > best, index + begin, winner)
                best = torch.maximum(value, best)
        return winner, torch.cat(own, 1)


class SemanticGraph(Graph):
    """See ``export.py``: ``classes``, ``logits``. The model is mmsegmentation's K-Net."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.AdaptiveAvgPool2d):
                    setattr(module, name, AnySizePool(child.output_size))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        levels = self.model.extract_feat(self.normalised(images))
        head = self.model.decode_head
        features = head.kernel_generate_head._forward_feature(levels)
        logits = head.kernel_generate_head.cls_seg(features)
        kernels = head.kernel_generate_head.conv_seg.weight.flatten(1).expand(features.shape[0], -1, -1)
        for stage in head.kernel_update_head:
            logits, kernels = _semantic_update(stage, features, kernels, logits)
        whole = F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)
        return whole.argmax(1), logits


def _semantic_update(stage: Any, features: Tensor, kernels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """One round of mmseg's ``KernelUpdateHead`` with 1x1 kernels, for any batch: its own runs image by image.

    From features (B, C, h, w), kernels (B, K, C) and logits (B, K, h, w) to the next logits and kernels.
    """
    x = stage.feat_transform(features) if stage.feat_transform is not None else features
    under = torch.einsum("bkhw,bchw->bkc", logits.softmax(1), x)
    new = stage.kernel_update_conv(under, kernels.unsqueeze(2)).reshape(kernels.shape)
    new = stage.attention_norm(stage.attention(new.permute(1, 0, 2))).permute(1, 0, 2)
    if stage.with_ffn:
        new = stage.ffn_norm(stage.ffn(new))
    masks = new
    for layer in stage.mask_fcs:
        masks = layer(masks)
    return torch.einsum("bkc,bchw->bkhw", stage.fc_mask(masks), x), new


class AnySizePool(nn.Module):
    """Adaptive average pooling, written so that it can be exported without fixing the size.

    Row i of n averages pixels floor(i H / n) .. ceil((i + 1) H / n), as ``nn.AdaptiveAvgPool2d`` does: two matrices.
    """

    def __init__(self, size: Any) -> None:
        super().__init__()
        sides: tuple[int, int] = (size, size) if isinstance(size, int) else size
        self.rows, self.columns = sides

    def forward(self, x: Tensor) -> Tensor:
        rows = self.shares(self.rows, x.shape[2]).to(x.dtype)
        columns = self.shares(self.columns, x.shape[3]).to(x.dtype)
        return rows @ x @ columns.transpose(0, 1)

    @staticmethod
    def shares(parts: int, length: Any) -> Tensor:
        """(parts, length): what share each pixel has in each average."""
        pixel = torch.arange(length)[None, :]
        part = torch.arange(parts)[:, None]
        begin = torch.div(part * length, parts, rounding_mode="floor")
        end = torch.div((part + 1) * length + parts - 1, parts, rounding_mode="floor")
        inside = ((pixel >= begin) & (pixel < end)).float()
        return inside / inside.sum(1, keepdim=True)


def _pick(masks: Tensor, order: Tensor, images: Tensor, stride: int) -> Tensor:
    """Masks (B, M, H / stride, W / stride) of images (B, 3, H, W) in the order (B, n) -> (B, n, H / stride, ...).

    Sizes are taken from the images, for those of later tensors are fixed by the tracer that exports Swin.
    """
    height, width = images.shape[2] // stride, images.shape[3] // stride
    flat = order + torch.arange(images.shape[0])[:, None] * masks.shape[1]
    chosen = masks.reshape(-1, height, width).index_select(0, flat.flatten())
    return chosen.reshape(-1, order.shape[1], height, width)


APART = -100.0
"""Added to the attention between pixels that the shift brought together and that are none of each other's business."""


@contextlib.contextmanager
def exportable_windows() -> Iterator[None]:
    """While it lasts, both packages' shifted-window attention (Swin's) is the one here, which exports with free size.

    Their own ``ShiftWindowMSA`` makes Python numbers of sizes, which fixes them when it is traced. The result is the
    same (Liu et al., arXiv 2103.14030, section 3.2).
    """
    modules = [sys.modules.get(f"{package}.models.backbones.swin") for package in ("mmdet", "mmseg")]
    kept = [(module.ShiftWindowMSA, module.ShiftWindowMSA.forward) for module in modules if module is not None]
    for kind, _ in kept:
        kind.forward = shifted_windows
    try:
        yield
    finally:
        for kind, forward in kept:
            kind.forward = forward


def shifted_windows(self: Any, query: Tensor, hw_shape: tuple[Any, Any]) -> Tensor:
    """``ShiftWindowMSA.forward``: (B, H * W, C) and (H, W) -> (B, H * W, C)."""
    batch, _, channels = query.shape
    height, width = hw_shape
    side, shift = self.window_size, self.shift_size
    rows, columns = (height + side - 1) // side, (width + side - 1) // side
    x = query.reshape(batch, height, width, channels)
    x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
    if shift:
        x = torch.roll(x, (-shift, -shift), (1, 2))
    windows = x.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    windows = windows.reshape(batch, rows * columns, side * side, channels)
    windows = _attend(self.w_msa, windows, _strangers(rows, columns, side, shift) if shift else None)
    x = windows.reshape(batch, rows, columns, side, side, channels).transpose(2, 3)
    x = x.reshape(batch, rows * side, columns * side, channels)
    if shift:
        x = torch.roll(x, (shift, shift), (1, 2))
    return self.drop(x[:, :height, :width].reshape(batch, height * width, channels))


def _attend(attention: Any, windows: Tensor, strangers: Any) -> Tensor:
    """``WindowMSA.forward`` on (B, n, N, C), windows apart from images; ``strangers`` (n, N, N) or ``None``."""
    heads = attention.num_heads
    pixels, channels = windows.shape[2:]
    parts = attention.qkv(windows).unflatten(-1, (3, heads, channels // heads))  # (B, n, N, 3, heads, C / heads)
    query, key, value = parts.permute(3, 0, 1, 4, 2, 5).unbind(0)  # each (B, n, heads, N, C / heads)
    bias = attention.relative_position_bias_table[attention.relative_position_index.flatten()]
    weights = query * attention.scale @ key.transpose(-2, -1) + bias.reshape(pixels, pixels, heads).permute(2, 0, 1)
    if strangers is not None:
        weights = weights + strangers[:, None]
    mixed = weights.softmax(-1) @ value
    return attention.proj(mixed.transpose(2, 3).flatten(3))


def _strangers(rows: Any, columns: Any, side: int, shift: int) -> Tensor:
    """(rows * columns, N, N): ``APART`` where two pixels of a window come from different edges of the image, else 0."""
    down, across = _regions(rows, side, shift), _regions(columns, side, shift)
    regions = 3 * down[:, :, None, None] + across[None, None]  # (rows, side, columns, side)
    regions = regions.transpose(1, 2).reshape(rows * columns, side * side)
    return (regions[:, :, None] != regions[:, None]).float() * APART


def _regions(windows: Any, side: int, shift: int) -> Tensor:
    """(windows, side): 0; in the last window 1, and 2 for what the shift moved there from the other edge."""
    last = (torch.arange(windows) == windows - 1).long()[:, None]
    moved = (torch.arange(side) >= side - shift).long()[None]
    return last * (1 + moved)
