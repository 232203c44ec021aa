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
SEMANTIC_STEPS = {"80k": 80_000}
"""Name of a schedule for semantic segmentation -> steps."""


@dataclass(frozen=True)
class LearningRate:
    """A learning rate that follows the batch, up to a limit."""

    base: float  # the rate for ``BASE_BATCH`` images per optimiser step
    limit: float = math.inf  # the highest rate
    power: float = 1.0  # of the batch that it follows: 1 in proportion, 0.5 by its root

    def at(self, batch: int) -> float:
        """The rate for `batch` images per optimiser step."""
        return min(self.base * (batch / BASE_BATCH) ** self.power, self.limit)


PRETRAINED = LearningRate(1e-4, power=0.5)
"""By the root of the batch: fresh heads had a loss of 14.9 after 400 steps of 2 images at 3.5e-5, and of 18.1 at the
1.25e-5 that proportion gives."""
SEMANTIC_SWIN = LearningRate(6e-5, power=0.5)
LIGHT = LearningRate(1.6e-3, limit=4e-4)
"""Light models; their pretrained backbones learn at ``LIGHT_BACKBONE_LR_FACTOR``."""
LIGHT_BACKBONE_LR_FACTOR = 0.5
SCRATCH = LearningRate(1.6e-3, limit=8e-4)
SCRATCH_NARROW = LearningRate(3.2e-3, limit=1.6e-3)
"""The narrow model (``r18-half``). Both rates from scratch were found by trial on small data sets."""


def learning_rate(
    *, scratch: bool = False, narrow: bool = False, light: bool = False, semantic_swin: bool = False
) -> LearningRate:
    """The learning rate of a run: from ``scratch``, where neither a pretrained backbone nor a checkpoint is loaded; of
    the ``narrow`` model, whose rate differs only from scratch; of a ``light`` one (``trainer.config.plan``); of
    mmsegmentation's K-Net on a Swin backbone."""
    if light:
        return LIGHT
    if scratch:
        return SCRATCH_NARROW if narrow else SCRATCH
    return SEMANTIC_SWIN if semantic_swin else PRETRAINED


def milestones(epochs: int, schedule: str) -> list[int]:
    """Epochs after which the learning rate drops, for ``1x``, ``3x`` or ``80k``."""
    parts = {"1x": (8 / 12, 11 / 12), "3x": (9 / 12, 11 / 12), "80k": (0.75, 0.9)}[schedule]
    return sorted({max(1, round(epochs * part)) for part in parts} - {epochs})
