"""Label Studio's brush strokes: the bit stream of thi.ng's rle-pack, which is not COCO's run-length code.

32 bits: how many values; 5: their size in bits, less one; 4 times 4: bits of a run's length, less one, by size class.
Then runs until all values are there: one bit that says whether the run repeats one value, 2 bits of size class, the
length less one, and the value or the values. Values are red, green, blue, alpha, pixel by pixel, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2knet.converters.readers.common.canvas import NotAnObject
from seg2knet.dataset.rle import size_allowed


def brush_mask(rle: Sequence[int], height: int, width: int) -> np.ndarray:
    """``(height, width)`` bool: where the alpha of a stroke is above 0; NotAnObject where the stream is damaged, or is
    of another size."""
    data = bytes(rle)
    expected = 4 * height * width
    count = int.from_bytes(data[:4], "big")
    if count != expected or not size_allowed(height, width):
        raise NotAnObject("brush-size-differs", f"{count:,} values, {width}x{height} pixels of 4 have {expected:,}")
    bits = _Bits(data)
    bits.place = 32
    word = bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    if word != 8:
        raise NotAnObject("brush-unusable", f"values of {word} bits, expected 8")
    values = np.zeros(count, np.uint8)
    done = 0
    while done < count:
        repeated = bits.take(1)
        length = bits.take(sizes[bits.take(2)]) + 1
        if done + length > count:
            raise NotAnObject("brush-unusable", f"more than {count:,} values")
        values[done : done + length] = bits.take(8) if repeated else bits.words(length)
        done += length
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """A stream of bits, the most significant of a byte first."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def _move(self, count: int) -> tuple[int, int]:
        """The byte and the bit in it where the next ``count`` bits begin."""
        begin, self.place = divmod(self.place, 8), self.place + count
        if self.place > 8 * len(self.data):
            raise NotAnObject("brush-unusable", "the stream is cut off")
        return begin

    def take(self, count: int) -> int:
        """The next ``count`` bits, 16 at most, as a number."""
        first, offset = self._move(count)
        window = int.from_bytes(self.data[first : first + 4].ljust(4, b"\0"), "big")
        return window >> (32 - offset - count) & ((1 << count) - 1)

    def words(self, count: int) -> np.ndarray:
        """The next ``count`` bytes."""
        first, offset = self._move(8 * count)
        raw = np.frombuffer(self.data, np.uint8, count + (offset > 0), first)
        return np.packbits(np.unpackbits(raw)[offset : offset + 8 * count])
