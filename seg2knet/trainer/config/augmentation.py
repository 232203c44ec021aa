"""What is changed in images at random while training, as steps of mmdet's and mmseg's pipelines."""

from __future__ import annotations

from typing import Any

from seg2knet.trainer.config.plan import RunPlan
from seg2knet.trainer.config.source import Ref

FLIPPING = "seg2knet.trainer.openmmlab.flipping"
"""The module that registers ``SwapSides``."""


def flips(plan: RunPlan) -> list[dict[str, Any]]:
    """Half of the images mirrored, with the labels of sided classes swapped."""
    if plan.options.flip == "none":
        return []
    steps: list[dict[str, Any]] = [{"type": "RandomFlip", "prob": 0.5}]
    if plan.options.flip == "swap" and plan.sides.pairs:
        steps.append({"type": "SwapSides", "pairs": list(plan.sides.pairs), "classes": Ref("classes")})
    return steps
