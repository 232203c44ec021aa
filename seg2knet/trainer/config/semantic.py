"""What a run for semantic segmentation has of its own in its config: mmsegmentation's pipelines and K-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2knet.trainer.config.coco import flips
from seg2knet.trainer.config.plan import RunPlan
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.openmmlab import semantic

META_KEYS = (
    "img_id", "img_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "reduce_zero_label",
)  # fmt: skip


def train_pipeline(plan: RunPlan) -> list[dict[str, Any]]:
    """mmsegmentation's for ADE20K: half to twice the size, a crop of it, flips, colours changed a little.

    ``--augment none``: a crop at one size, and flips.
    """
    long, short = plan.scale
    ratio, colours = ((0.5, 2.0), [{"type": "PhotoMetricDistortion"}]) if plan.augment != "none" else ((1.0, 1.0), [])
    return [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "reduce_zero_label": True},
        {"type": "RandomResize", "scale": (4 * long, short), "ratio_range": ratio, "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": (short, long), "cat_max_ratio": 0.75},
        *flips(plan),
        *colours,
        {"type": "PackSegInputs"},
    ]


def test_pipeline(scale: tuple[int, int]) -> list[dict[str, Any]]:
    """Whole images; the truth stays at its own size."""
    return [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": scale, "keep_ratio": True},
        {"type": "LoadAnnotations", "reduce_zero_label": True},
        {"type": "PackSegInputs", "meta_keys": META_KEYS},
    ]


def model(plan: RunPlan) -> dict[str, Any]:
    """mmsegmentation's K-Net, with the data's class count and plain BatchNorm where there is one process."""
    layer = None  # whose inputs are the channels of the prediction that the kernels refine
    if plan.options.load_from is not None:
        from seg2knet.knet import checkpoints

        state = checkpoints.read(plan.options.load_from)["state_dict"]
        layer = state.get("decode_head.kernel_generate_head.conv_seg.weight")
    with openmmlab.silence():
        openmmlab.load(semantic=True)
        long, short = plan.scale
        return semantic.semantic_model(
            num_classes=len(plan.data.classes),
            head=plan.options.head or "upernet",
            backbone=plan.backbone.name,
            crop_size=(short, long),
            weights=Path(plan.weights) if plan.weights else None,
            processes=plan.machine.processes,
            width=layer.shape[1] if layer is not None else 256,
        )


def optimizer(plan: RunPlan) -> dict[str, Any]:
    """mmsegmentation's for K-Net: AdamW, gradient norm clipped at 1; of Swin neither positions nor norms decay."""
    still = ("absolute_pos_embed", "relative_position_bias_table", "norm")
    swin = plan.backbone.semantic == plan.backbone.name
    return {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": plan.lr, "weight_decay": 0.0005},
        "clip_grad": {"max_norm": 1, "norm_type": 2},
        **({"paramwise_cfg": {"custom_keys": {key: {"decay_mult": 0.0} for key in still}}} if swin else {}),
    }
