"""What the readers of folders share: small text files, lists of names, images by name, label images as shown."""

from __future__ import annotations

import contextlib
import csv
import io
import mmap
import os
import posixpath
import re
import struct
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from seg2knet.converters.base import Reader
from seg2knet.dataset import images
from seg2knet.dataset.files import MAX_TEXT, read_text, walk
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.images import SUFFIXES
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.rle import size_allowed
from seg2knet.dataset.sample import Note
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError


def read_list(path: Union[str, Path]) -> list[str]:
    """The lines of a list: without blank ones, comments (``#``) and surrounding space."""
    lines = (line.strip() for line in read_text(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_rows(path: Union[str, Path], limit: int = MAX_TEXT, semicolons: bool = False) -> list[list[str]]:
    """The rows of a CSV file, without empty ones, divided by commas, or by ``semicolons`` where its first has one;
    DataError where it is none."""
    text = read_text(path, limit)
    delimiter = ";" if semicolons and ";" in text.partition("\n")[0] else ","
    csv.field_size_limit(1 << 28)  # outlines are long
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise DataError("not a CSV file", file=path, found=str(error)) from None


def mapped(path: Union[str, Path]) -> mmap.mmap:
    """A file's bytes, which forked workers may read at a time; DataError where it cannot be read, or is empty."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "an empty file"
        raise DataError("cannot be read", file=path, found=found) from None


def files_of(source: Path, suffixes: Sequence[str]) -> list[str]:
    """Files of a source, or the one that it is, whose names end so (lower case), in natural order; no ledger."""
    if source.is_file():
        return [str(source)] if source.name.lower().endswith(tuple(suffixes)) else []
    found = walk(source, suffixes) if source.is_dir() else ()
    return sorted((path for path in found if not path.endswith(LEDGER)), key=natural)


def documents(source: Path, suffix: str) -> list[Path]:
    """The file that a source is, whatever it is called, or those of a folder whose names end so, in natural order."""
    return [source] if source.is_file() else list(map(Path, files_of(source, (suffix,))))


def by_stem(folder: Optional[Path], suffixes: Sequence[str]) -> dict[str, str]:
    """Files below a folder by relative path without suffix."""
    paths = walk(folder, suffixes) if folder is not None and folder.is_dir() else ()
    return {os.path.splitext(relative(path, str(folder)))[0]: path for path in paths}


def rgb(value: Any) -> Optional[tuple[int, int, int]]:
    """A colour from ``#rrggbb``, ``r,g,b``, ``r g b`` or three numbers of 0..255; ``None`` where it is not one."""
    if isinstance(value, str):
        if re.fullmatch("#[0-9a-fA-F]{6}", value):
            value = list(bytes.fromhex(value[1:]))
        else:
            parts = re.split(r"[\s,]+", value.strip())
            value = [int(part) for part in parts] if all(re.fullmatch(r"\d{1,3}", part) for part in parts) else None
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(type(c) is int and 0 <= c < 256 for c in value):
        return value[0], value[1], value[2]
    return None


class ImageFiles:
    """Images below a folder, by relative path, file name and stem, in any case of letters; ``paths`` are absolute or as
    ``root`` is, and found by a walk when not given."""

    def __init__(self, root: Union[str, Path], paths: Optional[Iterable[str]] = None) -> None:
        self.root = os.fspath(root)
        paths = walk(self.root, SUFFIXES) if paths is None else paths
        self.paths = {relative(path, self.root): path for path in paths}

    def find(self, name: str) -> Optional[str]:
        """The one image that ``matches`` names, ``None`` where there is none or there are several."""
        paths = self.matches(name)
        return paths[0] if len(paths) == 1 else None

    def matches(self, name: str) -> list[str]:
        """Images whose relative path ends in ``name`` (with or without suffix): the least deep ones.

        An exact path comes before one that only ends so.
        """
        if name in self.paths:
            return [self.paths[name]]
        matches = self._tails.get(posixpath.basename(name).lower(), [])
        tail, lower = f"/{name.lower()}", ((path, f"/{path.lower()}") for path in matches)
        matches = [path for path, low in lower if low.endswith(tail) or posixpath.splitext(low)[0].endswith(tail)]
        shortest = min((path.count("/") for path in matches), default=0)
        return [self.paths[path] for path in matches if path.count("/") == shortest]

    def only(self, names: Iterable[str], asking: Union[str, Path]) -> Optional[str]:
        """The image of the first of these names that any has; DataError where several have it."""
        for name in names:
            paths = sorted(self.matches(name))
            if len(paths) > 1:
                raise DataError(
                    "several images of that name", file=asking, place=f"image {name!r}",
                    found=", ".join(paths[:3]), hint="name the folder that is meant with --images-dir",
                )  # fmt: skip
            if paths:
                return paths[0]
        return None

    @cached_property
    def _tails(self) -> dict[str, list[str]]:
        """Relative paths by file name and by stem."""
        names = ((posixpath.basename(path).lower(), path) for path in sorted(self.paths, key=natural))
        return grouped((key, path) for name, path in names for key in {name, posixpath.splitext(name)[0]})


class SourceReader(Reader):
    """A reader that looks for images anywhere below its source."""

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "images"}  # each process lists them itself

    @property
    def root(self) -> Path:
        return self.source if self.source.is_dir() else self.source.parent

    @cached_property
    def images(self) -> ImageFiles:
        return ImageFiles(self.options.images or self.root)


def relative(path: str, root: str) -> str:
    """``path`` below ``root``, with forward slashes."""
    rest = path[len(root) :] if path.startswith(root) else os.path.relpath(path, root)
    return rest.replace(os.sep, "/").lstrip("/")


def absent(expected: str, source: Path, hint: Optional[str] = None) -> DataError:
    """The error for a source that holds nothing of a format."""
    found = "nothing of the kind" if source.exists() else "no such file or folder"
    return DataError("not a data set of this format", file=source, found=found, expected=expected, hint=hint)


def unread(kind: str, others: Sequence[Path], why: str) -> list[Note]:
    """A note of the first of the files that are not read; none where all are."""
    more = f"; {len(others) - 1} more" if others[1:] else ""
    return [Note(kind, str(others[0]), f"{why}{more}")] if others else []


def palette(path: str) -> Optional[list[int]]:
    """The colours of a palette image, packed as ``red | green << 8 | blue << 16``; ``None`` for other images."""
    from PIL import Image as pillow

    try:
        with pillow.open(path) as opened:
            flat = opened.getpalette("RGB") if opened.mode == "P" else None
    except Exception:  # whatever a decoder raises; decoding the pixels will say what is wrong
        return None
    return flat and [red | green << 8 | blue << 16 for red, green, blue in zip(flat[0::3], flat[1::3], flat[2::3])]


def _grey_png(path: str) -> Optional[np.ndarray]:
    """A grey PNG of 8 or 16 bits, ``(H, W)``, by OpenCV in two thirds of Pillow's time; ``None`` for anything else,
    and for what is damaged, of which OpenCV would decode a part."""
    import cv2

    with contextlib.suppress(OSError, struct.error, cv2.error), open(path, "rb") as file:
        data = file.read()
        plain = data[1:4] == b"PNG" and data[24:26] in (b"\x08\0", b"\x10\0") and b"tRNS" not in data[:4096]
        if not plain or not size_allowed(*struct.unpack_from(">II", data, 16)) or images.png_damage(data):
            return None
        labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return labels if labels is not None and labels.ndim == 2 else None
    return None


def labels_as_shown(path: str) -> np.ndarray:
    """Decode a label image: ``(H, W)`` integers, or ``(H, W, 3)`` uint8 colours; DataError where it is none."""
    whole = _grey_png(path)
    if whole is not None:
        return whole
    labels = images.decode_labels(path)
    if labels.ndim == 3 and labels.shape[-1] == 2:
        labels = labels[..., 0]
    if labels.ndim not in (2, 3) or (labels.ndim == 3 and labels.shape[-1] != 3) or labels.dtype.kind not in "ui":
        found, expected = f"{labels.dtype} of shape {labels.shape}", "whole numbers, one channel, or 8-bit RGB"
        raise DataError("not a label image", file=path, found=found, expected=expected)
    with open(path, "rb") as file:
        head = file.read(26)
    if head[1:4] == b"PNG" and head[25:] == b"\0":
        # Decoders make greys of 8 bits of the numbers of 2 or 4.
        labels = labels // {2: 85, 4: 17}.get(head[24], 1)
    return labels
