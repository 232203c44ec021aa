"""What was learnt about files, kept in the user's cache folder, so that a second run opens only files that changed.

A file is unchanged while its size and its modification time (in nanoseconds) are. The cache has one msgpack file for
each folder and kind of knowledge. A cache that is broken, of another version or not writable makes a run slow, never
wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Generic, TypeVar

import msgspec

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import max_pixels

_VERSION = 2
_DAYS_KEPT = 90
_RECENT = 20_000_000
"""A file modified this many nanoseconds before it was looked at may be modified again within its clock's tick."""
_CHUNK = 64
_NO_FILE = (-1, -1)

T = TypeVar("T")


class Known(msgspec.Struct, Generic[T], array_like=True, gc=False):
    """What is known of one file, and the size (bytes) and modification time (ns) it had."""

    size: int
    mtime: int
    value: T


def remembered(kind: str, paths: Sequence[str], look: Callable[[str], T], shape: Any, jobs: int = 2) -> list[T]:
    """``look(path)`` of each file, from the cache where the file has not changed since.

    ``kind``, what is learnt, is part of the cache file's name; ``look`` is called in ``jobs`` threads, and what it says
    of a missing file is not remembered; ``shape`` is the type of its result, one that msgspec writes and reads.
    """
    results: list[Any] = [None] * len(paths)
    for folder, places in by_folder(paths).items():
        known = recall(kind, folder, shape)
        states = {place: _state(paths[place]) for place in places}
        now = time.time_ns()
        changed = []
        for place, state in states.items():
            old = known.get(os.fsencode(paths[place][len(folder) :]))
            if old is not None and (old.size, old.mtime) == state:
                results[place] = old.value
            else:
                changed.append(place)
        if not changed:
            continue
        for place, value in zip(changed, _mapped(look, [paths[place] for place in changed], jobs)):
            results[place], state = value, states[place]
            if state != _NO_FILE and now - state[1] > _RECENT:
                known[os.fsencode(paths[place][len(folder) :])] = Known(*state, value)
        _keep(kind, folder, {name: of for name, of in known.items() if os.path.lexists(os.fsencode(folder) + name)})
    return results


def by_folder(paths: Sequence[str]) -> dict[str, list[int]]:
    """Folder, with the separator at its end -> indices of the paths in it."""
    return grouped((path[: path.rfind(os.sep) + 1], index) for index, path in enumerate(paths))


def _mapped(look: Callable[[str], T], paths: Sequence[str], jobs: int) -> list[T]:
    """``look`` of each path, in threads where there are enough to gain from them."""
    if jobs < 2 or len(paths) < 2 * _CHUNK:
        return list(map(look, paths))
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(min(jobs, 8)) as pool:
        return [result for chunk in pool.map(lambda chunk: list(map(look, chunk)), chunks) for result in chunk]


def _cache_dir() -> Path:
    """``$XDG_CACHE_HOME/seg2knet``, else the system's usual place; a RuntimeError where there is no home folder."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "seg2knet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "seg2knet" / "Cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "seg2knet"


def recall(kind: str, folder: str, shape: Any) -> dict[bytes, Any]:
    """What is remembered of a folder's files: name -> ``Known``; empty where nothing is."""
    with contextlib.suppress(OSError, RuntimeError, msgspec.MsgspecError):
        data = _file(kind, folder).read_bytes()
        if data.startswith(_stamp(kind)):
            return msgspec.msgpack.decode(memoryview(data)[len(_stamp(kind)) :], type=Dict[bytes, Known[shape]])
    return {}


def _keep(kind: str, folder: str, known: dict[bytes, Any]) -> None:
    with contextlib.suppress(OSError, RuntimeError, OverflowError, UnicodeError):  # no home, not writable, odd values
        file = _file(kind, folder)
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(_stamp(kind) + msgspec.msgpack.encode(known))
            os.replace(fresh, file)
        finally:
            fresh.unlink(missing_ok=True)
        # What has not been written for long is of a folder that is gone or forgotten.
        for old in file.parent.glob("*.bin"):
            if old.stat().st_mtime < time.time() - _DAYS_KEPT * 86400:
                old.unlink()


def _file(kind: str, folder: str) -> Path:
    key = hashlib.sha256(os.fsencode(os.path.abspath(folder))).hexdigest()[:24]
    return _cache_dir() / f"{kind}-{key}.bin"


def _stamp(kind: str) -> bytes:
    # What is too large to be looked at depends on the bound.
    return f"seg2knet {_VERSION} {kind} {max_pixels()}\n".encode()


def _state(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return _NO_FILE
    # A time that 64 bits do not hold is never the same again.
    return (status.st_size, status.st_mtime_ns) if abs(status.st_mtime_ns) < 2**63 - 1 else _NO_FILE
