"""Pretrained backbones under the names that mmdet's and mmseg's backbones load."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor

from seg2knet.download import weights
from seg2knet.download.transfer import digest
from seg2knet.download.weights import Source
from seg2knet.errors import DataError
from seg2knet.knet import checkpoints


def backbone(source: Source, path: Optional[Path] = None) -> Path:
    """A file with a backbone's pretrained weights alone, under the names that mmdet's and mmseg's backbones load, from
    where they are published or from the user's own file: torchvision's, the Swin authors', OpenMMLab's, or a checkpoint
    with such a backbone.

    It is converted once, in the cache. mmengine skips tensors of the wrong name with a line in a log, so the
    architecture is checked here.

    Raises TransferError: it cannot be downloaded; the message lists the alternatives; DataError: the file cannot be
    read or holds another backbone.
    """
    instead = "or --backbone-weights PATH of that file; or train from scratch: --no-pretrained"
    file, kind = path if path is not None else weights.published(source, instead), source.kind
    if not file.is_file():
        raise DataError("no such file of weights", file=file, hint="--backbone-weights PATH, or --no-pretrained")
    target = weights.cache() / "seg2knet" / f"{file.stem}-{digest(file)[:8]}.backbone.pth"
    if target.is_file():
        return target
    state = checkpoints.read(file)["state_dict"]
    state = _of_backbone(state) or state
    if any(key.startswith("layers.") for key in state):
        state = convert_swin(state)
    found = describe(state)
    if found != kind:
        raise DataError(
            "the file holds another backbone", file=file, found=found, expected=kind, hint="choose --backbone to fit it"
        )
    # mmdet's Swin takes names with the prefix alone, ResNets those without.
    prefix = "backbone." if kind.startswith("Swin") else ""
    own = re.compile(r"(conv1|bn1|stem|layer\d|patch_embed|stages|norm\d)\.")
    kept = {prefix + key: value for key, value in state.items() if own.match(key)}
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    torch.save({"state_dict": kept}, part)
    os.replace(part, target)
    return target


def modern_swin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a whole model with a backbone in the Swin authors' names, if it has one, in OpenMMLab's."""
    if not any(key.startswith("backbone.layers.") for key in state):
        return dict(state)
    others = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    return others | {f"backbone.{key}": value for key, value in convert_swin(_of_backbone(state)).items()}


def _of_backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len("backbone.") :]: value for key, value in state.items() if key.startswith("backbone.")}


_SWIN_NAMES = (
    (r"^layers\.", "stages."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.attn\.", ".attn.w_msa."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
)


def convert_swin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The Swin authors' names (github.com/microsoft/Swin-Transformer) -> OpenMMLab's.

    Where four neighbours are merged the authors put pixel (0,0), (1,0), (0,1), (1,1) one after another, each with all
    its channels; OpenMMLab puts the pixels row by row within each channel: columns are moved accordingly.
    """
    converted = {}
    for key, value in state.items():
        if key.startswith(("head.", "norm.")) or key.endswith("attn_mask"):
            continue
        if ".downsample." in key:  # (out, 4 C), (4 C)
            by_pixel = value.reshape(*value.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :]
            value = by_pixel.transpose(-1, -2).reshape(value.shape)
        for pattern, name in _SWIN_NAMES:
            key = re.sub(pattern, name, key)
        converted[key] = value
    return converted


def describe(state: Mapping[str, Tensor]) -> str:
    """The architecture these tensors belong to, worded as ``Source.kind``."""
    patches = state.get("patch_embed.projection.weight")
    if patches is not None:
        return f"Swin {patches.shape[0]} wide, depth {count(state, 'stages.2.blocks.')}"
    depth = resnet_depth(state)
    if depth is None:
        return f"no backbone known here, tensors such as {', '.join(list(state)[:3]) or 'none'}"
    return f"ResNet-{depth}" + (" with a deep stem" if "stem.0.weight" in state else "")


def resnet_depth(state: Mapping[str, Tensor], prefix: str = "") -> Optional[int]:
    """By the blocks of its third level, of two or three convolutions each; ``None`` where it is none."""
    depths = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}
    return depths.get((count(state, f"{prefix}layer3."), f"{prefix}layer3.0.conv3.weight" in state))


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many blocks are numbered after a prefix."""
    return len({key[len(prefix) :].partition(".")[0] for key in state if key.startswith(prefix)})
