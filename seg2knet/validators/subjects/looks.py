"""What images look like: small grey thumbnails, by which copies that are not byte for byte the same are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seg2knet.dataset import images
from seg2knet.dataset.rle import size_allowed
from seg2knet.errors import DataError
from seg2knet.validators.subjects.memory import remembered

SIDE = 16
_HEAD = 4096
_LEAST_SPREAD = 4.0
"""Standard deviation of grey levels from which a thumbnail shows something that can be compared."""
_SIMILARITY = 0.985
"""Correlation of two thumbnails from which they may be of one image."""
_OTHER_BITS = 0.12
"""Share of the signs of neighbouring differences (dHash) that may differ between images that look the same."""
_BLOCK = 512


class Looks(NamedTuple):
    """Of each image a thumbnail, ``(N, 16, 16)`` float32 grey levels, and its ``ranges``: largest minus smallest grey
    level, -1 where it cannot be decoded."""

    thumbs: np.ndarray
    ranges: np.ndarray


class LookAlike(NamedTuple):
    """An image that looks like another: their indices, and whether one is the other's mirror image."""

    one: int
    other: int
    flipped: bool


def looks_of(paths: Sequence[str], jobs: int = 2) -> Looks:
    looks = remembered("looks", paths, _look, bytes, jobs)
    blank = bytes(SIDE * SIDE)
    thumbs = np.frombuffer(b"".join(look[1:] or blank for look in looks), np.uint8)
    ranges = np.array([look[0] if look else -1 for look in looks], np.int64)
    return Looks(thumbs.reshape(len(looks), SIDE, SIDE).astype(np.float32), ranges)


def _look(path: str) -> bytes:
    """The range of grey levels and the thumbnail, 257 bytes; empty for what cannot be decoded."""
    import cv2

    try:
        data = Path(path).read_bytes()
        header = images.parse(data[:_HEAD]) or images.probe(path)
        if not size_allowed(header.height, header.width):
            return b""
        side = min(header.width, header.height)
        factor = next((factor for factor in (8, 4, 2) if side >= 4 * SIDE * factor), 1)
        flag = cv2.IMREAD_GRAYSCALE if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{factor}")
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except (OSError, DataError, cv2.error):
        return b""
    if grey is None:
        return b""
    thumb = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return bytes([int(grey.max()) - int(grey.min())]) + thumb.tobytes()


def look_alikes(looks: Looks, splits: np.ndarray) -> list[LookAlike]:
    """For each image the one most like it that comes earlier in its split, and the one in a later split, if they look
    the same. ``splits``: ``(N,)`` int, the order of each image's split."""
    usable = np.flatnonzero(looks.thumbs.std(axis=(1, 2)) >= _LEAST_SPREAD)
    owners, both = splits[usable], (looks.thumbs[usable], looks.thumbs[usable, :, ::-1])
    vectors = [thumbs.reshape(len(usable), SIDE * SIDE) for thumbs in both]
    vectors = [flat - flat.mean(1, keepdims=True) for flat in vectors]
    vectors = [flat / np.linalg.norm(flat, axis=1, keepdims=True) for flat in vectors]
    signs = [np.diff(thumbs, axis=2) > 0 for thumbs in both]
    pairs: list[LookAlike] = []
    for start in range(0, len(usable), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(usable)))
        allowed = [
            (owners[None] == owners[rows, None]) & (np.arange(len(usable))[None] < rows[:, None]),
            owners[None] > owners[rows, None],
        ]
        for flipped, others in enumerate(vectors):
            similar = vectors[0][rows] @ others.T
            for mask in allowed:
                best = np.where(mask, similar, -1).argmax(1)
                good = mask[rows - start, best] & (similar[rows - start, best] >= _SIMILARITY)
                for row, other in zip(rows[good].tolist(), best[good].tolist()):
                    if (signs[0][row] != signs[flipped][other]).mean() <= _OTHER_BITS:
                        pairs.append(LookAlike(int(usable[row]), int(usable[other]), bool(flipped)))
    return pairs
