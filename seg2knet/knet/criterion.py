"""The training loss: matching, then the losses of the kernel head and of every update stage."""

from __future__ import annotations

from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor

from seg2knet.knet.kernel_head import Proposals
from seg2knet.knet.kernel_update import StageOutput
from seg2knet.knet.losses import CLASS, DICE, MASK, RANK, SEMANTIC, focal_loss, mask_losses, rank_loss, upsample
from seg2knet.knet.matching import Matches, Pairs, assign, batch_costs, positives
from seg2knet.knet.network import Predictions, Shape
from seg2knet.knet.targets import FULL, BatchTruth


def mean_over_ranks(*counts: float | Tensor, device: torch.device) -> list[Tensor]:
    """The mean of each count over all processes, in one all-reduce; the counts themselves in a single process."""
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

    def __call__(self, predictions: Predictions, truth: BatchTruth) -> dict[str, Tensor]:
        """The losses by name, weighted scalars; an entry without ``loss`` in its name is a measure, not a loss."""
        shape, device = self.shape, truth.masks.device
        things = sum(min(end - begin, shape.num_kernels) for begin, end in truth.things)
        counts = mean_over_ranks(things, things + sum(map(len, truth.stuff)), device=device)
        with torch.autocast(device.type, enabled=False):
            pairs = self._match(predictions, truth)
            losses = self._head_losses(predictions.proposals, truth, positives(pairs[0], truth), counts[0])
            for index, stage in enumerate(predictions.stages):
                matches = positives(pairs[index], truth, shape.num_kernels if shape.num_stuff else 0, shape.num_things)
                for name, value in self._stage_losses(stage, truth, matches, counts[1]).items():
                    losses[f"s{index}_{name}"] = value
        return losses

    def _match(self, predictions: Predictions, truth: BatchTruth) -> list[list[Pairs]]:
        """The pairs of each stage, image by image.

        Stage 0 is matched by the masks of the kernel head, as the kernel head itself is, so they share one matching.
        Stage s is matched by masks and classes of stage s - 1. Instance kernels are matched to things alone.
        """
        kernels, things = self.shape.num_kernels, self.shape.num_things
        costs = batch_costs(predictions.proposals.mask_logits[:, :kernels], truth)
        for stage in predictions.stages[:-1]:
            costs += batch_costs(stage.mask_logits[:, :kernels], truth, stage.class_logits[:, :kernels, :things])
        pairs, images = assign(costs), len(truth.things)
        return [pairs[begin : begin + images] for begin in range(0, len(pairs), images)]

    def _head_losses(self, head: Proposals, truth: BatchTruth, matches: Matches, count: Tensor) -> dict[str, Tensor]:
        """The kernel head: masks of the matched instance kernels, and the semantic logits at every pixel."""
        mask_logits = head.mask_logits[:, : self.shape.num_kernels]
        owners = _owners(matches, truth, len(mask_logits))
        losses = self._mask_losses(mask_logits, owners, truth, matches, count)
        labels = self._semantic_labels(owners, matches, truth)
        (foreground,) = mean_over_ranks((labels < self.shape.num_classes).sum(), device=labels.device)
        losses["seg"] = SEMANTIC * focal_loss(upsample(head.semantic_logits), labels) / foreground.clamp(min=1)
        return {f"loss_rpn_{name}": value for name, value in losses.items()}

    def _stage_losses(
        self, stage: StageOutput, truth: BatchTruth, matches: Matches, count: Tensor
    ) -> dict[str, Tensor]:
        """A stage: classes of all kernels, masks of the positives."""
        owners = _owners(matches, truth, len(stage.mask_logits)) if self.shape.num_stuff else None
        losses = {"loss_cls": CLASS * self._class_loss(stage.class_logits, matches) / count.clamp(min=1)}
        correct = stage.class_logits[matches.image, matches.kernel].argmax(-1) == matches.label
        losses["pos_acc"] = 100 * correct.float().sum() / max(len(matches.image), 1)
        for name, value in self._mask_losses(stage.mask_logits, owners, truth, matches, count).items():
            losses[f"loss_{name}"] = value
        return losses

    def _class_loss(self, class_logits: Tensor, matches: Matches) -> Tensor:
        """Focal loss: instance kernels in the thing columns, stuff kernel c in stuff column c alone."""
        batch, things, kernels = len(class_logits), self.shape.num_things, self.shape.num_kernels
        labels = torch.full((batch, class_logits.shape[1]), -1, device=class_logits.device)
        labels[matches.image, matches.kernel] = matches.label
        loss = focal_loss(class_logits[:, :kernels, :things].flatten(0, 1), labels[:, :kernels].flatten())
        if self.shape.num_stuff:
            own_column = class_logits[:, kernels:, things:].diagonal(dim1=1, dim2=2)  # (B, S)
            absent_or_zero = torch.where(labels[:, kernels:] >= 0, 0, -1)
            loss = loss + focal_loss(own_column.reshape(-1, 1), absent_or_zero.flatten())
        return loss

    def _mask_losses(
        self, mask_logits: Tensor, owners: Optional[Tensor], truth: BatchTruth, matches: Matches, count: Tensor
    ) -> dict[str, Tensor]:
        """Mask, dice and (panoptic) rank loss. Only the positives are upsampled, except for rank, which needs all."""
        panoptic = self.shape.num_stuff > 0
        if not len(matches.image):
            zero = mask_logits.float().sum() * 0  # keeps the graph: every process needs gradients of all parameters
            return {"mask": zero, "dice": zero, **({"rank": zero} if panoptic else {})}
        targets = truth.masks[matches.truth].float() / FULL
        losses: dict[str, Tensor] = {}
        if panoptic and owners is not None:
            all_logits = upsample(mask_logits)
            logits = all_logits[matches.image, matches.kernel]
            losses["rank"] = RANK * rank_loss(all_logits, owners)
        else:
            logits = upsample(mask_logits[matches.image, matches.kernel].unsqueeze(1)).squeeze(1)
        entropy, dice = mask_losses(logits, targets)
        return {"mask": MASK * entropy.sum() / count, "dice": DICE * dice.sum() / count, **losses}

    def _semantic_labels(self, owners: Tensor, matches: Matches, truth: BatchTruth) -> Tensor:
        """(B, h, w) class indices: stuff, the matched instances over it, background (num_classes) elsewhere."""
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
