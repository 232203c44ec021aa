"""Long lists of small records, kept packed: a data set has 100,000 images, and only a few are looked at at a time."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TypeVar, Union, overload

import msgspec

_Record = TypeVar("_Record", bound=msgspec.Struct)

BLOCK = 128
"""Records that are packed together."""


class Packed(Sequence[_Record]):
    """Records in blocks, each encoded and compressed: some tenth of what the objects take.

    Args:
        kind: of the records. What is in a field typed ``Any`` comes back as plain data: a tuple as a list.
        records: to begin with, in blocks of ``BLOCK``.
    """

    def __init__(self, kind: type[_Record], records: Iterable[_Record] = ()) -> None:
        self.kind = kind
        self._blocks: list[bytes] = []
        self._ends: list[int] = []
        for block in cut(records, BLOCK):
            self.add(block)

    def add(self, records: Sequence[_Record]) -> None:
        """Add a block."""
        self._blocks.append(pack(records))
        self._ends.append(len(self) + len(records))

    @property
    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """How many records each block has, and the block as ``pack`` made it."""
        return ((end - start, packed) for start, end, packed in zip([0, *self._ends], self._ends, self._blocks))

    def block(self, number: int) -> list[_Record]:
        """A block's records."""
        return unpack(self._blocks[number], self.kind)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[_Record]:
        for number in range(len(self._blocks)):
            yield from self.block(number)

    @overload
    def __getitem__(self, index: int) -> _Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Record]: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[_Record, list[_Record]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, place)
        return self.block(number)[place - (self._ends[number - 1] if number else 0)]


def pack(records: Sequence[_Record]) -> bytes:
    """Records as bytes."""
    return zlib.compress(msgspec.msgpack.encode(records), 1)


def unpack(packed: bytes, kind: type[_Record]) -> list[_Record]:
    """The records that ``pack`` was given."""
    return _decoder(kind).decode(zlib.decompress(packed))


@lru_cache(maxsize=8)
def _decoder(kind: type[_Record]) -> msgspec.msgpack.Decoder[list[_Record]]:
    return msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]


def cut(records: Iterable[_Record], size: int) -> Iterator[list[_Record]]:
    """Records, ``size`` at a time, the last time fewer."""
    left = iter(records)
    while block := list(islice(left, size)):
        yield block
