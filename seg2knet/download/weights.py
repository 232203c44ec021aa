"""Weights from elsewhere: backbones pretrained on ImageNet, and released checkpoints by path or URL.

What is downloaded stays in torch's own cache (``$TORCH_HOME``, ``$XDG_CACHE_HOME/torch`` or ``~/.cache/torch``), so a
ResNet that torchvision has fetched before is not fetched again. The eight hexadecimal digits in a file's name are the
beginning of its SHA-256, as torch.hub and OpenMMLab have it, and are checked. Nothing in a file is run when it is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from seg2knet.download.meter import bar
from seg2knet.download.transfer import Remote, digest, fetch
from seg2knet.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

MIRROR = "SEG2KNET_WEIGHTS_URL"
"""Environment variable: where to fetch backbones from instead, ``https://host/folder`` with files of these names."""
TORCHVISION = ("https://download.pytorch.org/models/",)
THIRD_PARTY = (
    "https://download.openmmlab.com/pretrain/third_party/",
    "https://mmassets.onedl.ai/pretrain/third_party/",
)
SWIN = (
    "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/",
    "https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/",
)


@dataclass(frozen=True)
class Source:
    """A pretrained backbone: its file's name, folders of the web that have it, and what it must turn out to be."""

    file: str
    folders: tuple[str, ...]
    kind: str


SOURCES = {
    "r18": Source("resnet18-f37072fd.pth", TORCHVISION, "ResNet-18"),
    "r50": Source("resnet50-0676ba61.pth", TORCHVISION, "ResNet-50"),
    "r101": Source("resnet101-63fe2227.pth", TORCHVISION, "ResNet-101"),
    "r18-deep-stem": Source("resnet18_v1c-b5776b93.pth", THIRD_PARTY, "ResNet-18 with a deep stem"),
    "r50-deep-stem": Source("resnet50_v1c-2cccc1ad.pth", THIRD_PARTY, "ResNet-50 with a deep stem"),
    "r101-deep-stem": Source("resnet101_v1c-e67eebb6.pth", THIRD_PARTY, "ResNet-101 with a deep stem"),
    "swin-t": Source("swin_tiny_patch4_window7_224_20220308-f41b89d3.pth", SWIN, "Swin 96 wide, depth 6"),
    "swin-l": Source("swin_large_patch4_window7_224_22k_20220308-d5bdebaf.pth", SWIN, "Swin 192 wide, depth 18"),
}


def backbone(
    name: str, path: Optional[Path] = None, pretrained: bool = True, deep_stem: bool = False
) -> Optional[Path]:
    """A file with the backbone's pretrained weights, under the names that mmdet's and mmseg's backbones load.

    Args:
        name: ``r18``, ``r50``, ``r101``, ``r101-dcn``, ``swin-t`` or ``swin-l``.
        path: the user's own file: torchvision's, the Swin authors', OpenMMLab's, or a checkpoint with such a backbone.
        pretrained: ``False``: none is wanted.
        deep_stem: for mmseg's ResNetV1c.

    Returns:
        the file, or ``None`` where none is wanted.

    Raises:
        TransferError: it cannot be downloaded; says how to do without.
        DataError: the file cannot be read or holds another backbone.
        UsageError: no backbone of that name.
    """
    if not pretrained and path is None:
        return None
    plain = name.removesuffix("-dcn")
    key = f"{plain}-deep-stem" if deep_stem and plain.startswith("r") else plain
    if key not in SOURCES:
        raise UsageError(f"no backbone is called {name!r}", expected=", ".join(SOURCES))
    return _prepared(path if path is not None else _download(SOURCES[key]), SOURCES[key].kind)


