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
