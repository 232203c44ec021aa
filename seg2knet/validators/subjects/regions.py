"""Which ids a mask image has, how many pixels and what box each: found once, remembered by the file's size and time."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.errors import DataError
from seg2knet.validators.subjects.memory import Memory, settled
from seg2knet.validators.subjects.pictures import by_folder, mapped

ID, AREA, X, Y, WIDTH, HEIGHT = range(6)
"""Columns of what ``regions`` gives."""


class _Scan(msgspec.Struct):
    size: int
    mtime: int
    rows: bytes


def as_ids(labels: np.ndarray) -> np.ndarray:
    """``(H, W)`` int64 of a decoded mask: RGB as COCO panoptic has it, R + 256 G + 65536 B; grey as it is."""
    if labels.ndim == 2:
        return labels.astype(np.int64)
    red, green, blue = (labels[..., channel].astype(np.int64) for channel in range(3))
    return red + 256 * green + 65536 * blue


def as_png(ids: np.ndarray) -> bytes:
    """``(H, W)`` ids below 2^24 as a COCO panoptic PNG."""
    channels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
    return encoded(channels)


def encoded(pixels: np.ndarray) -> bytes:
    """``(H, W)`` or ``(H, W, 3)`` uint8 as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def regions(ids: np.ndarray) -> np.ndarray:
    """Every id of an ``(H, W)`` integer array: ``(N, 6)`` int64 of id, pixels, and box x, y, width, height; by id.

    Goes by runs of equal pixels in a row, of which there are a hundred times fewer than pixels.
    """
    width = ids.shape[1]
    flat = ids.ravel()
    if not len(flat):
        return np.zeros((0, 6), np.int64)
    change = np.empty(len(flat), bool)
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    change[::width] = True
    starts = np.flatnonzero(change)
    lengths = np.diff(starts, append=len(flat))
    found, owner = np.unique(flat[starts], return_inverse=True)
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(len(found)))
    left, top = starts % width, starts // width
    out = np.empty((len(found), 6), np.int64)
    out[:, ID] = found
    out[:, AREA] = np.add.reduceat(lengths[order], first)
    out[:, X] = np.minimum.reduceat(left[order], first)
    out[:, Y] = np.minimum.reduceat(top[order], first)
    out[:, WIDTH] = np.maximum.reduceat((left + lengths)[order], first) - out[:, X]
    out[:, HEIGHT] = np.maximum.reduceat(top[order], first) + 1 - out[:, Y]
    return out


def scan(paths: Sequence[Union[str, Path]], jobs: int = 2) -> list[Optional[np.ndarray]]:
    """``regions`` of each mask file, ``None`` for one that cannot be decoded."""
    names = [os.fspath(path) for path in paths]
    result: list[Optional[np.ndarray]] = [None] * len(names)
    for folder, places in by_folder(names).items():
        memory = Memory("regions", Path(folder), Dict[str, _Scan])
        known = memory.recall() or {}
        wanted: list[tuple[int, os.stat_result]] = []
        for place in places:
            try:
                status = os.stat(names[place])
            except OSError:
                continue
            old = known.get(names[place][len(folder) :])
            if old is not None and (old.size, old.mtime) == (status.st_size, status.st_mtime_ns):
                result[place] = np.frombuffer(old.rows, np.int64).reshape(-1, 6)
            else:
                wanted.append((place, status))
        now = time.time_ns()
        for (place, status), rows in zip(wanted, mapped(_scan_one, [names[place] for place, _ in wanted], jobs)):
            result[place] = rows
            if rows is not None and settled(status.st_mtime_ns, now):
                known[names[place][len(folder) :]] = _Scan(status.st_size, status.st_mtime_ns, rows.tobytes())
        if wanted:
            memory.keep({name: each for name, each in known.items() if os.path.exists(os.path.join(folder, name))})
    return result


def _scan_one(path: str) -> Optional[np.ndarray]:
    try:
        return regions(as_ids(decode_labels(path)))
    except DataError:
        return None
