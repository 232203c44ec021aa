"""Unpacking zip files from strangers: nothing is written outside the target, and nothing at all if an entry would be.

The format: PKWARE APPNOTE 6.3; every entry's CRC-32 and length are checked by :mod:`zipfile` as it is read.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable, Optional

from seg2knet.download.transfer import CHUNK, Progress, require_space
from seg2knet.errors import DataError

Place = Callable[[str], Optional[Path]]
"""Where an entry goes, below the target; ``None`` leaves it out."""
NOT_DATA = ("__MACOSX/", ".DS_Store", "Thumbs.db")
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError)
"""What reading a damaged archive raises: the decompressors' own errors are no OSErrors."""


def as_it_is(name: str) -> Optional[Path]:
    """Each entry under its own name, but for what file managers leave behind."""
    return None if name.startswith(NOT_DATA[0]) or name.rpartition("/")[2] in NOT_DATA[1:] else Path(name)


def unpack(archive: Path, target: Path, place: Place = as_it_is, progress: Optional[Progress] = None) -> list[Path]:
    """Unpack a zip file, each entry where ``place`` says; those that are there already, with the right length, are not
    written again. Gives the files in the archive's order; ``progress`` is called with bytes done and bytes in all.

    Raises DataError: not a zip file, a damaged one, or one with an entry that would leave ``target`` (``../``, an
    absolute path, a link) or is encrypted; TransferError: not enough space.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(archive, opened.infolist(), place)
            total = sum(entry.file_size for entry, _ in entries)
            # Files appear under their names when they are whole, so one of the right length is the one.
            files = [(entry, target / path) for entry, path in entries]
            missing = [(e, file) for e, file in files if not file.is_file() or file.stat().st_size != e.file_size]
            needed = sum(entry.file_size for entry, _ in missing)
            require_space(target, needed, f"{archive.name} unpacked takes")
            done = total - needed
            for entry, path in missing:
                _write(archive, opened, entry, path)
                done += entry.file_size
                if progress is not None:
                    progress(done, total)
            return [file for _, file in files]
    except DAMAGE as error:
        hint = "remove it, and download or export it again"
        raise DataError("a damaged zip file", file=archive, found=str(error), hint=hint) from None


def _checked(archive: Path, entries: Sequence[zipfile.ZipInfo], place: Place) -> list[tuple[zipfile.ZipInfo, Path]]:
    """The files among the entries with their places, after a look at every one of them."""
    kept = []
    for entry in entries:
        wrong = _suspicion(entry)
        path = None if wrong or entry.is_dir() else place(entry.filename)
        if path is not None and (path.is_absolute() or ".." in path.parts):
            wrong = "a path that leaves the folder"
        if wrong:
            raise DataError(
                "the zip file is refused, nothing was unpacked",
                file=archive,
                place=f"entry {entry.filename!r}",
                found=wrong,
                expected="plain files below the folder",
                hint="do not trust where it came from",
            )
        if path is not None:
            kept.append((entry, path))
    refuse_twice(archive, (path for _, path in kept))
    return kept


def refuse_twice(archive: Path, names: Iterable[object]) -> None:
    """Raises DataError: two files of one name, of which only one would be left."""
    for name, count in Counter(names).items():
        if count > 1:
            hint = "unpack it, see which of them is right, and convert the folder"
            raise DataError("the archive has several files of one name", file=archive, place=str(name), hint=hint)


def _suspicion(entry: zipfile.ZipInfo) -> Optional[str]:
    name = entry.orig_filename
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "a link"
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "neither file nor folder"
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "a path that leaves the folder"
    if "\0" in name or "\\" in name:
        return "a name that means another file elsewhere"
    return "encrypted" if entry.flag_bits & 1 else None


def _write(archive: Path, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, part.open("wb") as out:
            shutil.copyfileobj(source, out, CHUNK)
        os.replace(part, path)
    except (OSError, NotImplementedError) as error:  # the second at a compression that zipfile does not know
        raise DataError("the file cannot be unpacked", file=archive, place=entry.filename, found=str(error)) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
