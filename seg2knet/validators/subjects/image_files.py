"""What image files are: size, orientation, mode, whole or broken, the same as another; and which ids masks have.

A file is opened once, its head and tail are read, and what was learnt is remembered (``memory.py``). Only files of the
same size, head and tail are compared by their whole content.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset import images
from seg2knet.dataset.files import digest
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.images import Header, decode, decode_labels
from seg2knet.dataset.label_image import cut
from seg2knet.errors import DataError
from seg2knet.validators.subjects.memory import remembered

_HEAD = 4096
_TAIL = 256
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not hold us up


class ImageFacts(msgspec.Struct, array_like=True, gc=False):
    size: int = -1  # bytes, -1 for a file that cannot be read
    sketch: int = 0  # CRCs of its first and last bytes
    # pixels as stored, 0 where the file is no image
    width: int = 0
    height: int = 0
    # as in ``images.Header``; no format and mode for no image
    orientation: int = 1
    pages: int = 0
    format: str = ""
    mode: str = ""
    problem: str = ""  # why it is no whole image; empty when it is one


_NUMBERS = np.dtype([(name, "i8") for name in ("width", "height", "orientation", "pages")])


class Gallery:
    def __init__(self, paths: Sequence[str], facts: Sequence[ImageFacts]) -> None:
        self.paths, self.facts = paths, facts

    def kind(self, index: int) -> tuple[str, str]:
        """Format and mode, as ``images.Header`` gives them; both empty for no image."""
        return self.facts[index].format, self.facts[index].mode

    @cached_property
    def table(self) -> np.ndarray:
        """``(N,)`` structured: width and height as stored, orientation, pages."""
        rows = [(facts.width, facts.height, facts.orientation, facts.pages) for facts in self.facts]
        return np.array(rows, _NUMBERS)

    def broken(self) -> np.ndarray:
        return np.array([bool(facts.problem) for facts in self.facts], bool)

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and heights, ``(N,)`` int64 each, as shown, that is with the orientation applied."""
        turned = self.table["orientation"] >= 5
        width, height = self.stored()
        return np.where(turned, height, width), np.where(turned, width, height)

    def stored(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and heights, ``(N,)`` int64 each, as stored."""
        return self.table["width"], self.table["height"]


def survey(paths: Iterable[Union[str, Path]], jobs: int = 2) -> Gallery:
    """Look at image files, ``jobs`` at a time, or remember them; files that are not there are broken."""
    names = [os.fspath(path) for path in paths]
    return Gallery(names, remembered("images", names, _inspect, ImageFacts, jobs))


def same_content(gallery: Gallery, jobs: int = 2) -> list[list[int]]:
    """Groups, of two and more, of indices of files with the same bytes, in the order of their first.

    A file that is given twice is compared with itself; a file that cannot be read is the same as none.
    """
    alike = grouped(((one.size, one.sketch), index) for index, one in enumerate(gallery.facts) if one.size > 0)
    members = sorted(index for group in alike.values() if len(group) > 1 for index in group)
    digests = remembered("digests", [gallery.paths[index] for index in members], digest, str, jobs)
    same = grouped((content, index) for index, content in zip(members, digests) if content)
    return [group for group in same.values() if len(group) > 1]


def _inspect(path: str) -> ImageFacts:
    try:
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return ImageFacts(problem="it is not a file")
            head = tail = os.read(descriptor, _HEAD)
            if status.st_size > _TAIL:
                os.lseek(descriptor, -_TAIL, os.SEEK_END)
                tail = os.read(descriptor, _TAIL)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return ImageFacts(problem=f"it cannot be read: {getattr(error, 'strerror', None) or error}")
    known = (status.st_size, zlib.crc32(head) << 32 | zlib.crc32(tail))
    if not status.st_size:
        return ImageFacts(*known, problem="the file is empty")
    try:
        header = images.parse(head) or images.probe(path)
    except DataError as error:
        unknown = not error.found or "identify" in error.found
        return ImageFacts(*known, problem=error.message if unknown else f"{error.message} ({error.found})")
    return ImageFacts(*known, **msgspec.structs.asdict(header), problem=_damage(path, header, tail))


def _damage(path: str, header: Header, tail: bytes) -> str:
    """Why the file is not whole; empty when it is.

    A JPEG that ends with its end-of-image marker (ITU T.81, B.1.1.3) and a PNG whose chunks fit their CRC up to the
    last (W3C PNG, 5.3) are whole; anything else is decoded by Pillow, whose word is final.
    """
    if header.format == "JPEG" and tail.endswith(b"\xff\xd9"):
        return ""
    try:
        if header.format == "PNG":
            return images.png_damage(Path(path).read_bytes())
        decode(path, upright=False)
    except DataError as error:
        return f"it cannot be decoded: {error.found or error.message}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return ""


def scan(paths: Sequence[Union[str, Path]], jobs: int = 2) -> list[Optional[np.ndarray]]:
    """``Runs.table`` of each mask file, ``None`` for one that cannot be decoded."""
    rows = remembered("regions", [os.fspath(path) for path in paths], _scan_one, Optional[bytes], jobs)
    return [None if row is None else np.frombuffer(row, np.int64).reshape(-1, 6) for row in rows]


def _scan_one(path: str) -> Optional[bytes]:
    try:
        return cut(decode_labels(path)).table().tobytes()
    except DataError:
        return None
