"""Images of a data set on their way to the target: linked where they can be, else copied."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Union

from typing_extensions import Literal

from seg2knet.errors import DataError, EnvironmentProblem

Mode = Literal["link", "copy", "symlink", "none"]


def place(source: str, target: str, mode: Mode) -> None:
    """Put an image where it belongs: hard link, else copy.

    Raises DataError: it is not there; EnvironmentProblem: it cannot be written.
    """
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
    except OSError as error:
        raise unwritable(target, error) from None


def write(target: Path, data: bytes) -> None:
    """Raises EnvironmentProblem: it cannot be written."""
    try:
        target.write_bytes(data)
    except OSError as error:
        raise unwritable(target, error) from None


def unwritable(target: Union[str, Path], error: OSError) -> EnvironmentProblem:
    """What the system's refusal to write means to a user."""
    return EnvironmentProblem(
        "cannot write",
        file=error.filename or target,
        found=error.strerror or str(error),
        hint="make room or choose another folder with --out; --resume continues where this run stopped",
    )
