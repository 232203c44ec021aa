"""The backbones, each said once: an entry of ``BACKBONES`` has all that the rest asks of one."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass, field
from typing import Any, Optional

from seg2knet.download.weights import SWIN, THIRD_PARTY, TORCHVISION, Source

DEFORMABLE = "seg2knet.trainer.openmmlab.deformable"
TIMM = "timm/"
"""What the names of timm's models begin with."""


@dataclass(frozen=True)
class Backbone:
    """A backbone."""

    name: str
    title: str
    settings: dict[str, Any]  # in mmdet's registry, without weights
    channels: tuple[int, int, int, int]  # of its levels at strides 4, 8, 16 and 32
    weights: Optional[Source] = None  # where its ImageNet weights are published
    pretrained: dict[str, Any] = field(default_factory=dict)  # settings that a start from weights adds
    scratch: dict[str, Any] = field(default_factory=dict)  # settings that a start from nothing adds
    imports: tuple[str, ...] = ()  # modules that register it, for custom_imports
    width: int = 256  # channels of K-Net on top of it
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)  # of the images it was pretrained on, RGB, 0..255
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    hub: bool = False  # its weights come from timm's hub, or from a file in timm's names
    semantic: Optional[str] = None  # name of its body in mmsegmentation's K-Net configs
    semantic_weights: Optional[Source] = None  # of mmsegmentation's variant

    @property
    def narrow(self) -> bool:
        """Whether it is the narrow model, which has a recipe of its own."""
        return self.width < 128

    def config(self, weights: Optional[str], scratch: bool) -> dict[str, Any]:
        """Its config for mmdet's registry, with a file of weights; from `scratch` all of it learns."""
        initial = {"type": "Pretrained", "checkpoint": weights} if weights else None
        mode = self.scratch if scratch else self.pretrained
        return {**copy.deepcopy(self.settings), **mode, "init_cfg": initial}


def _resnet(depth: int, file: str, deep_stem_file: str, variant: str = "", title: str = "", **more: Any) -> Backbone:
    settings = {
        "type": "ResNet", "depth": depth, "num_stages": 4, "out_indices": (0, 1, 2, 3), "style": "pytorch",
        "norm_cfg": {"type": "BN", "requires_grad": True}, **more.pop("settings", {}),
    }  # fmt: skip
    entry: dict[str, Any] = {
        "channels": (64, 128, 256, 512) if depth < 50 else (256, 512, 1024, 2048),
        "weights": Source(file, TORCHVISION, f"ResNet-{depth}"),
        # BatchNorm keeps the statistics it learned on ImageNet; stem and first stage stay as they are.
        "pretrained": {"norm_eval": True, "frozen_stages": 1},
        "scratch": {"norm_eval": False, "frozen_stages": -1},
    }
    if not variant:
        entry["semantic"] = "r50-d8"
        entry["semantic_weights"] = Source(deep_stem_file, THIRD_PARTY, f"ResNet-{depth} with a deep stem")
    return Backbone(f"r{depth}{variant}", f"ResNet-{depth}{title}", settings, **{**entry, **more})


def _swin(name: str, width: int, depths: tuple[int, ...], heads: tuple[int, ...], file: str) -> Backbone:
    """Width, depths and heads: Liu et al., arXiv 2103.14030."""
    settings = {
        "type": "SwinTransformer", "embed_dims": width, "depths": depths, "num_heads": heads, "window_size": 7,
        "mlp_ratio": 4, "qkv_bias": True, "patch_norm": True, "out_indices": (0, 1, 2, 3), "with_cp": False,
        "convert_weights": False,
    }  # fmt: skip
    source = Source(file, SWIN, f"Swin {width} wide, depth {depths[2]}")
    return Backbone(
        name, name.title(), settings, (width, 2 * width, 4 * width, 8 * width), source,
        pretrained={"drop_path_rate": 0.2}, scratch={"drop_path_rate": 0.1}, semantic=name, semantic_weights=source,
    )  # fmt: skip


_R18 = ("resnet18-f37072fd.pth", "resnet18_v1c-b5776b93.pth")
_R101 = ("resnet101-63fe2227.pth", "resnet101_v1c-e67eebb6.pth")
_SWIN_L = "swin_large_patch4_window7_224_22k_20220308-d5bdebaf.pth"

_ALL = (
    _resnet(18, *_R18),
    _resnet(
        18, *_R18, "-half", " of half width", settings={"base_channels": 32, "stem_channels": 32},
        channels=(32, 64, 128, 256), weights=None, width=64,
    ),
    _resnet(50, "resnet50-0676ba61.pth", "resnet50_v1c-2cccc1ad.pth"),
    _resnet(101, *_R101),
    _resnet(
        101, *_R101, "-dcn", " with deformable convolution", imports=(DEFORMABLE,),
        # Stages 3 to 5, as in the authors' table.
        settings={
            "dcn": {"type": "Seg2KNetDeformConv", "deform_groups": 1, "fallback_on_stride": False},
            "stage_with_dcn": (False, True, True, True),
        },
    ),
    _swin("swin-t", 96, (2, 2, 6, 2), (3, 6, 12, 24), "swin_tiny_patch4_window7_224_20220308-f41b89d3.pth"),
    _swin("swin-l", 192, (2, 2, 18, 2), (6, 12, 24, 48), _SWIN_L),
)  # fmt: skip
BACKBONES = {backbone.name: backbone for backbone in _ALL}
"""Name -> backbone."""


def find_backbone(name: str) -> Backbone:
    """A backbone by name: an entry of ``BACKBONES``, or any of timm's models as ``timm/NAME``.

    Raises UsageError: timm has no such model, or it has no features at strides 4, 8, 16 and 32; EnvironmentProblem:
    timm is not installed.
    """
    if not name.startswith(TIMM):
        return BACKBONES[name]
    from seg2knet.trainer.openmmlab.timm_backbone import describe

    plain = name.removeprefix(TIMM)
    info = describe(plain)
    return Backbone(
        name, f"timm's {plain}", {"type": "TimmFeatures", "name": plain}, info.channels,
        pretrained={"norm_eval": True}, scratch={"norm_eval": False},
        imports=("seg2knet.trainer.openmmlab.timm_backbone",), mean=info.mean, std=info.std, hub=True,
        semantic="r50-d8",
    )  # fmt: skip


def default_backbone(device: str, task: Optional[str]) -> str:
    """What a run without ``--backbone`` takes: ResNet-50; without a GPU a small model of timm, or ResNet-18."""
    if device != "cpu" or task == "semantic":
        return "r50"
    return f"{TIMM}tf_efficientnet_lite0" if importlib.util.find_spec("timm") is not None else "r18"
