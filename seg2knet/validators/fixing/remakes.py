"""Image files made anew for fixes: in a mode that loaders take, or without an orientation tag."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np

_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112


def plain_rgb(path: Path) -> bytes:
    """The file's first image as 8-bit RGB in the file's own format; 16 bits lose their lower eight, as in OpenCV."""
    from PIL import Image

    with Image.open(path) as picture:
        kind = picture.format or "PNG"
        kind = {"MPO": "JPEG"}.get(kind, kind)
        if picture.mode.startswith("I"):
            grey = np.asarray(picture).astype(np.int64)
            plain = Image.fromarray((np.clip(grey, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
        else:
            plain = picture.convert("RGB")
        return _encoded(plain, kind)


def untagged(path: Path) -> bytes:
    """The same pixels without an orientation tag. A JPEG keeps every byte but the tag's."""
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":
        return _without_orientation(data)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        kind = picture.format or "PNG"
        plain = picture.copy()
    plain.info.pop("exif", None)
    return _encoded(plain, kind)


def _encoded(picture, kind: str) -> bytes:  # type: ignore[no-untyped-def]  # Pillow is imported late
    known: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    out = io.BytesIO()
    picture.save(out, format=kind, **known.get(kind, {}))
    return out.getvalue()


def _without_orientation(data: bytes) -> bytes:
    """A JPEG with its orientation set to 1 (Exif 2.3, 4.6.4): two bytes are changed."""
    changed = bytearray(data)
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        start = position + 4 + len(_EXIF)
        if data[position + 1] == 0xE1 and data[position + 4 : start] == _EXIF:
            _reset(changed, start)
        position += 2 + length
    return bytes(changed)


def _reset(data: bytearray, start: int) -> None:
    order = "<" if data[start : start + 2] == b"II" else ">"
    first = start + struct.unpack_from(order + "I", data, start + 4)[0]
    for index in range(struct.unpack_from(order + "H", data, first)[0]):
        entry = first + 2 + 12 * index
        if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
            struct.pack_into(order + "H", data, entry + 8, 1)
