"""Puts edits into files so that nothing is lost: a new file is written beside the old one and swapped in when it is
whole, the old one stays as ``.bak``, no file is overwritten, and no file outside of the data set is changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Optional, Union

from seg2knet.errors import DataError, UsageError
from seg2knet.validators.fixing.splice import Change, Splice, plan
from seg2knet.validators.model import DeleteFile, Edit, Remove, RenameFile, ReplaceText, SetValue, WriteFile
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.document import JsonText, RawDict, content_of, state_of

Changes = dict[tuple[Path, str], Change]
"""What edits did, by file and place."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone at fixing what is in a folder, or in a file's folder. The lock goes with the process, however it ends.

    Raises UsageError: another process fixes it, or the folder cannot be opened.
    """
    folder = path if path.is_dir() else path.parent
    try:
        descriptor = _lock(folder)
    except (BlockingIOError, FileExistsError):
        raise UsageError("another --fix is at work on this data set", file=path, hint="wait for it to end") from None
    except OSError as error:
        raise UsageError("the data set cannot be changed", file=path, found=error.strerror or str(error)) from None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path) -> Optional[int]:
    try:
        import fcntl
    except ImportError:  # Windows: a file that goes when it is closed
        return os.open(folder / ".seg2knet-fix", os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_TEMPORARY", 0))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a file system without locks
    return descriptor


class Writer:
    """Puts edits into files, or, with a scratch folder, into copies there.

    Attributes:
        scratch: where copies go; ``None`` to change the files themselves.
        backup: keep what is replaced or deleted as ``.bak``.
        overlay: file -> its copy in the scratch folder.
        promised: files that would be changed, where only that is said.
        done: file that was changed -> how, and where it is kept as it was.
    """

    def __init__(self, scratch: Optional[Path], backup: bool) -> None:
        self.scratch = scratch
        self.backup = backup
        self.overlay: dict[Path, Path] = {}
        self.promised: set[Path] = set()
        self.done: dict[Path, str] = {}
        self._own: set[Path] = set()  # written by this run: what stood there is kept already
        self._owned: dict[Path, bool] = {}

    def outside(self, edits: Sequence[Edit], dataset: DataSet) -> Optional[str]:
        """Why edits would change what is not the data set's alone, or ``None``.

        A file that is a link, or has several names (hard links), is the set's alone once it is written anew; one in a
        folder that is a link to somewhere else is not.
        """
        for edit in edits:
            for path in (edit.file, edit.to) if isinstance(edit, RenameFile) else (edit.file,):
                if path not in self._owned:
                    self._owned[path] = edit.file == dataset.config or dataset.owns(path.parent)
                if not self._owned[path]:
                    return f"{path.parent} is a link to a folder outside of the data set"
        return None

    def write(self, path: Path, edits: Sequence[Edit], read_as: Optional[tuple[int, ...]], changes: Changes) -> None:
        """Make all edits of one file, and add what was done to ``changes``; ``read_as``: the file's state
        (``document.state_of``) when the edits were worked out, where it matters.

        Raises OSError, DataError: it cannot be written, or was changed meanwhile; the file is then as it was.
        """
        if self.scratch is None and read_as is not None and state_of(path) != read_as:
            raise DataError("another program changed the file meanwhile")
        whole = edits[0]
        binary = isinstance(whole, WriteFile) and path.suffix.lower() != ".json"
        if self.scratch is not None and (binary or isinstance(whole, (RenameFile, DeleteFile))):
            self.promised.add(path)
        elif isinstance(whole, WriteFile):
            self._swap(path, [whole.make()], new=whole.new)
        elif isinstance(whole, RenameFile):
            whole.to.parent.mkdir(parents=True, exist_ok=True)
            move(path, whole.to)
            self._own.discard(path)
            self.done[path] = f"renamed to {whole.to.name}"
        elif isinstance(whole, DeleteFile):
            kept = f", kept as {back_up(path).name}" if self.backup else ""
            path.unlink()
            self._own.discard(path)
            self.done[path] = f"removed{kept}"
        elif isinstance(whole, ReplaceText):
            content = self.overlay.get(path, path).read_bytes()
            texts = (edit for edit in edits if isinstance(edit, ReplaceText))
            splices = sorted(Splice(edit.start, edit.end, edit.text.encode()) for edit in texts)
            changes.update({(path, str(start)): (content[start:end], new) for start, end, new in splices})
            self._swap(path, _pieces(memoryview(content), splices))
        else:
            self._edit_json(path, [edit for edit in edits if isinstance(edit, (SetValue, Remove))], changes)

    def undo(self, edit: Edit) -> None:
        """Take a rename back; other edits have their backup."""
        if isinstance(edit, RenameFile) and self.scratch is None:
            with contextlib.suppress(OSError):
                move(edit.to, edit.file)
                self.done.pop(edit.file, None)

    def _edit_json(self, path: Path, edits: Sequence[Union[SetValue, Remove]], changes: Changes) -> None:
        document = JsonText(path, self.overlay.get(path))
        document.decode(RawDict)  # masks what must be masked
        splices, changed = plan(document.text, edits)
        changes.update({(path, pointer): change for pointer, change in changed.items()})
        if not splices:
            raise DataError("the place to be changed was not found", file=path)
        if document.start < 0:
            self._swap(path, _pieces(memoryview(document.text), splices))
            return
        # The file's own bytes: in ``text`` NaN and the like are masked.
        content = memoryview(content_of(self.overlay.get(path, path)))
        self._swap(path, [content[: document.start], *_pieces(content[document.start :], splices)])

    def _swap(self, path: Path, pieces: Iterable[Union[bytes, memoryview]], new: bool = False) -> None:
        if self.scratch is not None:
            target = self.scratch / f"{len(self.overlay)}-{os.urandom(4).hex()}{path.suffix}"
            write_all(target, pieces)
            self.overlay[path] = target
            return
        # A name that is short, however long the file's is, and the same in the next run, should this one be killed.
        fresh = path.with_name(f".seg2knet-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.new")
        try:
            write_all(fresh, pieces)
            if new:
                move(fresh, path)
                self.done[path] = "new"
                return
            how = self.done.get(path, "written")
            if path.exists():
                shutil.copymode(path, fresh)
            if self.backup and os.path.lexists(path) and path not in self._own:
                how = f"written, before: {back_up(path).name}"
            # Where the name is a link it becomes a file of the set's own; what it led to stays as it is.
            os.replace(fresh, path)
            self._own.add(path)
            self.done[path] = how
        finally:
            fresh.unlink(missing_ok=True)


def _pieces(view: memoryview, splices: Sequence[Splice]) -> Iterator[Union[bytes, memoryview]]:
    at = 0
    for start, end, new in splices:
        yield view[at:start]
        yield new
        at = end
    yield view[at:]


def write_all(path: Path, pieces: Iterable[Union[bytes, memoryview]]) -> None:
    with open(path, "wb", buffering=1 << 20) as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def move(source: Path, target: Path) -> None:
    """Rename a file, never over another.

    Raises FileExistsError: something has the name already; OSError: it cannot be renamed.
    """
    # Both names may mean one entry of one folder, on a file system that ignores case.
    same_name = source.parent == target.parent and source.name.casefold() == target.name.casefold()
    free = not os.path.lexists(target) or (same_name and target.name not in os.listdir(target.parent))
    if not free:
        raise FileExistsError(f"{target.name} stands there")
    if source.is_symlink() or os.path.lexists(target):
        os.rename(source, target)
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise FileExistsError(f"{target.name} stands there") from None
    except OSError:  # a file system without links
        os.rename(source, target)
        return
    source.unlink()


def back_up(path: Path) -> Path:
    """Keep a file, or a link, as ``x.json.bak``, or ``.bak2``... where that is taken; an older backup is never lost.

    Raises OSError: it cannot be kept.
    """
    for number in count(1):
        backup = path.with_name(f"{path.name}.bak{number if number > 1 else ''}")
        with contextlib.suppress(FileExistsError):
            if path.is_symlink():
                os.symlink(os.readlink(path), backup)
                return backup
            try:
                os.link(path, backup)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                with open(backup, "xb") as copy, open(path, "rb") as file:
                    shutil.copyfileobj(file, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
                shutil.copystat(path, backup)
            return backup
    raise AssertionError("count has no end")
