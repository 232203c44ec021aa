"""What a run for instance or panoptic segmentation has of its own in its config: mmdet's pipelines, our K-Net."""

from __future__ import annotations

import math
from typing import Any

from seg2knet.knet.recipe import BACKBONE_LR_FACTOR, LIGHT_BACKBONE_LR_FACTOR, MAX_GRADIENT_NORM, WEIGHT_DECAY
from seg2knet.trainer.config.plan import RunPlan
from seg2knet.trainer.config.source import Ref

PACK = {"type": "PackKNetInputs"}
META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
RULES = {"max_per_img": 100, "mask_thr": 0.5, "instance_score_thr": 0.3, "overlap_thr": 0.6}
"""How predictions become results, as :class:`seg2knet.knet.results.ResultRules` has them."""


def train_pipeline(plan: RunPlan) -> list[dict[str, Any]]:
    """What is done to an image before it is learned from."""
    load: dict[str, Any] = {"type": "LoadPanoptic"}
    if plan.data.task == "instance":
        load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True, "poly2mask": True}
    # With --augment strong the packing is left to pasting().
    end = {"type": "Pad", "size": _crop(plan)} if plan.augment == "strong" else PACK
    return [{"type": "LoadImageFromFile"}, load, *_changes(plan), end]


def flips(plan: RunPlan) -> list[dict[str, Any]]:
    """Half of the images mirrored, with the labels of sided classes swapped."""
    if plan.options.flip == "none":
        return []
    steps: list[dict[str, Any]] = [{"type": "RandomFlip", "prob": 0.5}]
    if plan.options.flip == "swap" and plan.sides.pairs:
        steps.append({"type": "SwapSides", "pairs": list(plan.sides.pairs), "classes": Ref("classes")})
    return steps


def _changes(plan: RunPlan) -> list[dict[str, Any]]:
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


def pasting(plan: RunPlan, dataset: dict[str, Any]) -> dict[str, Any]:
    """A training data set; with ``--augment strong`` objects of other images are pasted into each."""
    if plan.augment != "strong":
        return dataset
    own = {**dataset, "seed": None}  # its random numbers are those of the data set around it
    return {"type": "CopyPasteData", "dataset": own, "pipeline": [{"type": "CopyPaste"}, PACK], "seed": dataset["seed"]}


def test_pipeline(scale: tuple[int, int], panoptic: bool) -> list[dict[str, Any]]:
    """What is done to an image before it is judged."""
    return [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": scale, "keep_ratio": True},
        {"type": "PackDetInputs", "meta_keys": META_KEYS + ("seg_map_path", "segments_info") * panoptic},
    ]


def model(plan: RunPlan) -> dict[str, Any]:
    """K-Net; the class counts stand here and nowhere else."""
    panoptic = plan.data.task == "panoptic"
    width, given = plan.backbone.width, plan.options.channels_last
    return {
        "type": "KNet",
        "data_preprocessor": {
            "type": "KNetPreprocessor",
            "mean": list(plan.backbone.mean),
            "std": list(plan.backbone.std),
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
            "pad_mask": False,
            "pad_seg": panoptic,
        },
        "backbone": plan.backbone.config(plan.weights, plan.scratch),
        "neck": {"type": "FPN", "in_channels": list(plan.backbone.channels), "out_channels": width, "num_outs": 4},
        "num_things": len(plan.data.classes.things),
        "num_stuff": len(plan.data.classes.stuff) if panoptic else 0,
        # The paper's 100, more where an image has more than 40 objects; in small models as many as the data need: two
        # to three times the most objects of an image, at least 12.
        "num_kernels": max(12 if width < 256 else 100, round(2.5 * plan.train.most)),
        "num_stages": 3,
        "channels": width,
        "feedforward_channels": 256 if plan.backbone.narrow else 8 * width,
        "num_heads": 8,
        # As asked, else on the CPU, where it is faster.
        "channels_last": plan.machine.device == "cpu" if given is None else given,
        "test_cfg": {**RULES, **({"mask_score": True} if plan.light and not panoptic else {})},
    }


def optimizer(plan: RunPlan) -> dict[str, Any]:
    """The paper's AdamW; from scratch the backbone learns as fast as the rest, and norms do not decay."""
    factor = LIGHT_BACKBONE_LR_FACTOR if plan.light else BACKBONE_LR_FACTOR
    parts: dict[str, Any] = {"custom_keys": {"backbone": {"lr_mult": factor}}}
    if plan.scratch:
        parts = {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0}
    return {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": plan.lr, "weight_decay": WEIGHT_DECAY},
        "clip_grad": {"max_norm": MAX_GRADIENT_NORM, "norm_type": 2},
        "paramwise_cfg": parts,
    }
