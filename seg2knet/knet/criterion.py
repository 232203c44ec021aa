"""Training's side of K-Net: matching, then the losses of the kernel head and of every stage."""

from __future__ import annotations

from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor

from seg2knet.knet.kernel_head import FirstKernels
from seg2knet.knet.kernel_update import Update
from seg2knet.knet.losses import enlarge, focal_loss, mask_losses, rank_loss
from seg2knet.knet.matching import Matches, match, positives
from seg2knet.knet.network import Predictions, Shape
from seg2knet.knet.targets import FULL, BatchTruth

CLASS, MASK, DICE, RANK, SEMANTIC = 2.0, 1.0, 4.0, 0.1, 1.0


def mean_over_ranks(*counts: float | Tensor, device: torch.device) -> list[Tensor]:
    """Each count's mean over all processes, in one all-reduce; the counts themselves where there is one process."""
    values = torch.stack([torch.as_tensor(c, dtype=torch.float32).to(device, non_blocking=True) for c in counts])
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values)
        values = values / dist.get_world_size()
    return list(values.unbind())


class Criterion:
    """All losses of a batch.

    Sums over positives and foreground pixels are divided by the mean of their number over all processes, so the losses
    of two processes with one image each are, on average, those of one process with both images.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    @torch.compiler.disable  # matching runs on the CPU, in SciPy; the network before it is one graph
    def __call__(self, predictions: Predictions, truth: BatchTruth) -> dict[str, Tensor]:
        """The losses by name, each a weighted scalar; entries without ``loss`` in their name are measures.

        Stage 0 is matched by the kernel head's masks, as the kernel head itself is: one matching serves both. Stage s
        is matched by stage s - 1's masks and classes.
        """
        shape, device = self.shape, truth.masks.device
        things = sum(min(end - begin, shape.num_kernels) for begin, end in truth.things)
        counts = mean_over_ranks(things, things + sum(map(len, truth.stuff)), device=device)
        with torch.autocast(device.type, enabled=False):
            pairs = match(predictions.first.masks[:, : shape.num_kernels], truth)
            losses = self._first(predictions.first, truth, positives(pairs, truth), counts[0])
            for index, stage in enumerate(predictions.stages):
                if index:
                    previous = predictions.stages[index - 1]
                    masks = previous.masks[:, : shape.num_kernels]
                    pairs = match(masks, truth, previous.classes[:, : shape.num_kernels, : shape.num_things])
                matches = self._with_stuff(pairs, truth)
                for name, value in self._stage(stage, truth, matches, counts[1]).items():
                    losses[f"s{index}_{name}"] = value
        return losses

    def _with_stuff(self, pairs: list, truth: BatchTruth) -> Matches:
        if not self.shape.num_stuff:
            return positives(pairs, truth)
        return positives(pairs, truth, self.shape.num_kernels, self.shape.num_things)

    def _first(self, first: FirstKernels, truth: BatchTruth, matches: Matches, count: Tensor) -> dict[str, Tensor]:
        """The kernel head: masks of the matched instance kernels, and the semantic logits at every pixel."""
        instance_masks = first.masks[:, : self.shape.num_kernels]
        owners = _owners(matches, truth, len(first.masks))
        losses = {
            f"loss_rpn_{name}": value
            for name, value in self._masks(instance_masks, owners, truth, matches, count).items()
        }
        labels = self._semantic_labels(owners, matches, truth)
        (foreground,) = mean_over_ranks((labels < self.shape.num_classes).sum(), device=labels.device)
        # Image by image: of what is worked out for all classes at stride 4 a single tensor is kept for each.
        semantic = [focal_loss(enlarge(x)[None], label[None]) for x, label in zip(first.semantic, labels)]
        losses["loss_rpn_seg"] = SEMANTIC * torch.stack(semantic).sum() / foreground.clamp(min=1)
        return losses

    def _stage(self, stage: Update, truth: BatchTruth, matches: Matches, count: Tensor) -> dict[str, Tensor]:
        """A stage: classes of all kernels, masks of the positives."""
        owners = _owners(matches, truth, len(stage.masks)) if self.shape.num_stuff else None
        losses = {"loss_cls": CLASS * self._classes(stage.classes, matches) / count.clamp(min=1)}
        right = stage.classes[matches.image, matches.kernel].argmax(-1) == matches.label
        losses["pos_acc"] = 100 * right.float().sum() / max(len(matches), 1)
        for name, value in self._masks(stage.masks, owners, truth, matches, count).items():
            losses[f"loss_{name}"] = value
        return losses

    def _classes(self, logits: Tensor, matches: Matches) -> Tensor:
        """Focal loss: instance kernels in the thing columns, stuff kernel c in stuff column c alone."""
        batch, things, kernels = len(logits), self.shape.num_things, self.shape.num_kernels
        labels = torch.full((batch, logits.shape[1]), -1, device=logits.device)
        labels[matches.image, matches.kernel] = matches.label
        loss = focal_loss(logits[:, :kernels, :things].flatten(0, 1), labels[:, :kernels].flatten())
        if self.shape.num_stuff:
            own = logits[:, kernels:, things:].diagonal(dim1=1, dim2=2)  # (B, S)
            absent_or_zero = torch.where(labels[:, kernels:] >= 0, 0, -1)
            loss = loss + focal_loss(own.reshape(-1, 1), absent_or_zero.flatten())
        return loss

    def _masks(
        self, masks: Tensor, owners: Optional[Tensor], truth: BatchTruth, matches: Matches, count: Tensor
    ) -> dict[str, Tensor]:
        """Mask, dice and (panoptic) rank loss. Only the positives' masks are enlarged, but for rank, which asks all."""
        panoptic = self.shape.num_stuff > 0
        if not len(matches):
            nothing = masks.float().sum() * 0  # keeps the graph, so that every process has the same gradients to share
            return {"mask": nothing, "dice": nothing, **({"rank": nothing} if panoptic else {})}
        targets = truth.masks[matches.truth].float() / FULL
        losses: dict[str, Tensor] = {}
        if panoptic and owners is not None:
            large = enlarge(masks.flatten(0, 1)).unflatten(0, masks.shape[:2])
            logits = large[matches.image, matches.kernel]
            losses["rank"] = RANK * rank_loss(large, owners)
        else:
            logits = enlarge(masks[matches.image, matches.kernel])
        entropy, dice = mask_losses(logits, targets)
        return {"mask": MASK * entropy.sum() / count, "dice": DICE * dice.sum() / count, **losses}

    def _semantic_labels(self, owners: Tensor, matches: Matches, truth: BatchTruth) -> Tensor:
        """(B, h, w): stuff first, the matched instances over it, background (= number of classes) elsewhere."""
        labels = torch.full_like(owners, self.shape.num_classes)
        for image, stuff in enumerate(truth.stuff):
            for place, label in stuff:
                labels[image].masked_fill_(truth.masks[place] > 0, label)
        of_kernel = owners.new_zeros(len(owners), self.shape.num_kernels)
        of_kernel[matches.image, matches.kernel] = matches.label
        instances = of_kernel.gather(1, owners.clamp(min=0).flatten(1)).view_as(owners)
        return torch.where(owners >= 0, instances, labels)


def _owners(matches: Matches, truth: BatchTruth, batch: int) -> Tensor:
    """(B, h, w) int64: at each pixel the last kernel whose object covers it, -1 where none does."""
    size = truth.masks.shape[1:]
    owners = torch.full((batch, *size), -1, device=truth.masks.device)
    covered = torch.where(truth.masks[matches.truth] > 0, matches.kernel[:, None, None], -1)
    index = matches.image[:, None, None].expand_as(covered)
    return owners.scatter_reduce_(0, index, covered, "amax")
