"""Runs the rules over a data set. Bad data make findings; only what cannot be looked at at all is an error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.engines import cores
from seg2knet.validators.baseline import mark_known
from seg2knet.validators.checking import check, choose
from seg2knet.validators.fixing.fixes import mend
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import DataSet, Overlay, find

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
    """
    started = time.monotonic()
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(each) for each in path]
    rules = [one for one in choose(select, ignore) if one.on]
    jobs = jobs if jobs is not None else cores()
    report = Report(strict=strict)

    def open_one(where: Path, overlay: Optional[Overlay] = None) -> DataSet:
        dataset = find(
            where,
            images=Path(images) if images is not None else None,
            config=Path(config) if config is not None else None,
            jobs=jobs,
            overlay=overlay,
        )
        dataset.prefix = _prefix(where, dataset.root, len(paths) > 1)
        return dataset

    for each in paths:
        if fix is not None:
            dataset, findings = mend(each, partial(open_one, each), rules, fix, diff, backup, report)
        else:
            dataset = open_one(each)
            findings = check(dataset, rules)
        report.datasets.append(dataset)
        report.findings.extend(findings)
    if baseline is not None:
        mark_known(report, Path(baseline))
    report.checked = _checked(report.datasets, len(rules), time.monotonic() - started)
    return report


def _prefix(where: Path, root: Path, several: bool) -> str:
    """What shown names begin with: files of a folder are named relative to it, unless several paths were given."""
    if where.is_file():
        parent = where.parent.as_posix()
        return "" if parent == "." else parent + "/"
    return root.as_posix() + "/" if several else ""


def _checked(datasets: Sequence[DataSet], rules: int, seconds: float) -> dict[str, Any]:
    files = [file for dataset in datasets for file in dataset.json_files]
    return {
        "paths": [str(dataset.root) for dataset in datasets],
        "files": len(files),
        "images": sum(file.images.count for file in files),
        "annotations": sum(file.annotations.count for dataset in datasets for file in dataset.instance_files),
        "rules": rules,
        "seconds": round(seconds, 2),
    }
