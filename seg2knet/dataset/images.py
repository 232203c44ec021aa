"""Size and orientation of an image from its file's first bytes; decoding where there is no other way.

JPEG (ITU T.81, Exif 2.3), PNG (W3C PNG, third edition) and BMP headers are read here; Pillow, which knows every other
format, is asked for the rest. Nothing decodes pixels but ``decode`` and ``upright``.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset.rle import check_size
from seg2knet.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes, in lower case, of files that are taken for images."""

_HEAD = 4096
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Header(msgspec.Struct, frozen=True, gc=False):
    """What an image file says of itself: pixels as stored, EXIF orientation 1..8 (1: as stored), Pillow's names of
    format and pixel layout (``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``...), and how many images it has (TIFF, GIF,
    WebP)."""

    width: int
    height: int
    orientation: int = 1
    format: str = "JPEG"
    mode: str = "RGB"
    pages: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the image as shown, that is with the orientation applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def is_image(path: Union[str, Path]) -> bool:
    """Whether the name's suffix, in any case, is that of an image; macOS's ``._x.jpg`` holds no image."""
    name = str(path)
    return name.lower().endswith(SUFFIXES) and not name.rpartition(os.sep)[2].startswith("._")


def probe(path: Union[str, Path]) -> Header:
    """Read a file's header. Raises DataError: not there, not an image, or of a size out of reason."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEAD)
            header = parse(head, path)
            if header is None and head[:2] == b"\xff\xd8":
                header = parse(head + file.read(), path)
    except OSError as error:
        raise DataError("the image cannot be read", file=path, found=error.strerror or str(error)) from None
    return header or _ask_pillow(path, path)


def parse(head: bytes, name: Union[str, Path] = "image") -> Optional[Header]:
    """The header from a file's first bytes; ``None`` where they are too few or the format is not one read here.

    Raises DataError: a size out of reason.
    """
    header = None
    if head[:2] == b"\xff\xd8":
        header = _jpeg(head)
    elif head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) >= 33:
        header = _png(head)
    elif head[:2] == b"BM" and len(head) >= 30:
        width, height, _, bits = struct.unpack("<iiHH", head[18:30])
        header = Header(width, abs(height), 1, "BMP", {1: "1", 4: "P", 8: "P", 32: "RGBA"}.get(bits, "RGB"))
    if header is not None:
        check_size(header.height, header.width, name)
    return header


def probe_bytes(data: bytes, name: str = "embedded image") -> Header:
    """The same for an encoded image in memory; ``name`` is what errors call it."""
    return parse(data, name) or _ask_pillow(data, name)


def decode(source: Union[str, Path, bytes], *, upright: bool = True) -> np.ndarray:
    """Decode an image: ``(H, W, 3)`` uint8 RGB, as shown unless ``upright`` is False.

    Raises DataError: it cannot be decoded.
    """
    from PIL import ImageOps

    with _opened(source) as image:
        turned = ImageOps.exif_transpose(image) if upright else image
        return np.asarray(turned.convert("RGB"))


def upright(source: Union[str, Path, bytes]) -> bytes:
    """The image re-encoded as shown, without its orientation tag, in its own format (JPEG at quality 95)."""
    from PIL import ImageOps

    with _opened(source) as image:
        kind = image.format or "PNG"
        turned = ImageOps.exif_transpose(image)
        keep = {key: image.info[key] for key in ("icc_profile", "dpi") if image.info.get(key)}
        return saved(turned, kind, "keep" if turned is image else 0, **keep)


def encode(source: Union[str, Path, bytes], kind: str) -> bytes:
    """An image re-encoded as shown: ``JPEG`` at quality 95, or ``PNG`` without loss at 8 bits.

    Raises DataError: it cannot be decoded.
    """
    from PIL import Image

    return saved(Image.fromarray(decode(source)), kind)


def saved(image: Any, kind: str, subsampling: Union[int, str] = 0, **more: Any) -> bytes:
    """An image of Pillow's encoded, JPEG at quality 95."""
    out = io.BytesIO()
    options = {"quality": 95, "subsampling": subsampling} if kind == "JPEG" else {}
    image.save(out, format=kind, **options, **more)
    return out.getvalue()


