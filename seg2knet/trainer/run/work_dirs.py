"""Where a run puts what it makes: a folder of its own, never another run's."""

from __future__ import annotations

import shlex
from pathlib import Path

from seg2knet.errors import UsageError
from seg2knet.trainer.options import TrainOptions


def choose(options: TrainOptions, named: Path) -> Path:
    """``--work-dir``, or the first of `named`, ``NAMED-2``, ``NAMED-3``... that holds no run.

    Raises UsageError: the folder that was asked for holds the checkpoints of another run.
    """
    if options.work_dir is None:
        if options.nodes > 1 or options.launcher != "torchrun":
            return named  # processes that are started apart from one another must agree on a name
        folders = (named, *(named.with_name(f"{named.name}-{number}") for number in range(2, 10_000)))
        return next(folder for folder in folders if not any(folder.glob("*.pth")))
    if any(options.work_dir.glob("*.pth")):
        raise UsageError(
            "the work dir holds another run's checkpoints",
            file=options.work_dir,
            hint="--resume continues it; another --work-dir starts a new run; "
            f"or: rm -r {shlex.quote(str(options.work_dir))}",
        )
    return options.work_dir


def latest() -> Path:
    """The run that was last at work here. Raises UsageError: there is none."""
    runs = sorted(Path("work_dirs").glob("*/last.pth"), key=lambda file: file.stat().st_mtime)
    if not runs:
        raise UsageError("nothing to resume", found="no work_dirs/*/last.pth", hint="--resume --work-dir FOLDER")
    return runs[-1].parent
