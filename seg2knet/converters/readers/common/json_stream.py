"""A JSON object whose values are long arrays of objects, read as a stream: what stands where, block after block.

Nothing is kept but the places of the elements, so that a file of any size costs a block of memory. The structure is
found with NumPy, a few passes over each block: quotes, then brackets outside of strings, then depth. What is inside an
element is for whoever decodes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset.files import load_json
from seg2knet.errors import DataError

BLOCK = 1 << 23
MAX_ELEMENT = 1 << 28
_SMALL = 1 << 26
_STEP = np.zeros(256, np.int8)
_STEP[[ord("{"), ord("[")]] = 1
_STEP[[ord("}"), ord("]")]] = -1
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*$')
_BLANK = b" \t\r\n,"


class Elements(msgspec.Struct, frozen=True):
    """Objects that follow one another in one array.

    Attributes:
        key: of the array.
        starts, ends: ``(N,)`` int64, places in the file.
        data: ``[`` element, element ... ``]``, ready to be decoded.
    """

    key: str
    starts: np.ndarray
    ends: np.ndarray
    data: bytes


class Value(msgspec.Struct, frozen=True):
    """A top-level object: its key and its bytes. Without bytes: an array, whose elements follow if it has any."""

    key: str
    data: Optional[bytes]


def stream(path: Path, block: int = BLOCK) -> Iterator[Union[Elements, Value]]:
    """Walk through the file. Every top-level array is announced by a ``Value`` without data before its elements.

    Raises:
        DataError: it cannot be read, is cut off, or is no JSON object.
    """
    try:
        with open(path, "rb") as file:
            yield from _Walk(path, block).blocks(file)
    except OSError as error:
        raise DataError("cannot be read", file=path, found=error.strerror or str(error)) from None


class _Walk:
    """Where a walk is: a buffer that begins between two elements, or between two top-level values."""

    def __init__(self, path: Path, block: int) -> None:
        self.path = path
        self.block = block
        self.buffer = b""
        self.at = 0  # place of the buffer in the file
        self.depth = 0
        self.key: Optional[str] = None  # of the array that the buffer begins in
        self.cut = 0  # up to where the buffer is done with

    def blocks(self, file: IO[bytes]) -> Iterator[Union[Elements, Value]]:
        want = self.block
        while True:
            data = file.read(want)
            if not self.at and not self.buffer:
                data = self._begun(data)
            self.buffer += data
            yield from self._block()
            if not data:
                break
            # What is longer than the buffer: take more at a time, or it would be looked through again and again.
            want = max(self.block, len(self.buffer))
            if len(self.buffer) > MAX_ELEMENT:
                self._broken(f"a value of over {MAX_ELEMENT >> 20} MiB at byte {self.at:,}")
        if self.depth or self.buffer.strip():
            self._broken(f"cut off or damaged near byte {self.at:,}")

    def _begun(self, data: bytes) -> bytes:
        if data[:3] == b"\xef\xbb\xbf":
            self.at, data = 3, data[3:]
        if data.lstrip()[:1] != b"{":
            start = data.lstrip()[:24].decode(errors="replace")
            raise DataError("not a JSON object", file=self.path, found=start or "nothing", expected="{")
        return data

    def _block(self) -> Iterator[Union[Elements, Value]]:
        buffer, self.cut = self.buffer, 0
        places, depths, opens = _structure(np.frombuffer(buffer, np.uint8), self.depth)
        if len(depths) and depths.min() < 0:
            self._broken("more brackets are closed than opened")
        starts, ends = places[opens & (depths == 3)], places[~opens & (depths == 2)]
        closings = places[~opens & (depths == 1)].tolist()
        openings = places[opens & (depths == 2)].tolist()
        if self.key is not None:
            yield from self._array(starts, ends, 0, closings.pop(0) if closings else None)
        for opening in openings:
            closing = closings.pop(0) if closings else None
            name = self._name(opening)
            if buffer[opening] == ord("["):
                yield Value(name, None)
                self.key, self.cut = name, opening + 1
                yield from self._array(starts, ends, opening, closing)
            elif closing is not None:
                yield Value(name, buffer[opening : closing + 1])
                self.cut = closing + 1
        done = int(np.searchsorted(places, self.cut))
        if len(depths) and depths[-1] == 0:  # the end of the whole
            done, self.cut = len(places), int(places[-1]) + 1
        self.depth = int(depths[done - 1]) if done else self.depth
        self.buffer = buffer[self.cut :]
        self.at += self.cut

    def _array(self, starts: np.ndarray, ends: np.ndarray, opening: int, closing: Optional[int]) -> Iterator[Elements]:
        """The elements of the array that is open that end in the buffer."""
        stop = len(self.buffer) if closing is None else closing
        first, last = np.searchsorted(ends, [opening, stop])
        mine = starts[np.searchsorted(starts, opening) :][: last - first]
        if last > first:
            begin, end = int(mine[0]), int(ends[last - 1]) + 1
            data = b"[%b]" % self.buffer[begin:end]
            self._blank(self.cut, begin)
            yield Elements(self.key or "", mine + self.at, ends[first:last] + 1 + self.at, data)
            self.cut = end
        if closing is not None:
            self._blank(self.cut, closing)
            self.key, self.cut = None, closing + 1

    def _blank(self, begin: int, end: int) -> None:
        between = self.buffer[begin:end].strip(_BLANK)
        if between:
            self._broken(
                f"{between[:24].decode(errors='replace')} near byte {self.at + begin:,}, in the list {self.key!r}",
                "objects { ... } with commas between them",
            )

    def _name(self, opening: int) -> str:
        match = _KEY.search(self.buffer, max(0, opening - 4096), opening)
        if match is None:
            self._broken(f"a value without a name at byte {self.at + opening:,}")
            raise AssertionError
        return match.group(1).decode(errors="replace")

    def _broken(self, found: str, expected: Optional[str] = None) -> None:
        """Raise; a small file is parsed as a whole first, for that tells the line."""
        if self.path.stat().st_size < _SMALL:
            load_json(self.path)
        raise DataError("not JSON as it should be", file=self.path, found=found, expected=expected)


def _structure(buffer: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The brackets of a buffer that are in no string, where it begins outside of one at ``depth``.

    Returns:
        ``(N,)`` places, depth after each, and whether it opens.
    """
    quotes = np.flatnonzero(buffer == ord('"'))
    slashes = np.flatnonzero(buffer == ord("\\"))
    if len(slashes):
        quotes = quotes[~np.isin(quotes, _escaped(slashes))]
    steps = _STEP[buffer]
    places = np.flatnonzero(steps)
    places = places[np.searchsorted(quotes, places) % 2 == 0]
    found = steps[places]
    return places, depth + np.cumsum(found, dtype=np.int64), found > 0


def _escaped(slashes: np.ndarray) -> np.ndarray:
    """Places after an odd number of backslashes in a row."""
    breaks = np.flatnonzero(np.diff(slashes) > 1)
    firsts = slashes[np.concatenate(([0], breaks + 1))]
    lasts = slashes[np.concatenate((breaks, [len(slashes) - 1]))]
    return lasts[(lasts - firsts) % 2 == 0] + 1
