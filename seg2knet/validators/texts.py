"""Where the unread parts of a file's records stand, so that neither objects nor copies of them are kept."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np
from msgspec import Raw

Text = Union[bytes, mmap.mmap]
_HEAD = 48


class Piece(NamedTuple):
    """A stretch of text that another process can read: its bytes, or where they stand in a file."""

    content: bytes
    path: Optional[Path] = None
    start: int = 0
    length: int = 0

    def read(self) -> bytes:
        """The bytes.

        Raises:
            OSError: the file was changed or taken away meanwhile.
        """
        if self.path is None:
            return self.content
        with open(self.path, "rb") as file:
            found = os.pread(file.fileno(), self.length, self.start) if hasattr(os, "pread") else _read(file, *self[2:])
        if len(found) < self.length:
            raise OSError(f"{self.path} has become shorter")
        return found


def _read(file, start: int, length: int) -> bytes:  # type: ignore[no-untyped-def]
    file.seek(start)
    return file.read(length)


class Texts:
    """One unread value of each record: ``spans[row]`` is its start and end in ``text``; an empty one is not there.

    Attributes:
        spans: ``(N, 2)`` int64.
    """

    def __init__(self, text: Text, spans: np.ndarray) -> None:
        self.text = text
        self.spans = spans

    @classmethod
    def found_in(cls, text: Text, raws: Sequence[Raw]) -> Texts:
        """Long values: where they stand in the file's text."""
        return cls(text, _spans(text, raws))

    @classmethod
    def copied(cls, raws: Sequence[Raw]) -> Texts:
        """Short values: copied side by side, which is quicker than to look for them."""
        lengths = np.fromiter((memoryview(raw).nbytes for raw in raws), np.int64, len(raws))
        ends = np.cumsum(lengths)
        return cls(b"".join(raws), np.stack([ends - lengths, ends], 1))

    def __getitem__(self, row: int) -> bytes:
        """A value's text; empty where there is none."""
        start, end = self.spans[row]
        return bytes(self.text[start:end])

    def reach(self, rows: slice) -> tuple[int, int]:
        """The stretch of text that holds these rows' values."""
        spans = self.spans[rows]
        spans = spans[spans[:, 1] > spans[:, 0]]
        return (int(spans[:, 0].min()), int(spans[:, 1].max())) if len(spans) else (0, 0)


def _spans(text: Text, raws: Sequence[Raw]) -> np.ndarray:
    """Searched for from one to the next: records stand in the order of the file.

    A match may be an earlier stretch of the same bytes; it says the same, and it never hides the next one.
    """
    find = text.find
    starts, ends = [], []
    at = 0
    for raw in raws:
        view = memoryview(raw)
        length = view.nbytes
        # A long needle costs more to get ready than to find: its head is looked for, and the whole compared.
        place = find(view[:_HEAD], at) if length else at
        if length > _HEAD and text[place : place + length] != view:
            place = find(raw, at)
        if place < 0:
            place = find(raw)  # records by goodwill may come from anywhere
        at = place + length
        starts.append(place)
        ends.append(at)
    return np.stack([np.array(starts, np.int64), np.array(ends, np.int64)], 1).reshape(-1, 2)
