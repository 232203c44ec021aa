"""Where a conversion works before it is done: a folder beside the target, swapped in whole; how files get there.

    .NAME.seg2knet/      lock, plan.json, parts/*.part, staged/*, tree/  (tree becomes NAME)

Whatever happens before the swap leaves the target as it was, and what stands in ``parts`` lets ``--resume`` continue.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import orjson
from typing_extensions import Literal

from seg2knet.dataset.layout import LEDGER
from seg2knet.errors import DataError, EnvironmentProblem, UsageError, printable

Mode = Literal["link", "copy", "symlink", "none"]


class Staging:
    """The working folder of one conversion to one target folder; where that is a link, to what it leads to."""

    def __init__(self, target: Path) -> None:
        self.target = Path(os.path.realpath(target))
        self.root = self.target.parent / f".{self.target.name}.seg2knet"
        self.tree = self.root / "tree"
        self._lock: Optional[Any] = None

    def __reduce__(self) -> tuple[type[Staging], tuple[Path]]:
        return Staging, (self.target,)  # a worker has the places, not the lock

    def part(self, number: int) -> Path:
        return self.root / "parts" / f"{number:06d}.part"

    def staged(self, number: int, index: int, kind: str) -> Path:
        return self.root / "staged" / f"{number:06d}-{index:04d}-{kind}"

    def begin(self, plan: dict[str, Any], resume: bool) -> bool:
        """Make the folder and take it for this process; whether there are parts of an equal run to continue from.

        Raises UsageError: another conversion is at work on the same target; EnvironmentProblem: the folder cannot be
        made.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            text = orjson.dumps(plan, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
            file = self.root / "plan.json"
            same = resume and file.is_file() and file.read_bytes() == text
            for name in ("tree",) if same else ("tree", "parts", "staged", "plan.json"):
                remove(self.root / name)
            for name in ("tree", "parts", "staged"):
                (self.root / name).mkdir(exist_ok=True)
            file.write_bytes(text)
        return same

    def swap(self) -> None:
        """Swap the tree in for the target, in one step, and remove the old; EnvironmentProblem where it is refused."""
        with writing(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(self.target):
                os.rename(self.tree, self.target)
            elif not exchange(self.tree, self.target):
                old = self.root / "old"
                remove(old)
                os.rename(self.target, old)
                try:
                    os.rename(self.tree, self.target)
                except OSError:
                    os.rename(old, self.target)
                    raise

    def remove(self) -> None:
        self.release()
        remove(self.root)

    def release(self) -> None:
        """Leave the working folder for ``--resume``."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        file = open(self.root / "lock", "w")  # noqa: SIM115  # held until the end of the run
        try:
            import fcntl

            # A record lock, for a worker that outlives a killed parent would keep the other kind.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # not on this platform
            pass
        except OSError:
            file.close()
            raise UsageError(
                "another conversion is at work on the same target", found=str(self.target),
                hint="wait for it, or name another folder with --out",
            ) from None  # fmt: skip
        self._lock = file


def check_target(target: Path, sources: list[Path], replaced: Optional[set[str]]) -> list[str]:
    """The sources of the conversion that a run will replace. ``replaced`` are the targets that are made anew in its
    target folder, links followed; ``None`` where whatever is there may be replaced.

    Raises UsageError: the target would swallow a source, or holds something that no conversion made.
    """
    for source in sources:
        inside = Path(os.path.realpath(source))
        if inside == target or target in inside.parents:
            raise UsageError(
                "the source lies in the folder that is to be replaced", found=f"source {source}, target {target}",
                hint="name another folder with --out",
            )  # fmt: skip
    if not target.exists() or replaced is None:
        return []
    hint = "name another folder with --out, or give --overwrite to replace all of it"
    if not target.is_dir():
        raise UsageError("the target is a file", found=str(target), hint="name a folder with --out")
    made, ours, former = set(), {}, []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        ledger = orjson.loads((target / LEDGER).read_bytes())
        made, ours = set(ledger["options"]["to"]), {folder: set(names) for folder, names in ledger["files"].items()}
        former = [printable(source) for source in ledger["sources"]]
    strangers = [
        printable(f"{folder}/{name}".lstrip("/"))
        for folder, names in files_in(target).items()
        for name in names
        if name not in ours.get(folder, ())
    ]
    if strangers:
        more = f" and {len(strangers) - 5:,} more" if len(strangers) > 5 else ""
        raise UsageError(
            "the target folder holds files that seg2knet convert did not make, and that would be lost",
            file=target, found=f"{', '.join(strangers[:5])}{more}", hint=hint,
        )  # fmt: skip
    if made - replaced:
        raise UsageError(
            "the target folder holds a data set of another target, which would be lost",
            file=target, found=", ".join(sorted(made)), expected=", ".join(sorted(replaced)), hint=hint,
        )  # fmt: skip
    return former


def files_in(root: Path) -> dict[str, list[str]]:
    """All files below a folder, links too: the names in each folder that has some, by its path with forward slashes."""
    found = {}
    for folder, folders, names in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        if names or links:
            below = "" if folder == str(root) else os.path.relpath(folder, root).replace(os.sep, "/")
            found[below] = sorted(names + links)
    return dict(sorted(found.items()))


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux ``renameat2``); False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange_flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange_flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            raise EnvironmentProblem("cannot be removed", file=path, hint="remove it by hand")
    elif os.path.lexists(path):
        path.unlink()


def place(source: str, target: str, mode: Mode) -> None:
    """Put an image where it belongs: hard link, else copy.

    Raises DataError: it is not there; EnvironmentProblem: it cannot be written.
    """
    with writing(target):
        try:
            if mode == "symlink":
                os.symlink(os.path.abspath(source), target)
                return
            if mode == "link":
                with contextlib.suppress(OSError):  # another file system, no such right, too many links: copied instead
                    os.link(os.path.realpath(source) if os.path.islink(source) else source, target)
                    return
            # Never over a file that is there: it may be a hard link to somebody's original.
            with open(source, "rb") as read, open(target, "xb") as out:
                shutil.copyfileobj(read, out, 1 << 20)
        except FileNotFoundError:
            if os.path.exists(source):
                raise
            raise DataError("the image was removed while it was to be copied", file=source) from None


def write(target: Path, data: bytes) -> None:
    """Raises EnvironmentProblem: it cannot be written."""
    with writing(target):
        target.write_bytes(data)


@contextlib.contextmanager
def writing(target: Union[str, Path]) -> Iterator[None]:
    """Raises EnvironmentProblem: what the system's refusal to write means to a user."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            "cannot write",
            file=error.filename or target,
            found=error.strerror or str(error),
            hint="make room or choose another folder with --out; --resume continues where this run stopped",
        ) from None
