"""The constants of K-Net's training recipe, each defined once. Imports no other module, so any layer can use it."""

from __future__ import annotations

import math
from dataclasses import dataclass

IGNORE = 255
"""Value of unlabelled pixels in a semantic map: they belong to no class."""
INSTANCE_OFFSET = 1000
"""Panoptic id = class + INSTANCE_OFFSET * running number, as in mmdet."""

BASE_BATCH = 16
"""Images per optimiser step that the learning rates below are given for."""
WEIGHT_DECAY = 0.05
BACKBONE_LR_FACTOR = 0.25
"""A pretrained backbone learns at this fraction of the learning rate."""
MAX_GRADIENT_NORM = 1.0
WARMUP_FACTOR, WARMUP_STEPS = 0.001, 1000
"""Linear warm-up from this fraction of the learning rate over this many steps."""
SCHEDULES = {"1x": 12, "3x": 36}
"""Name of a schedule -> epochs on COCO."""


@dataclass(frozen=True)
class LearningRate:
    """A learning rate that is scaled in proportion to the batch, up to a limit.

    Attributes:
        base: the rate for ``BASE_BATCH`` images per optimiser step.
        limit: the highest rate.
    """

    base: float
    limit: float = math.inf

    def at(self, batch: int) -> float:
        """The rate for `batch` images per optimiser step."""
        return min(self.base * batch / BASE_BATCH, self.limit)


PRETRAINED = LearningRate(1e-4)
SEMANTIC_SWIN = LearningRate(6e-5)
LIGHT = LearningRate(1.6e-3, limit=4e-4)
"""Light models; their pretrained backbones learn at ``LIGHT_BACKBONE_LR_FACTOR``."""
LIGHT_BACKBONE_LR_FACTOR = 0.5
SCRATCH = LearningRate(1.6e-3, limit=8e-4)
SCRATCH_NARROW = LearningRate(3.2e-3, limit=1.6e-3)
"""The narrow model (``r18-half``). Both rates from scratch were found by trial on small data sets."""


def learning_rate(
    *, scratch: bool = False, narrow: bool = False, light: bool = False, semantic_swin: bool = False
) -> LearningRate:
    """The learning rate of a run.

    Args:
        scratch: neither a pretrained backbone nor a checkpoint is loaded.
        narrow: the narrow model; its rate differs only from scratch.
        light: a light model (``trainer.config.plan``).
        semantic_swin: mmsegmentation's K-Net on a Swin backbone.
    """
    if light:
        return LIGHT
    if scratch:
        return SCRATCH_NARROW if narrow else SCRATCH
    return SEMANTIC_SWIN if semantic_swin else PRETRAINED


def milestones(epochs: int, schedule: str) -> list[int]:
    """Epochs after which the learning rate drops: 8/12 and 11/12 of all epochs, 9/12 and 11/12 with ``3x``."""
    first = 9 if schedule == "3x" else 8
    return sorted({max(1, round(epochs * part / 12)) for part in (first, 11)} - {epochs})
