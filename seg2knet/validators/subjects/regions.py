"""Which ids a mask image has, how many pixels and what box each: found once, remembered by the file's size and time."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset import label_image
from seg2knet.dataset.images import decode_labels
from seg2knet.errors import DataError
from seg2knet.validators.subjects.memory import Memory, settled
from seg2knet.validators.subjects.pictures import by_folder, mapped


class _Scan(msgspec.Struct):
    size: int
    mtime: int
    rows: bytes


def scan(paths: Sequence[Union[str, Path]], jobs: int = 2) -> list[Optional[np.ndarray]]:
    """``Runs.table`` of each mask file, ``None`` for one that cannot be decoded."""
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
        return label_image.cut(decode_labels(path)).table()
    except DataError:
        return None
