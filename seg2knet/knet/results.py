"""From the last stage's logits to instances or to a panoptic map, at the size of the original image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

INSTANCE_OFFSET = 1000  # mmdet's: panoptic id = class + 1000 * running number
CHUNK_PIXELS = 1 << 25  # full-size masks are made this many float32 pixels at a time (128 MiB)


@dataclass(frozen=True)
class ResultRules:
    """How predictions become results.

    Attributes:
        max_per_img: how many instances are kept.
        mask_thr: a pixel belongs to an instance above this.
        instance_score_thr: a thing below this score makes no panoptic segment.
        overlap_thr: a kernel that wins less than this part of its own pixels makes no panoptic segment.
    """

    max_per_img: int = 100
    mask_thr: float = 0.5
    instance_score_thr: float = 0.3
    overlap_thr: float = 0.6


class ImageSize(NamedTuple):
    """Heights and widths of one image on its way through the network."""

    content: tuple[int, int]  # resized, without padding
    original: tuple[int, int]


class Instances(NamedTuple):
    """One image's instances in falling score."""

    scores: Tensor  # (n,)
    labels: Tensor  # (n,) int64
    masks: Tensor  # (n, H, W) bool
    boxes: Tensor  # (n, 4) float32: x1, y1, x2, y2 around the mask; zeros where it is empty


class Panoptic(NamedTuple):
    """One image's segments."""

    ids: Tensor  # (H, W) int32: class + 1000 * number, the number of classes where there is nothing
    scores: dict[int, float]  # of each id


def full_masks(masks: Tensor, size: ImageSize) -> Iterator[Tensor]:
    """Probabilities at the original size, a few masks at a time.

    Logits are doubled to stride 4; their sigmoid is resized to the padded input, cropped to the image's content and
    resized to the original size, all bilinearly.

    Args:
        masks: (n, h, w) logits at stride 8.
        size: the image's.

    Yields:
        (m, H, W) float32, in order, n in all.
    """
    pixels = max(64 * masks.shape[-2] * masks.shape[-1], size.original[0] * size.original[1])
    for some in masks.split(max(1, CHUNK_PIXELS // pixels)):
        x = _resize(some.float(), 2).sigmoid_()
        x = _resize(x, 4)[:, : size.content[0], : size.content[1]]
        if tuple(x.shape[1:]) != tuple(size.original):
            x = F.interpolate(x[:, None], size=size.original, mode="bilinear", align_corners=False)[:, 0]
        yield x


def instances(classes: Tensor, masks: Tensor, size: ImageSize, rules: ResultRules) -> Instances:
    """The best (kernel, class) pairs of one image.

    Args:
        classes: (N, K) logits.
        masks: (N, h, w) logits at stride 8.
        size: the image's.
        rules: `max_per_img` and `mask_thr` count here.
    """
    scores, order = classes.float().sigmoid().flatten().topk(min(rules.max_per_img, classes.numel()))
    kernels = torch.div(order, classes.shape[1], rounding_mode="floor")
    # One kernel often comes with several classes: its mask is made once.
    unique, place = kernels.unique(return_inverse=True)
    whole = torch.cat([chunk > rules.mask_thr for chunk in full_masks(masks[unique], size)])
    return Instances(scores, order % classes.shape[1], whole[place], boxes_of(whole)[place])


def boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes around masks (n, H, W) bool -> (n, 4) float32; far edges exclusive, as COCO's x + width."""

    def span(inside: Tensor) -> tuple[Tensor, Tensor]:
        length = inside.shape[1]
        steps = torch.arange(length, device=inside.device)
        first = torch.where(inside, steps, length).amin(1)
        last = torch.where(inside, steps + 1, 0).amax(1)
        return first, last

    x1, x2 = span(masks.any(1))
    y1, y2 = span(masks.any(2))
    boxes = torch.stack((x1, y1, x2, y2), 1)
    return torch.where((x2 > 0)[:, None], boxes, 0).float()


def panoptic(classes: Tensor, masks: Tensor, num_things: int, size: ImageSize, rules: ResultRules) -> Panoptic:
    """One image's panoptic map.

    Every pixel goes to the kernel with the highest score times mask. Then, in falling score, things of low score and
    kernels that won too little of their own pixels are left out, and their pixels stay nothing.

    Args:
        classes: (N + S, K) logits, instance kernels before stuff kernels.
        masks: (N + S, h, w) logits at stride 8.
        num_things: thing classes come first; S = K - num_things.
        size: the image's.
        rules: `instance_score_thr` and `overlap_thr` count here.
    """
    num_classes = classes.shape[1]
    num_stuff = num_classes - num_things
    kernels = classes.shape[0] - num_stuff
    probabilities = classes.float().sigmoid()
    scores, labels = probabilities[:kernels, :num_things].max(1)
    scores = torch.cat((scores, probabilities[kernels:, num_things:].diagonal()))
    labels = torch.cat((labels, torch.arange(num_things, num_classes, device=labels.device)))
    scores, order = scores.sort(descending=True, stable=True)
    labels = labels[order]

    winner, own = _contest(masks[order], scores, size)
    won = torch.bincount(winner.flatten(), minlength=len(order))
    kept = (scores >= rules.instance_score_thr) | (labels >= num_things)
    kept &= (won > 0) & (own > 0) & (won >= rules.overlap_thr * own)
    number = kept.cumsum(0) - 1
    ids = torch.where(kept, labels + INSTANCE_OFFSET * number, num_classes).int()
    return Panoptic(ids[winner], dict(zip(ids[kept].tolist(), scores[kept].tolist())))


def _contest(masks: Tensor, scores: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    """Who wins each pixel, (H, W) int64, and how many pixels >= 0.5 each kernel has of its own, (M,)."""
    best = masks.new_full(size.original, -1.0, dtype=torch.float32)
    winner = torch.zeros(size.original, dtype=torch.int64, device=masks.device)
    own: list[Tensor] = []
    begin = 0
    for chunk in full_masks(masks, size):
        own.append((chunk >= 0.5).flatten(1).sum(1))
        value, index = (chunk * scores[begin : begin + len(chunk), None, None]).max(0)
        better = value > best
        best = torch.where(better, value, best)
        winner = torch.where(better, index + begin, winner)
        begin += len(chunk)
    return winner, torch.cat(own)


def _resize(masks: Tensor, factor: int) -> Tensor:
    return F.interpolate(masks[:, None], scale_factor=factor, mode="bilinear", align_corners=False)[:, 0]