def checkpoint(where: Union[str, Path]) -> Path:
    """A checkpoint by path or by http(s) URL, downloaded to the cache once.

    A digest is checked where one is known: ``#sha256=HEX`` after the URL, or eight digits at the end of the name.

    Raises:
        DataError: no such file. TransferError: it cannot be downloaded.
    """
    text = str(where)
    if not re.match(r"https?://", text):
        if not Path(text).is_file():
            raise DataError("no such checkpoint", file=text, expected="a file, or an http(s) URL")
        return Path(text)
    url, _, fragment = text.partition("#")
    name = urllib.parse.unquote(Path(urllib.parse.urlsplit(url).path).name) or "checkpoint.pth"
    known = fragment.replace("=", ":", 1) if fragment.startswith(("sha256=", "md5=")) else _digest_in(name)
    # Files of one name stand on many servers: each address has a folder.
    target = cache() / "seg2knet" / hashlib.sha256(url.encode()).hexdigest()[:12] / name
    return _fetched(Remote((url,), digest=known), target, "download it elsewhere and give its path")


def cache() -> Path:
    """Where torch.hub keeps checkpoints."""
    home = os.environ.get("TORCH_HOME")
    if home:
        return Path(home).expanduser() / "hub" / "checkpoints"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "torch" / "hub" / "checkpoints"


def _download(source: Source) -> Path:
    mirror = os.environ.get(MIRROR)
    folders = (mirror.rstrip("/") + "/",) if mirror else source.folders
    hint = (
        f"without a network, give a file: --backbone-weights PATH (of {source.file}); "
        f"or start from nothing: --no-pretrained; or name a mirror: {MIRROR}=https://..."
    )
    remote = Remote(tuple(folder + source.file for folder in folders), digest=_digest_in(source.file))
    return _fetched(remote, cache() / source.file, hint)


def _fetched(remote: Remote, target: Path, hint: str) -> Path:
    if target.is_file():
        return fetch(remote, target)
    with bar(target.name) as progress:
        return fetch(remote, target, progress=progress, hint=hint)


def _digest_in(name: str) -> Optional[str]:
    found = re.search(r"-([0-9a-f]{8})\.pth(\.tar)?$", name)
    return f"sha256:{found.group(1)}" if found else None


def _prepared(file: Path, kind: str) -> Path:
    """``file`` under the names that are loaded, without what a backbone has no place for; made once, in the cache.

    mmengine ignores tensors of the wrong name with a line in a log: what does not fit must be found here.
    """
    from seg2knet.knet import checkpoints

    if not file.is_file():
        raise DataError("no such file of weights", file=file, hint="--backbone-weights PATH, or --no-pretrained")
    target = cache() / "seg2knet" / f"{file.stem}-{digest(file)[:8]}.backbone.pth"
    if target.is_file():
        return target
    state = _plain_names(checkpoints.read(file)["state_dict"])
    found = describe(state)
    if found != kind:
        raise DataError(
            "the file holds another backbone", file=file, found=found, expected=kind, hint="choose --backbone to fit it"
        )
    import torch

    # mmdet's Swin takes names with the prefix alone, ResNets those without.
    prefix = "backbone." if kind.startswith("Swin") else ""
    kept = OrderedDict((prefix + key, value) for key, value in state.items() if _of_backbone(key))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    torch.save({"state_dict": kept}, part)
    os.replace(part, target)
    return target


def _of_backbone(key: str) -> bool:
    return re.match(r"(conv1|bn1|stem|layer\d|patch_embed|stages|norm\d)\.", key) is not None


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of a checkpoint's backbone; Swin as OpenMMLab names it."""
    if any(key.startswith("backbone.") for key in state):
        state = {key[len("backbone.") :]: value for key, value in state.items() if key.startswith("backbone.")}
    return convert_swin(state) if any(key.startswith("layers.") for key in state) else dict(state)


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
    """What backbone these tensors are of, as ``Source.kind`` has it."""
    patches = state.get("patch_embed.projection.weight")
    if patches is not None:
        return f"Swin {patches.shape[0]} wide, depth {_count(state, 'stages.2.blocks.')}"
    depths = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}
    depth = depths.get((_count(state, "layer3."), "layer3.0.conv3.weight" in state))
    if depth is None:
        return f"no backbone known here, tensors such as {', '.join(list(state)[:3]) or 'none'}"
    return f"ResNet-{depth}" + (" with a deep stem" if "stem.0.weight" in state else "")


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].partition(".")[0] for key in state if key.startswith(prefix)})