def decode_labels(path: Union[str, Path, bytes]) -> np.ndarray:
    """A mask image, from a file or the bytes of one that is not a TIFF, without changing a number of it: palette images
    as indices, 16 bit as 16 bit, 1 bit as 0 and 1. ``(H, W)`` uint8, uint16 or int32, or ``(H, W, 3)`` uint8 RGB; alpha
    is dropped.

    Raises DataError: it cannot be decoded.
    """
    if not isinstance(path, bytes) and str(path).lower().endswith((".tif", ".tiff")):
        import tifffile

        probe(path)
        try:
            array = tifffile.imread(str(path), key=0)
        except Exception as error:  # tifffile raises whatever its codecs raise
            raise DataError("the mask image cannot be decoded", file=path, found=str(error)) from None
        array = array[..., :3] if array.ndim == 3 and array.shape[-1] == 4 else array
    else:
        with _opened(path) as image:
            without_alpha = {"RGBA": "RGB", "LA": "L"}.get(image.mode)
            array = np.asarray(image.convert(without_alpha) if without_alpha else image)
    return array.astype(np.uint8) if array.dtype == bool else array


def png_damage(data: bytes) -> str:
    """Why a PNG is not whole, by its chunks and their check sums (W3C PNG, 5.3); empty when it is."""
    view = memoryview(data)
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", view[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return f"bytes were changed: the check sum of its {kind.decode('latin-1')!r} chunk at {position} is wrong"
        if kind == b"IEND":
            return ""
        position = end
    return f"the file ends before the image does: no IEND chunk in its {len(data):,} bytes"


@contextlib.contextmanager
def _opened(source: Union[str, Path, bytes], name: Union[str, Path, None] = None, head: bool = False) -> Iterator[Any]:
    """An image opened by Pillow, with whatever it raises turned into a ``DataError``; decoded but for ``head``."""
    from PIL import Image

    name = name or ("embedded image" if isinstance(source, bytes) else source)
    try:
        Image.MAX_IMAGE_PIXELS = None  # the bound is ours
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if not head:
                check_size(image.height, image.width, name)
                image.load()
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error...
        problem = "not an image that can be read" if head else "the image cannot be decoded"
        raise DataError(problem, file=name, found=str(error)) from None


def _png(head: bytes) -> Optional[Header]:
    width, height, depth, color = struct.unpack(">IIBB", head[16:26])
    mode = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}.get(color)
    if mode is None or b"eXIf" in head or b"acTL" in head:
        return None
    if depth == 16:
        mode = "I;16" if mode == "L" else f"{mode};16"
    elif depth == 1 and mode == "L":
        mode = "1"
    return Header(width, height, 1, "PNG", mode)


def _jpeg(data: bytes) -> Optional[Header]:
    position, end, orientation = 2, len(data), 1
    while position + 9 < end:
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _START_OF_FRAME:
            height, width, channels = struct.unpack(">HHB", data[position + 5 : position + 10])
            mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(channels)
            return Header(width, height, orientation, "JPEG", mode) if mode else None
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            if position + 2 + length > end:
                return None
            from PIL import Image

            exif = Image.Exif()
            with contextlib.suppress(Exception):  # whatever a damaged block raises: it turns nothing
                exif.load(data[position + 4 : position + 2 + length])
                orientation = _orientation(exif)
        position += 2 + length
    return None


def _orientation(exif: Any) -> int:
    """What Pillow's Exif says; 1 where it is absent or out of range."""
    value = exif.get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _ask_pillow(source: Union[str, Path, bytes], name: Union[str, Path]) -> Header:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(source, name, head=True) as image:
            # Pillow gives a TIFF's size as shown and all others' as stored.
            tags = getattr(image, "tag_v2", {})
            header = Header(
                tags.get(256, image.width),
                tags.get(257, image.height),
                _orientation(image.getexif()),
                image.format or "",
                image.mode,
                getattr(image, "n_frames", 1),
            )
    check_size(header.height, header.width, name)
    return header
