"""What was once learnt about a folder's files, kept in the user's cache folder so that a second run is quick.

A file counts as unchanged when its size and its time of change (in nanoseconds) are. One file of the cache holds what
is known of one folder. A cache that is broken, of another version or not writable makes a run slow, never wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any, Generic, Optional, TypeVar

import msgspec

_VERSION = 1
_DAYS_KEPT = 90
_RECENT = 20_000_000
"""A file changed this many nanoseconds before it was looked at may change again within its clock's tick."""

T = TypeVar("T")


def cache_dir() -> Path:
    """Where this user's caches are: ``$XDG_CACHE_HOME/seg2knet``, else the system's usual place."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "seg2knet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "seg2knet" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "seg2knet"
    return Path.home() / ".cache" / "seg2knet"


class Memory(Generic[T]):
    """One thing that is remembered of a folder.

    Args:
        kind: what is remembered; part of the cache file's name.
        folder: whose files it is about.
        shape: a type msgspec can write and read.
    """

    def __init__(self, kind: str, folder: Path, shape: type[T]) -> None:
        key = hashlib.sha256(os.fsencode(os.path.abspath(folder))).hexdigest()[:24]
        self._shape = shape
        self._stamp = f"seg2knet {_VERSION} {kind}\n".encode()
        self._file: Optional[Path] = None
        with contextlib.suppress(RuntimeError):  # there is no home
            self._file = cache_dir() / f"{kind}-{key}.bin"

    def recall(self) -> Optional[T]:
        """What was kept, or ``None``."""
        if self._file is None:
            return None
        try:
            data = self._file.read_bytes()
            if not data.startswith(self._stamp):
                return None
            return msgspec.msgpack.decode(memoryview(data)[len(self._stamp) :], type=self._shape)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return None

    def keep(self, value: T) -> None:
        """Keep it for the next run, if that can be done."""
        if self._file is None:
            return
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(self._stamp + msgspec.msgpack.encode(value))
            os.replace(fresh, self._file)
        except (OSError, UnicodeError, OverflowError):  # also a name or a time that cannot be written
            with contextlib.suppress(OSError):
                fresh.unlink()
            return
        self._forget_old()

    def _forget_old(self) -> None:
        """Remove what has not been written for long: its folder is gone or forgotten."""
        limit = time.time() - _DAYS_KEPT * 86400
        with contextlib.suppress(OSError):
            for file in self._file.parent.glob("*.bin") if self._file else ():
                if file.stat().st_mtime < limit:
                    file.unlink()


def settled(mtime_ns: Any, now_ns: int) -> Any:
    """Whether files last changed then, an int or an array, would show a new time if changed after ``now_ns``."""
    return now_ns - mtime_ns > _RECENT
