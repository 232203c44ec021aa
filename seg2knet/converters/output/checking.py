"""The validator's look at what was written, in a process of its own: its memory is freed before the run continues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

import msgspec

from seg2knet.engines.local import apart
from seg2knet.errors import EnvironmentProblem

if TYPE_CHECKING:
    from seg2knet.validators import Report


class _Folder(msgspec.Struct, frozen=True):
    """A folder that will be ``target`` and is ``tree`` as yet."""

    tree: Path
    target: Path

    def describe(self) -> str:
        return f"the validation of {self.target}"


class _Check:
    """Picklable: the process that validates makes its function from it."""

    def __init__(self, ignore: Sequence[str], jobs: Optional[int]) -> None:
        self.ignore = ignore
        self.jobs = jobs

    def __call__(self) -> Callable[[_Folder], Report]:
        return self.run

    def run(self, folder: _Folder) -> Report:
        from seg2knet.validators import validate

        return validate(folder.tree, ignore=self.ignore, jobs=self.jobs).moved(folder.tree, folder.target)


def check(tree: Path, target: Path, ignore: Sequence[str], jobs: Optional[int]) -> Report:
    """What ``validate`` finds in ``tree``, said of ``target``, which it will be; without data sets and fixes.

    Raises:
        EnvironmentProblem: the process died, as it does where memory runs out.
    """
    try:
        return apart(_Check(ignore, jobs), _Folder(tree, target))
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            "the validation of what was written died",
            found=error.found,
            hint="--resume continues from what is done; with --no-validate nothing is validated",
        ) from None
