"""What is changed in images at random while training, as steps of mmdet's and mmseg's pipelines."""

from __future__ import annotations

import math
from typing import Any

from seg2knet.trainer.config.plan import RunPlan
from seg2knet.trainer.config.source import Ref

PACK = {"type": "PackKNetInputs"}


def flips(plan: RunPlan) -> list[dict[str, Any]]:
    """Half of the images mirrored, with the labels of sided classes swapped."""
    if plan.options.flip == "none":
        return []
    steps: list[dict[str, Any]] = [{"type": "RandomFlip", "prob": 0.5}]
    if plan.options.flip == "swap" and plan.sides.pairs:
        steps.append({"type": "SwapSides", "pairs": list(plan.sides.pairs), "classes": Ref("classes")})
    return steps


def changes(plan: RunPlan) -> list[dict[str, Any]]:
    """Scaling, cropping, colours and flips for instance and panoptic segmentation, by ``--augment``.

    Large-scale jitter is Ghiasi et al., *Simple Copy-Paste*, CVPR 2021: an image scaled at random and cropped to one
    size. Objects of which a crop leaves less than a pixel at stride 4 are dropped.
    """
    if plan.augment == "none":
        scaling: dict[str, Any] = {"type": "Resize", "scale": plan.scale, "keep_ratio": True}
        if len(plan.sizes) > 1:
            scaling = {"type": "RandomChoiceResize", "scales": plan.sizes, "keep_ratio": True}
        return [scaling, *flips(plan)]
    ratio = (0.5, 2.0) if plan.augment == "strong" else (0.75, 1.5)
    return [
        {"type": "RandomResize", "scale": plan.scale, "ratio_range": ratio, "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": _crop(plan), "allow_negative_crop": True},
        {"type": "FilterAnnotations", "by_box": False, "by_mask": True, "min_gt_mask_area": 16, "keep_empty": False},
        {"type": "PhotoMetricDistortion"},
        *flips(plan),
    ]


def _crop(plan: RunPlan) -> tuple[int, int]:
    """A square of about as many pixels as the scale's rectangle."""
    side = round(math.sqrt(plan.scale[0] * plan.scale[1]) / 32) * 32
    return side, side


def last_steps(plan: RunPlan) -> list[dict[str, Any]]:
    """The end of the training pipeline; with ``--augment strong`` the packing is left to :func:`pasting`."""
    return [{"type": "Pad", "size": _crop(plan)}] if plan.augment == "strong" else [PACK]


def pasting(plan: RunPlan, dataset: dict[str, Any]) -> dict[str, Any]:
    """A training data set; with ``--augment strong`` objects of other images are pasted into each."""
    if plan.augment != "strong":
        return dataset
    own = {**dataset, "seed": None}  # its random numbers are those of the data set around it
    return {"type": "CopyPasteData", "dataset": own, "pipeline": [{"type": "CopyPaste"}, PACK], "seed": dataset["seed"]}
