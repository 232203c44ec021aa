"""Where the unread parts of a file's records stand, so that neither objects nor copies of them are kept."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Union

import msgspec
import numpy as np
from msgspec import Raw, Struct

Text = Union[bytes, mmap.mmap]
_PIECES_KEPT = 4


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


class LateRecords:
    """Records of a text that were read and not kept: they are read again, one by one.

    Args:
        text: of the file.
        bounds: start and end of each piece in it; between brackets it is an array of records.
        counts: how many records each piece has.
        kind: of the records.
    """

    def __init__(
        self, text: Text, bounds: Sequence[tuple[int, int]], counts: Sequence[int], kind: type[Struct]
    ) -> None:
        self._text = text
        self._bounds = bounds
        self._firsts = [0, *np.cumsum(counts).tolist()]
        self._elements = msgspec.json.Decoder(List[Raw])
        self._record = msgspec.json.Decoder(kind)
        # Rules go through a file from its beginning: what follows stands in the same piece.
        self._piece = lru_cache(maxsize=_PIECES_KEPT)(self._read)

    def __getitem__(self, row: int) -> Any:
        piece = bisect_right(self._firsts, row) - 1
        return self._record.decode(self._piece(piece)[row - self._firsts[piece]])

    def _read(self, piece: int) -> list[Raw]:
        start, end = self._bounds[piece]
        return self._elements.decode(b"[%b]" % self._text[start:end])


class LateTexts:
    """One unread value of each of such records."""

    def __init__(self, records: LateRecords, name: str) -> None:
        self._records = records
        self._name = name

    def __getitem__(self, row: int) -> bytes:
        """A value's text; empty where there is none."""
        return bytes(getattr(self._records[row], self._name))


def address(value: Union[Text, Raw]) -> int:
    """Where a value's bytes stand in memory: a ``Raw`` is a stretch of the text that it was read from."""
    return int(np.frombuffer(value, np.uint8).__array_interface__["data"][0])


def _spans(text: Text, raws: Sequence[Raw]) -> np.ndarray:
    """Start and end of each in the text, ``(N, 2)`` int64; 0 and 0 for an empty one."""
    lengths = np.fromiter((memoryview(raw).nbytes for raw in raws), np.int64, len(raws))
    starts = np.fromiter(
        (address(raw) if length else 0 for raw, length in zip(raws, lengths.tolist())), np.int64, len(raws)
    )
    starts = np.where(lengths > 0, starts - address(text), 0)
    return np.stack([starts, starts + lengths], 1)
