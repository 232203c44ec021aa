"""Downloads of weights: backbones pretrained on ImageNet, and checkpoints by path or URL.

Files go to torch's own cache (``$TORCH_HOME``, ``$XDG_CACHE_HOME/torch`` or ``~/.cache/torch``), so a ResNet that
torchvision has downloaded is not downloaded again. The eight hexadecimal digits in a file's name are the beginning of
its SHA-256, a convention of torch.hub and OpenMMLab, and are checked.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from seg2knet.download.transfer import Remote, bar, fetch
from seg2knet.errors import DataError

MIRROR = "SEG2KNET_WEIGHTS_URL"
"""Environment variable with another URL to download backbones from: a folder that has files of the same names."""
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
    """Published weights: their file's name, the URLs of folders that have it, and what the file holds."""

    file: str
    folders: tuple[str, ...]
    kind: str


def published(source: Source, instead: str) -> Path:
    """The file as published, downloaded to the cache once.

    Raises TransferError: it cannot be downloaded; the message says where to put the file, and what to do ``instead``.
    """
    mirror = os.environ.get(MIRROR)
    folders = (mirror.rstrip("/") + "/",) if mirror else source.folders
    hint = f"without a network: put {source.file} into {cache()}; {instead}; or name a mirror: {MIRROR}=https://..."
    remote = Remote(tuple(folder + source.file for folder in folders), digest=_digest_in(source.file))
    return _fetched(remote, cache() / source.file, hint)


def checkpoint(where: Union[str, Path]) -> Path:
    """A checkpoint by path or by http(s) URL, downloaded to the cache once.

    A digest is checked where one is known: ``#sha256=HEX`` after the URL, or eight digits at the end of the name.

    Raises DataError: no such file. TransferError: it cannot be downloaded.
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
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _fetched(remote: Remote, target: Path, hint: str) -> Path:
    if target.is_file():
        return fetch(remote, target)
    with bar(target.name) as progress:
        return fetch(remote, target, progress=progress, hint=hint)


def _digest_in(name: str) -> Optional[str]:
    found = re.search(r"-([0-9a-f]{8})\.pth(\.tar)?$", name)
    return f"sha256:{found.group(1)}" if found else None
