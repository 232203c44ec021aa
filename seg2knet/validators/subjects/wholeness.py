"""Whether a picture file is whole, without decoding its pixels where that can be said.

What makes a decoder fail or invent pixels is looked for: a JPEG without its end-of-image marker (ITU T.81, B.1.1.3),
a PNG whose chunks end early or do not fit their CRC (W3C PNG, 5.3), a BMP or WebP shorter than it says. A file that
looks odd, and any other format, is decoded by Pillow, whose word is final.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Optional

from seg2knet.dataset.images import Header, decode
from seg2knet.errors import DataError

_CUT = "the file ends before the picture does"
_EOI = b"\xff\xd9"


def problem(path: str, header: Header, size: int, tail: bytes) -> Optional[str]:
    """Why the file is not whole, or ``None``.

    Args:
        path: the file.
        header: what it says of itself.
        size: its length in bytes.
        tail: its last bytes, two at least.
    """
    if header.format == "JPEG":
        return None if tail.endswith(_EOI) else _jpeg(path)
    if header.format == "PNG":
        return _png(path)
    if header.format == "BMP":
        return _bmp(path, header, size)
    return _decoded(path)


def _decoded(path: str) -> Optional[str]:
    try:
        decode(path, upright=False)
    except DataError as error:
        return f"it cannot be decoded: {error.found or error.message}"
    return None


def _jpeg(path: str) -> Optional[str]:
    """A JPEG that does not end with its marker: cut off, or followed by bytes of somebody else's."""
    data = _read(path)
    if data.rfind(_EOI) < _scan_start(data):
        return f"{_CUT}: no end-of-image marker in its {len(data):,} bytes"
    return _decoded(path)


def _scan_start(data: bytes) -> int:
    """Where the JPEG's own pixels start: past the header segments, in which a thumbnail has its own markers."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            return position
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def _png(path: str) -> Optional[str]:
    data = memoryview(_read(path))
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return f"bytes were changed: the check sum of its {kind.decode('latin-1')!r} chunk at {position} is wrong"
        if kind == b"IEND":
            return None
        position = end
    return f"{_CUT}: no IEND chunk in its {len(data):,} bytes"


def _bmp(path: str, header: Header, size: int) -> Optional[str]:
    with open(path, "rb") as file:
        head = file.read(34)
    start, bits, compression = struct.unpack("<I", head[10:14])[0], *struct.unpack("<HI", head[28:34].ljust(6, b"\0"))
    if compression in (1, 2):  # run-length encoded
        return _decoded(path)
    wanted = start + (header.width * bits + 31) // 32 * 4 * header.height
    return f"{_CUT}: {size:,} bytes where it says {wanted:,}" if size < wanted else None


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        pieces = []
        while piece := os.read(descriptor, 1 << 26):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        os.close(descriptor)
