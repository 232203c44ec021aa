"""The last look at what was written: by ``validate`` where trainers read it, else by the reader of its format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from seg2knet.converters import registry
from seg2knet.converters.base import Writer
from seg2knet.engines.local import apart
from seg2knet.errors import DataError, EnvironmentProblem

if TYPE_CHECKING:
    from seg2knet.validators import Report


def check(tree: Path, target: Path, ignore: Sequence[str], jobs: Optional[int]) -> Report:
    """What ``validate`` finds in ``tree``, said of ``target``, which it will be; without data sets and fixes.

    It runs in a process of its own, whose memory is freed before the run continues.

    Raises EnvironmentProblem: the process died, as it does where memory runs out.
    """
    try:
        return apart(partial(_validator, ignore, jobs), (tree, target))
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            "the validation of what was written died",
            found=error.found,
            hint="--resume continues from what is done; with --no-validate nothing is validated",
        ) from None


def _validator(ignore: Sequence[str], jobs: Optional[int]) -> Callable[[tuple[Path, Path]], Report]:
    from seg2knet.validators import validate

    return lambda folder: validate(folder[0], ignore=ignore, jobs=jobs).moved(*folder)


def read_back(writer: Writer, tree: Path, written: int) -> list[str]:
    """What the reader of the writer's format cannot read of ``tree``, in which ``written`` objects are."""
    if not writer.reread:
        return []
    kind = registry.reader(writer.name)
    reader = kind(tree, kind.Options(**writer.reader_options()))
    objects, problems = 0, []
    try:
        for handle in reader.scan().handles:
            sample = reader.read(handle)
            objects += len(sample.objects)
            problems += [f"{skip.place}: {skip.reason} {skip.detail}" for skip in sample.skips]
    except DataError as error:
        problems.append(str(error))
    if objects != written:
        problems.append(f"{objects:,} objects are read again where {written:,} were written")
    return problems
