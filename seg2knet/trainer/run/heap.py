"""Less memory for training on a CPU: where glibc's malloc puts what lives long, and what lives for a step.

A step allocates and frees some thousand tensors of all sizes. Left alone, malloc mixes them with the optimiser's state
in one heap, whose holes come to half of what the step needs. Here all that is there after the first step lies outside
the heap; the tensors of the steps share a reserve of fixed size in huge pages, and large ones that find no room in it
get memory of their own, which goes back to the system as soon as they are freed.

Nothing happens where there is no glibc: then malloc is what it always is.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from typing import Any, Optional

from mmengine.hooks import Hook

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h
LASTING = 256 << 10
"""During the first step blocks from this size on lie outside the heap."""
LARGE = 4 << 20
"""Afterwards: blocks from this size on that find no room."""
SHARE = 1.0
"""The reserve, by what the first step took at most. More is quicker, since fewer blocks come from the system anew in a
step: R-50 at 512 pixels took 3.4 s a step with 0.8, 3.3 with 1.0, 3.1 with 1.1, and 1.64, 1.66 and 1.72 GB."""
HUGE = 2 << 20


class Heap:
    """Call :meth:`begin` after the model is built and :meth:`settle` after the first step."""

    def __init__(self) -> None:
        self.libc = _libc()
        self._before = 0
        self._settled = False
        if self.libc is not None:
            self.libc.mallopt(M_MMAP_THRESHOLD, LASTING)

    def begin(self) -> None:
        """Note what there is before the first step."""
        self._before = resident("VmRSS")

    def settle(self) -> int:
        """Set the reserve up, once.

        Returns:
            its bytes; 0 where there is none.
        """
        if self.libc is None or self._settled:
            return 0
        self._settled = True
        return _reserve(self.libc, int(SHARE * max(0, resident("VmHWM") - self._before)))


class HeapHook(Hook):
    """A :class:`Heap` around the first step of a run."""

    def __init__(self, heap: Heap) -> None:
        self.heap = heap
        self._begun = False

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if not self._begun:
            self._begun = True
            self.heap.begin()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        self.heap.settle()


def _libc() -> Any:
    """The C library, if it is glibc."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _reserve(libc: Any, size: int) -> int:
    """A free block of this size within the heap; its pages come as they are used."""
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    libc.mallopt(M_MMAP_MAX, 0)
    block = libc.malloc(size) if size > LARGE else None
    libc.mallopt(M_MMAP_MAX, 65536)
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    if not block:
        return 0
    libc.malloc(mmap.PAGESIZE)  # stays: the heap does not end, and is not cut off, at the block
    begin, end = -(-block // HUGE) * HUGE, (block + size) // HUGE * HUGE
    if end > begin:
        libc.madvise(begin, end - begin, mmap.MADV_HUGEPAGE)
    libc.free(block)
    return size


def resident(which: str) -> int:
    """Bytes of memory that this process has (``VmRSS``) or had at most (``VmHWM``); 0 where the system does not say.

    Not ``ru_maxrss``, which a process takes over from the one that started it.
    """
    try:
        with open("/proc/self/status") as stream:
            return next(int(line.split()[1]) << 10 for line in stream if line.startswith(f"{which}:"))
    except (OSError, StopIteration):
        return 0
