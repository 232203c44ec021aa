"""Backbones as mmdet and mmseg build them, and the neck's channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Backbone:
    """A backbone's config and what follows from it.

    Attributes:
        config: for mmdet's registry.
        channels: of its four levels, strides 4 to 32.
        title: for a person.
        imports: modules that register what it is made of, for ``custom_imports``.
    """

    config: dict[str, Any]
    channels: tuple[int, int, int, int]
    title: str
    imports: tuple[str, ...] = ()


_SWINS = {
    "swin-t": (96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2, "Swin-T"),
    "swin-l": (192, (2, 2, 18, 2), (6, 12, 24, 48), 0.3, "Swin-L"),
}
"""Width, depths, heads (Liu et al., arXiv 2103.14030), stochastic depth with pretrained weights, title."""


def backbone(name: str, weights: Optional[str], scratch: bool) -> Backbone:
    """A backbone by name (``options.BACKBONES``).

    Args:
        name: ``r18``, ``r18-half`` (half as wide, for CPUs), ``r50``, ``r101``, ``r101-dcn``, ``swin-t`` or ``swin-l``.
        weights: file with pretrained weights, if it starts from one.
        scratch: it starts from nothing at all: nothing is frozen and BatchNorm learns.
    """
    initial = {"type": "Pretrained", "checkpoint": weights} if weights else None
    if name in _SWINS:
        width, depths, heads, drop, title = _SWINS[name]
        config: dict[str, Any] = {
            "type": "SwinTransformer",
            "embed_dims": width,
            "depths": depths,
            "num_heads": heads,
            "window_size": 7,
            "mlp_ratio": 4,
            "qkv_bias": True,
            "drop_path_rate": 0.1 if scratch else drop,
            "patch_norm": True,
            "out_indices": (0, 1, 2, 3),
            "with_cp": False,
            "convert_weights": False,
            "init_cfg": initial,
        }
        return Backbone(config, (width, 2 * width, 4 * width, 8 * width), title)
    depth, _, variant = name[1:].partition("-")
    return _resnet(int(depth), variant, initial, scratch)


def _resnet(depth: int, variant: str, initial: Optional[dict[str, str]], scratch: bool) -> Backbone:
    config: dict[str, Any] = {
        "type": "ResNet",
        "depth": depth,
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "style": "pytorch",
        # BatchNorm keeps the statistics it learned on ImageNet; stem and first stage stay as they are.
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": not scratch,
        "frozen_stages": -1 if scratch else 1,
        "init_cfg": initial,
    }
    if variant == "half":
        config.update(base_channels=32, stem_channels=32)
        return Backbone(config, (32, 64, 128, 256), f"ResNet-{depth} of half width")
    if variant == "dcn":
        # Stages 3 to 5, as in the authors' table.
        config["dcn"] = {"type": "Seg2KNetDeformConv", "deform_groups": 1, "fallback_on_stride": False}
        config["stage_with_dcn"] = (False, True, True, True)
        return Backbone(
            config,
            (256, 512, 1024, 2048),
            f"ResNet-{depth} with deformable convolution",
            ("seg2knet.trainer.openmmlab.deformable",),
        )
    return Backbone(config, (64, 128, 256, 512) if depth < 50 else (256, 512, 1024, 2048), f"ResNet-{depth}")
