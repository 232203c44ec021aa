"""What picture files are: size, orientation, mode, whole or broken, the same as another.

A file is opened once, its head and its tail are read, and what was learnt is remembered by the file's size and time of
change (``memory.py``). Files with the same size, head and tail are the only ones whose whole content is compared.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Callable, Dict, List, Tuple, TypeVar, Union
from zlib import crc32

import msgspec
import numpy as np

from seg2knet.dataset import images
from seg2knet.errors import DataError
from seg2knet.validators.subjects import wholeness
from seg2knet.validators.subjects.memory import Memory, settled

_HEAD = 4096
_TAIL = 256
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not hold us up
_CHUNK = 64

_STATE = np.dtype([("size", "i8"), ("mtime", "i8")])
_LATEST = 2**63 - 1
"""Stands for a time that 64 bits do not hold; such a file is not remembered, for it may change again."""
_ROW = np.dtype(
    [
        *_STATE.descr,
        ("sketch", "u8"),
        ("width", "i4"),
        ("height", "i4"),
        ("pages", "i4"),
        ("kind", "i4"),
        ("problem", "i4"),
        ("orientation", "i4"),
    ]
)
_SEPARATOR = " "
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class _Known(msgspec.Struct):
    """What is remembered of one folder.

    Attributes:
        packed: the files' names as the system has them, each after a NUL: read and compared in one go.
        table: rows of ``_ROW``.
        texts: what ``kind`` and ``problem`` point at.
    """

    packed: bytes
    table: bytes
    texts: List[str]

    @property
    def names(self) -> list[str]:
        return os.fsdecode(self.packed).split("\0")[1:]


def _pack(names: Iterable[str]) -> bytes:
    return os.fsencode("".join(["\0" + name for name in names]))


_Facts = Tuple[int, int, int, int, int, int, int, str, str]
_FACTS = ("size", "mtime", "sketch", "width", "height", "pages", "orientation", "kind", "problem")
"""What is found out about one file, in this order."""
_NOTHING = (-1, -1, 0, 0, 0, 0, 1, "")
"""All but the problem of a file that cannot be read."""


@dataclass(frozen=True)
class Gallery:
    """Pictures and what is known of them, as columns.

    Attributes:
        paths: the files.
        table: ``(N,)`` of ``_ROW``; width and height 0 where the file is no picture.
        texts: what ``kind`` and ``problem`` point at.
    """

    paths: Sequence[str]
    table: np.ndarray
    texts: Sequence[str]

    def problem(self, index: int) -> str:
        """Why the file is no whole picture; empty when it is one."""
        return self.texts[self.table["problem"][index]]

    def kind(self, index: int) -> tuple[str, str]:
        """Format and mode, as ``images.Header`` says them; both empty for no picture."""
        kind, _, mode = self.texts[self.table["kind"][index]].partition(_SEPARATOR)
        return kind, mode

    def kinds(self) -> np.ndarray:
        """``(N,)`` int: equal numbers for equal formats and modes; ``texts`` has them."""
        return self.table["kind"]

    def broken(self) -> np.ndarray:
        """``(N,)`` bool."""
        return self.table["problem"] > 0

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and heights, ``(N,)`` int64 each, as shown, that is with the orientation applied."""
        turned = self.table["orientation"] >= 5
        width, height = self.table["width"].astype(np.int64), self.table["height"].astype(np.int64)
        return np.where(turned, height, width), np.where(turned, width, height)

    def stored(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and heights, ``(N,)`` int64 each, as stored."""
        return self.table["width"].astype(np.int64), self.table["height"].astype(np.int64)


def survey(paths: Iterable[Union[str, Path]], jobs: int = 2) -> Gallery:
    """Look at picture files, or remember them; files that are not there are broken.

    Args:
        paths: the files.
        jobs: how many are opened at a time.
    """
    names = [os.fspath(path) for path in paths]
    table = np.zeros(len(names), _ROW)
    texts: dict[str, int] = {"": 0}
    for folder, places in by_folder(names).items():
        table[places] = _survey_folder(folder, [names[place] for place in places], texts, jobs)
    return Gallery(names, table, list(texts))


def _survey_folder(folder: str, paths: list[str], texts: dict[str, int], jobs: int) -> np.ndarray:
    """The rows of files in one folder; their texts are added to ``texts``."""
    memory = Memory("pictures", Path(folder), _Known)
    known = memory.recall()
    if known is not None and len(known.table) != _ROW.itemsize * known.packed.count(b"\0"):
        known = None
    table = np.zeros(len(paths), _ROW)
    fresh = _recalled(known, folder, paths, table, texts) if known is not None else np.arange(len(paths))
    if len(fresh):
        now = time.time_ns()
        _inspect_all([paths[row] for row in fresh.tolist()], fresh, table, texts, jobs)
        _keep(memory, known, folder, paths, table, list(texts), now)
    return table


def same_content(paths: Sequence[Union[str, Path]], jobs: int = 2) -> list[list[int]]:
    """Groups, of two and more, of indices of files with the same bytes, in the order of their first.

    Sizes, first and last bytes tell nearly all apart; only what is left is read whole. A file that is given twice is
    compared with itself; a file that cannot be read is the same as none.
    """
    return same_in(survey(paths, jobs), jobs)


def same_in(gallery: Gallery, jobs: int = 2) -> list[list[int]]:
    """The same, of files that were looked at already."""
    alike = _alike(gallery.table)
    digests = _digests([gallery.paths[index] for group in alike for index in group], jobs)
    found: dict[tuple[int, str], list[int]] = {}
    for number, group in enumerate(alike):
        for index in group:
            digest = digests.get(gallery.paths[index])
            if digest:
                found.setdefault((number, digest), []).append(index)
    return sorted(group for group in found.values() if len(group) > 1)


def _alike(table: np.ndarray) -> list[list[int]]:
    """Groups of rows with equal sizes and sketches, in the order of their first."""
    _, inverse, counts = np.unique(table["sketch"], return_inverse=True, return_counts=True)
    groups: dict[tuple[int, int], list[int]] = {}
    for index in np.flatnonzero((counts[inverse] > 1) & (table["size"] > 0)).tolist():
        groups.setdefault((int(table["size"][index]), int(table["sketch"][index])), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def by_folder(names: Sequence[str]) -> dict[str, list[int]]:
    """Folder -> indices of the names in it."""
    if names:
        # Nearly always all are in one, which is told without looking at each.
        folder = names[0][: names[0].rfind(os.sep) + 1]
        below = min(names).startswith(folder) and max(names).startswith(folder)
        if below and os.sep.join(names).count(os.sep) == (folder.count(os.sep) + 1) * len(names) - 1:
            return {folder: list(range(len(names)))}
    folders: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        folder = name[: name.rfind(os.sep) + 1]
        try:
            folders[folder].append(index)
        except KeyError:
            folders[folder] = [index]
    return folders


_state = attrgetter("st_size", "st_mtime_ns")


def _states(paths: Sequence[str]) -> np.ndarray:
    """Sizes and times of change, ``(N,)`` of ``_STATE``; size -1 for a file that is not there."""
    try:
        return np.fromiter(map(_state, map(os.stat, paths)), _STATE, len(paths))
    except (OSError, ValueError, OverflowError):
        return np.fromiter(map(_state_of_any, paths), _STATE, len(paths))


def _state_of_any(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, _mtime(status)


def _mtime(status: os.stat_result) -> int:
    return status.st_mtime_ns if abs(status.st_mtime_ns) < _LATEST else _LATEST


def _recalled(known: _Known, folder: str, paths: Sequence[str], table: np.ndarray, texts: dict[str, int]) -> np.ndarray:
    """Fill what is remembered into the table; the indices of what is not, or has changed."""
    old, states = np.frombuffer(known.table, _ROW), _states(paths)
    if len(old) == len(paths) and _same_names(known, folder, paths):
        source: np.ndarray = np.arange(len(old))
    else:
        places = {folder + name: place for place, name in enumerate(known.names)}
        source = np.array([places.get(path, -1) for path in paths], np.int64)
    there = source >= 0
    same = there.copy()
    for column in _STATE.fields or ():
        same[there] &= old[column][source[there]] == states[column][there]
    new_place = np.array([texts.setdefault(text, len(texts)) for text in known.texts], np.int64)
    taken = old[source[same]]
    for column in ("kind", "problem"):
        taken[column] = new_place[taken[column]]
    table[same] = taken
    return np.flatnonzero(~same)


def _same_names(known: _Known, folder: str, paths: Sequence[str]) -> bool:
    return os.fsdecode(known.packed).replace("\0", "\0" + folder) == "\0" + "\0".join(paths)


def _inspect_all(paths: Sequence[str], rows: np.ndarray, table: np.ndarray, texts: dict[str, int], jobs: int) -> None:
    columns = zip(*mapped(_inspect, paths, jobs))
    for name, values in zip(_FACTS, columns):
        if name in ("kind", "problem"):
            values = tuple(texts.setdefault(text, len(texts)) for text in values)
        table[name][rows] = np.array(values, table.dtype[name])


def mapped(function: Callable[[_In], _Out], inputs: Sequence[_In], jobs: int) -> list[_Out]:
    """``function`` of each, by threads where there are enough of them to be worth it."""
    if jobs < 2 or len(inputs) < 2 * _CHUNK:
        return [function(each) for each in inputs]
    pieces = [inputs[start : start + _CHUNK] for start in range(0, len(inputs), _CHUNK)]
    with ThreadPoolExecutor(min(jobs, 8)) as pool:
        return [out for piece in pool.map(lambda piece: [function(each) for each in piece], pieces) for out in piece]


def _inspect(path: str) -> _Facts:
    """What one file is."""
    try:
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return *_NOTHING, "it is no file"
            head = tail = os.read(descriptor, _HEAD)
            if status.st_size > _TAIL:
                os.lseek(descriptor, -_TAIL, os.SEEK_END)
                tail = os.read(descriptor, _TAIL)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return *_NOTHING, f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    size = status.st_size
    known = (size, _mtime(status), crc32(head) << 32 | crc32(tail))
    if not size:
        return *known, *_NOTHING[3:], "the file is empty"
    try:
        header = images.parse(head) or images.probe(path)
    except DataError as error:
        return *known, *_NOTHING[3:], _why(error)
    kind = f"{header.format}{_SEPARATOR}{header.mode}"
    problem = wholeness.problem(path, header, size, tail) or ""
    return *known, header.width, header.height, header.pages, header.orientation, kind, problem


def _why(error: DataError) -> str:
    return f"{error.message} ({error.found})" if error.found and "identify" not in error.found else error.message


def _keep(
    memory: Memory[_Known],
    known: Union[_Known, None],
    folder: str,
    paths: Sequence[str],
    table: np.ndarray,
    texts: list[str],
    now: int,
) -> None:
    """Remember a folder's rows, and older ones of files that were not asked for and are still there."""
    stable = settled(table["mtime"], now) & (table["size"] > 0)
    names = [paths[row][len(folder) :] for row in np.flatnonzero(stable).tolist()]
    merged = _Known(_pack(names), table[stable].tobytes(), texts)
    memory.keep(merged if known is None else _with_older(merged, known, folder, set(paths)))


def _with_older(merged: _Known, known: _Known, folder: str, asked: set[str]) -> _Known:
    older = [
        (place, name)
        for place, name in enumerate(known.names)
        if folder + name not in asked and os.path.exists(folder + name)
    ]
    texts = {text: place for place, text in enumerate(merged.texts)}
    new_place = np.array([texts.setdefault(text, len(texts)) for text in known.texts], np.int64)
    rows = np.frombuffer(known.table, _ROW)[[place for place, _ in older]]
    for column in ("kind", "problem"):
        rows[column] = new_place[rows[column]]
    packed = merged.packed + _pack(name for _, name in older)
    return _Known(packed, merged.table + rows.tobytes(), list(texts))


class _Digest(msgspec.Struct):
    size: int
    mtime: int
    digest: str


def _digests(paths: Sequence[str], jobs: int) -> dict[str, str]:
    """The content's digest of each file that can be read, remembered like everything else."""
    result: dict[str, str] = {}
    for folder, places in by_folder(paths).items():
        memory = Memory("digests", Path(folder), Dict[str, _Digest])
        known = memory.recall() or {}
        wanted: dict[str, os.stat_result] = {}
        for path in dict.fromkeys(paths[place] for place in places):
            try:
                status = os.stat(path)
            except OSError:
                continue
            old = known.get(os.path.basename(path))
            if old is not None and (old.size, old.mtime) == (status.st_size, status.st_mtime_ns):
                result[path] = old.digest
            else:
                wanted[path] = status
        now = time.time_ns()
        for (path, status), digest in zip(wanted.items(), mapped(_digest, list(wanted), jobs)):
            if digest:
                result[path] = digest
                if settled(status.st_mtime_ns, now):
                    known[os.path.basename(path)] = _Digest(status.st_size, status.st_mtime_ns, digest)
        if wanted:
            memory.keep({name: each for name, each in known.items() if os.path.exists(os.path.join(folder, name))})
    return result


def _digest(path: str) -> str:
    """The content's digest, empty for a file that cannot be read."""
    total = hashlib.blake2b(digest_size=20)
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
    except OSError:
        return ""
    return total.hexdigest()
