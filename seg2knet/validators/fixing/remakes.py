"""Files made anew for fixes: images in a mode that loaders take or without an orientation tag, masks with other
numbers, the list of classes."""

from __future__ import annotations

import io
import struct
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import encode_png, ids_of, rgb_of
from seg2knet.dataset.text import whole_number

_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112


def plain_rgb(path: Path) -> bytes:
    """The file's first image as 8-bit RGB in the file's own format; 16 bits lose their lower eight, as in OpenCV."""
    from PIL import Image

    with Image.open(path) as image:
        kind = image.format or "PNG"
        plain = image
        if image.mode.startswith("I"):
            grey = np.asarray(image).astype(np.int64)
            plain = Image.fromarray((np.clip(grey, 0, 65535) >> 8).astype(np.uint8))
        return _encoded(plain.convert("RGB"), {"MPO": "JPEG"}.get(kind, kind))


def untagged(path: Path) -> bytes:
    """The same pixels without an orientation tag. A JPEG keeps every byte but the tag's."""
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":
        return _without_orientation(data)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        plain = image.copy()
    plain.info.pop("exif", None)
    return _encoded(plain, image.format or "PNG")


def _encoded(image, kind: str) -> bytes:  # type: ignore[no-untyped-def]  # Pillow is imported late
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    out = io.BytesIO()
    image.save(out, format=kind, **options.get(kind, {}))
    return out.getvalue()


def _without_orientation(data: bytes) -> bytes:
    """A JPEG with its orientation set to 1 (Exif 2.3, 4.6.4): two bytes are changed."""
    changed = bytearray(data)
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        start = position + 4 + len(_EXIF)
        if data[position + 1] == 0xE1 and data[position + 4 : start] == _EXIF:
            order = "<" if data[start : start + 2] == b"II" else ">"
            first = start + struct.unpack_from(order + "I", data, start + 4)[0]
            for index in range(struct.unpack_from(order + "H", data, first)[0]):
                entry = first + 2 + 12 * index
                if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
                    struct.pack_into(order + "H", changed, entry + 8, 1)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return bytes(changed)


def relabelled(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """A mask written again with 8 bits, its numbers changed."""
    return encode_png(change(decode_labels(path)).astype(np.uint8))


def label_png(path: Path) -> bytes:
    """A mask of another format as PNG."""
    labels = decode_labels(path)
    return encode_png(labels if labels.dtype == np.uint8 else labels.astype(np.uint16))


def repainted(path: Path, new: dict[int, int]) -> bytes:
    """A panoptic PNG with ids exchanged."""
    ids = ids_of(decode_labels(path))
    out = ids.copy()
    for old, fresh in new.items():
        out[ids == old] = fresh
    return encode_png(rgb_of(out))


def counted_from_one(path: Path) -> bytes:
    """``objectInfo.txt`` with 1 added to every number."""
    out = []
    for line in path.read_bytes().removeprefix(BOM_UTF8).splitlines(keepends=True):
        number, tab, rest = line.partition(b"\t")
        index = whole_number(number.decode("latin-1")) if tab else None
        out.append(b"%d%b%b" % (index + 1, tab, rest) if index is not None else line)
    return b"".join(out)
