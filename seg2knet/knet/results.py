"""From the last stage's logits to instances or a panoptic map, at the size of the original image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seg2knet.knet.recipe import INSTANCE_OFFSET

CHUNK_PIXELS = 1 << 25
"""Full-size masks are computed this many float32 pixels at a time (128 MiB)."""


@dataclass(frozen=True)
class ResultRules:
    """How predictions become results."""

    max_per_img: int = 100  # the number of instances kept at most
    score_thr: float = 0.0  # instances with a lower score are dropped, before their masks are computed
    mask_thr: float = 0.5  # a pixel belongs to an instance above this probability
    # an instance's score is that of its class times the mean probability within its mask, as in Mask2Former (Cheng et
    # al., arXiv 2112.01527); K-Net's is that of its class
    mask_score: bool = False
    instance_score_thr: float = 0.3  # a thing with a lower score becomes no panoptic segment
    overlap_thr: float = 0.6  # a kernel that wins a smaller fraction of its own pixels becomes no panoptic segment


class ImageSize(NamedTuple):
    """Height and width of one image, before and after resizing."""

    content: tuple[int, int]  # resized, without padding
    original: tuple[int, int]


class Instances(NamedTuple):
    """One image's n instances, best score first."""

    scores: Tensor  # (n,)
    labels: Tensor  # (n,) int64
    masks: Tensor  # (n, H, W) bool
    boxes: Tensor  # (n, 4) float32: x1, y1, x2, y2 around the mask; zeros where the mask is empty


class Panoptic(NamedTuple):
    """One image's panoptic segments."""

    ids: Tensor  # (H, W) int32: class + 1000 * number; the number of classes where there is no segment
    scores: dict[int, float]  # score of each id, best first


def full_masks(mask_logits: Tensor, size: ImageSize) -> Iterator[Tensor]:
    """Mask logits at stride 8, (n, h, w) -> probabilities at the original size, (m, H, W) float32 at a time, n in all.

    Logits are upsampled to stride 4; their sigmoid is resized to the padded input, cropped to the image's content and
    resized to the original size, all bilinearly.
    """
    pixels = max(64 * mask_logits.shape[-2] * mask_logits.shape[-1], size.original[0] * size.original[1])
    for chunk in mask_logits.split(max(1, CHUNK_PIXELS // pixels)):
        x = _resize(chunk.float(), 2).sigmoid_()
        x = _resize(x, 4)[:, : size.content[0], : size.content[1]]
        if tuple(x.shape[1:]) != tuple(size.original):
            x = F.interpolate(x[:, None], size=size.original, mode="bilinear", align_corners=False)[:, 0]
        yield x


def instances(class_logits: Tensor, mask_logits: Tensor, size: ImageSize, rules: ResultRules) -> Instances:
    """The best (kernel, class) pairs of one image, of logits (N, K) and (N, h, w) at stride 8; of the rules
    `max_per_img`, `score_thr` and `mask_thr` apply."""
    count = min(rules.max_per_img, class_logits.numel())
    scores = class_logits.float().sigmoid()
    if rules.mask_score:
        scores = scores * _mask_scores(mask_logits, rules.mask_thr)[:, None]
    scores, order = scores.flatten().topk(count)
    order = order[scores >= rules.score_thr]
    kernels = torch.div(order, class_logits.shape[1], rounding_mode="floor")
    # One kernel often appears with several classes: its mask is computed once.
    unique, place = kernels.unique(return_inverse=True)
    if len(unique) == len(kernels):  # already in order: nothing to copy below
        unique, place = kernels, slice(None)
    masks = torch.empty((len(unique), *size.original), dtype=torch.bool, device=mask_logits.device)
    begin = 0
    for chunk in full_masks(mask_logits[unique], size):
        torch.gt(chunk, rules.mask_thr, out=masks[begin : begin + len(chunk)])
        begin += len(chunk)
    return Instances(scores[: len(order)], order % class_logits.shape[1], masks[place], boxes_of(masks)[place])


def _mask_scores(mask_logits: Tensor, mask_thr: float) -> Tensor:
    """(N,): mean probability within each mask at stride 4; 0 for an empty one."""
    probabilities = _resize(mask_logits.float(), 2).sigmoid_()
    inside = probabilities > mask_thr
    return (probabilities * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes around masks, (n, H, W) bool -> (n, 4) float32; x2 and y2 are exclusive, as COCO's x + width."""

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


def panoptic(
    class_logits: Tensor, mask_logits: Tensor, num_things: int, size: ImageSize, rules: ResultRules
) -> Panoptic:
    """One image's panoptic map, of logits (N + S, K) and (N + S, h, w) at stride 8: instance kernels before stuff
    kernels, `num_things` thing classes before S stuff classes.

    Every pixel goes to the kernel with the highest score times mask probability. Things of low score, and kernels that
    win too few of their own pixels, become no segment (`instance_score_thr`, `overlap_thr`). The others are numbered,
    best score first.
    """
    num_classes = class_logits.shape[1]
    num_stuff = num_classes - num_things
    kernels = class_logits.shape[0] - num_stuff
    probabilities = class_logits.float().sigmoid()
    scores, labels = probabilities[:kernels, :num_things].max(1)
    scores = torch.cat((scores, probabilities[kernels:, num_things:].diagonal()))
    labels = torch.cat((labels, torch.arange(num_things, num_classes, device=labels.device)))
    scores, order = scores.sort(descending=True, stable=True)
    labels = labels[order]

    winner, own = _contest(mask_logits[order], scores, size)
    won = torch.bincount(winner.flatten(), minlength=len(order))
    kept = (scores >= rules.instance_score_thr) | (labels >= num_things)
    kept &= (won > 0) & (own > 0) & (won >= rules.overlap_thr * own)
    number = kept.cumsum(0) - 1
    ids = torch.where(kept, labels + INSTANCE_OFFSET * number, num_classes).int()
    return Panoptic(ids[winner], dict(zip(ids[kept].tolist(), scores[kept].tolist())))


def _contest(mask_logits: Tensor, scores: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    """The kernel that wins each pixel, (H, W) int64, and each kernel's number of pixels >= 0.5, (M,)."""
    best = mask_logits.new_full(size.original, -1.0, dtype=torch.float32)
    winner = torch.zeros(size.original, dtype=torch.int64, device=mask_logits.device)
    own: list[Tensor] = []
    begin = 0
    for chunk in full_masks(mask_logits, size):
        own.append((chunk >= 0.5).flatten(1).sum(1))
        value, index = (chunk * scores[begin : begin + len(chunk), None, None]).max(0)
        better = value > best
        best = torch.where(better, value, best)
        winner = torch.where(better, index + begin, winner)
        begin += len(chunk)
    return winner, torch.cat(own)


def _resize(masks: Tensor, factor: int) -> Tensor:
    return F.interpolate(masks[:, None], scale_factor=factor, mode="bilinear", align_corners=False)[:, 0]
