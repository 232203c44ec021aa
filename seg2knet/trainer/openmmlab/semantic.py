"""K-Net for semantic segmentation: mmsegmentation's own (``configs/knet``), adapted to the data.

Its config files are read from the installed package and changed to fit data and machine: class counts,
normalisation over processes, crop, backbone. The kernels update any segmentation head's prediction three times
(Zhang et al., *K-Net*, section 3.4; table 3).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Optional

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.config.backbones import BACKBONES, TIMM, find_backbone
from seg2knet.trainer.openmmlab import packages
from seg2knet.trainer.options import HEADS

SEMANTIC_BACKBONES = (*(name for name, entry in BACKBONES.items() if entry.semantic), f"{TIMM}NAME")
_INSTALL = "pip install 'onedl-mmsegmentation>=1.4.2'"


def semantic_model(
    *,
    num_classes: int,
    head: str = "upernet",
    backbone: str = "r50",
    crop_size: tuple[int, int] = (512, 512),
    weights: Optional[Path] = None,
    processes: int = 1,
    width: int = 256,
) -> dict[str, Any]:
    """The model part of a config for mmseg, with SyncBN where several ``processes`` train.

    ``weights`` are the backbone's; ``None`` starts from scratch. ``width`` is that of UPerNet and of the kernels on it:
    the authors' 256 channels, or 512 as in mmsegmentation's weights.

    Raises UsageError: the head and backbone do not exist together, or there is only one class; EnvironmentProblem:
    mmsegmentation is not installed or has no K-Net.
    """
    if num_classes < 2:
        raise UsageError(
            "semantic segmentation needs two classes to tell apart", found=str(num_classes),
            hint="name the unlabelled pixels when converting: --void-class background",
        )  # fmt: skip
    model = _own_config(head, backbone)
    for part in packages.dictionaries(model):
        if "num_classes" in part:
            part["num_classes"] = num_classes
        if processes == 1 and part.get("type") == "SyncBN":
            part["type"] = "BN"
        if "loss_decode" in part:
            # The mean over labelled pixels: data of one's own leave much unlabelled, ADE20K leaves little.
            part["loss_decode"]["avg_non_ignore"] = True
    entry = find_backbone(backbone)
    if entry.hub:
        model["backbone"] = entry.config(None, scratch=weights is None)
        model["data_preprocessor"].update(mean=list(entry.mean), std=list(entry.std))
    elif "depth" in entry.settings:
        model["backbone"]["depth"] = entry.settings["depth"]
    if backbone != entry.semantic:  # mmseg's configs have the channels of ResNet-50
        for part in (model["decode_head"]["kernel_generate_head"], model["auxiliary_head"]):
            at = part["in_index"]
            part["in_channels"] = entry.channels[at] if isinstance(at, int) else [entry.channels[i] for i in at]
    if head == "upernet":
        model["decode_head"]["kernel_generate_head"]["channels"] = width
        for update in model["decode_head"]["kernel_update_head"]:
            update.update(in_channels=width, out_channels=width)
    model.pop("pretrained", None)
    if weights is not None:
        model["backbone"]["init_cfg"] = {"type": "Pretrained", "checkpoint": str(weights)}
    model["data_preprocessor"]["size"] = tuple(crop_size)
    # Whole images are batched as they come, so those of different sizes must be padded in testing too.
    model["data_preprocessor"]["test_cfg"] = {"size_divisor": 32}
    return model


def least_batch(head: str) -> int:
    """The fewest images a process can train on at a time: heads that pool an image to one pixel normalise over two."""
    return 1 if head == "fcn" else 2


def _own_config(head: str, backbone: str) -> dict[str, Any]:
    """The ``model`` of mmseg's config for that head and the backbone nearest to the one asked for."""
    if head not in HEADS:
        raise UsageError(f"no head is called {head!r}", expected=", ".join(HEADS))
    entry = BACKBONES.get(backbone) or (find_backbone(backbone) if backbone.startswith(TIMM) else None)
    if entry is None or entry.semantic is None:
        raise UsageError(f"no semantic backbone is called {backbone!r}", expected=", ".join(SEMANTIC_BACKBONES))
    body = entry.semantic
    if head != "upernet" and (body == backbone or entry.hub):
        expected = "upernet on backbones of Swin and timm"
        raise UsageError(f"there is no K-Net of {head} on {backbone}", expected=expected)
    from mmengine.config import Config

    package = importlib.util.find_spec("mmseg")
    if package is None or package.origin is None:
        raise EnvironmentProblem("mmsegmentation is not installed", hint=_INSTALL)
    folder = Path(package.origin).parent / ".mim" / "configs" / "knet"
    size = "640x640" if backbone == "swin-l" else "512x512"
    pattern = f"knet-s3_{body}_{head}_*_ade20k-{size}.py"
    found = sorted(folder.glob(pattern))
    if not found:
        raise EnvironmentProblem(
            "this mmsegmentation has no K-Net config", found=str(folder), expected=pattern, hint=_INSTALL
        )
    return Config.fromfile(found[0]).to_dict()["model"]
