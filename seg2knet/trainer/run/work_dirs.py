"""Where a run puts what it makes: a folder of its own, never another run's."""

from __future__ import annotations

import shlex
from pathlib import Path

from seg2knet.dataset.folder import DataFolder
from seg2knet.errors import UsageError
from seg2knet.trainer.options import TrainOptions


def choose(options: TrainOptions, data: DataFolder) -> Path:
    """``--work-dir``, or a new folder in ``work_dirs`` named after the data.

    Raises:
        UsageError: the folder named holds the checkpoints of another run.
    """
    if options.work_dir is not None:
        must_be_free(options.work_dir)
        return options.work_dir
    name = data.root.resolve().name
    if options.backbone:
        name += f"-{options.backbone}"
    return next_free(Path("work_dirs") / name, options)


def next_free(first: Path, options: TrainOptions) -> Path:
    """The folder, or the first of ``NAME-2``, ``NAME-3``... that holds no run."""
    if options.nodes > 1 or options.launcher != "torchrun":
        return first  # processes that are started apart from one another must agree on a name
    number = 1
    folder = first
    while _has_checkpoints(folder):
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def _has_checkpoints(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("last.pth", "best.pth"))


def must_be_free(folder: Path) -> None:
    """
    Raises:
        UsageError: the folder holds the checkpoints of another run.
    """
    if _has_checkpoints(folder):
        raise UsageError(
            "the work dir holds another run's checkpoints",
            file=folder,
            hint=f"--resume goes on with it; another --work-dir starts anew; or: rm -r {shlex.quote(str(folder))}",
        )


def latest() -> Path:
    """The run that was last at work here.

    Raises:
        UsageError: there is none.
    """
    runs = sorted(Path("work_dirs").glob("*/last.pth"), key=lambda file: file.stat().st_mtime)
    if not runs:
        raise UsageError("nothing to go on with", found="no work_dirs/*/last.pth", hint="--resume --work-dir FOLDER")
    return runs[-1].parent
