"""Runs the rules over a data set. Bad data make findings; only what cannot be looked at at all is an error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional, Union

from seg2knet.engines import cores
from seg2knet.validators.checking import check, choose
from seg2knet.validators.fixing.fixes import mend
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import DataSet, Overlay, find
from seg2knet.validators.subjects.files import CocoFile

PathLike = Union[str, Path]


def validate(
    path: Union[PathLike, Sequence[PathLike]],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    strict: bool = False,
    fix: Optional[str] = None,
    diff: bool = False,
    backup: bool = True,
    images: Optional[PathLike] = None,
    config: Optional[PathLike] = None,
    baseline: Optional[PathLike] = None,
    jobs: Optional[int] = None,
) -> Report:
    """Find what is wrong with a data set, and fix it where asked.

    Args:
        path: a data set's folder, a COCO JSON file, or several of them.
        select, ignore: codes of rules or their beginnings, ``CI``, ``IM0``, ``KN005``.
        strict: warnings fail too: the report's ``exit_code`` is then 1.
        fix: ``"safe"``, or ``"unsafe"`` for both kinds; ``None`` fixes nothing.
        diff: with ``fix``, say what it would do and change nothing.
        backup: keep what a fix replaces as ``.bak``.
        images: the folder of images, where a single file does not stand beside them.
        config: a training configuration to check the data against (rules KN).
        baseline: a JSON report of findings that are known and do not fail.
        jobs: processes; by default as many as there are cores.

    Returns:
        The report: ``findings``, ``errors``, ``warnings``, ``summary``, ``exit_code``. With ``fix`` its findings are
        those that are left.

    Raises:
        UsageError: nothing at the path, a rule or baseline that does not exist.
        Stopped: Ctrl-C while files were fixed; a KeyboardInterrupt that says which.
    """
    started = time.monotonic()
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(one) for one in path]
    rules = [one for one in choose(select, ignore) if one.on]
    report = Report(strict=strict)

    def open_one(where: Path, overlay: Optional[Overlay] = None) -> DataSet:
        dataset = find(
            where,
            images=Path(images) if images is not None else None,
            config=Path(config) if config is not None else None,
            jobs=jobs if jobs is not None else cores(),
            overlay=overlay,
        )
        # Files of a folder are named relative to it, unless several paths were given.
        if where.is_file():
            dataset.prefix = "" if where.parent == Path() else where.parent.as_posix() + "/"
        elif len(paths) > 1:
            dataset.prefix = dataset.root.as_posix() + "/"
        return dataset

    for where in paths:
        if fix is not None:
            dataset, findings = mend(where, partial(open_one, where), rules, fix, diff, backup, report)
        else:
            dataset = open_one(where)
            findings = check(dataset, rules)
        report.datasets.append(dataset)
        report.findings.extend(findings)
    if baseline is not None:
        report.mark_known(Path(baseline))
    files = [file for dataset in report.datasets for file in dataset.json_files]
    report.checked = {
        "paths": [str(dataset.root) for dataset in report.datasets],
        "files": len(files),
        "images": sum(file.images.count for file in files),
        "annotations": sum(file.annotations.count for file in files if isinstance(file, CocoFile)),
        "rules": len(rules),
        "seconds": round(time.monotonic() - started, 2),
    }
    return report
