"""Runs the rules over a data set. Bad data make findings; only what cannot be looked at at all is an error."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.engines import cores
from seg2knet.errors import UsageError
from seg2knet.validators.fixing.fixes import mend
from seg2knet.validators.model import Finding, Fix, Rule, all_rules
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import DataSet, Overlay, find
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.masks import ade_set
from seg2knet.validators.subjects.panoptic import pngs

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

    def look(where: Path, overlay: Optional[Overlay] = None) -> tuple[DataSet, list[Finding]]:
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
        return dataset, check(dataset, rules)

    for where in paths:
        if fix is not None:
            dataset, findings = mend(where, partial(look, where), fix, diff, backup, report)
        else:
            dataset, findings = look(where)
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


def choose(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> list[Rule]:
    """The rules whose code begins with one of ``select`` (all by default) and none of ``ignore``; names count too.

    Raises UsageError: a prefix that fits no rule.
    """
    rules = all_rules().values()
    for prefix in (*select, *ignore):
        if not any(_fits(rule, prefix) for rule in rules):
            expected = "a code or its beginning: CI, IM0, KN005"
            raise UsageError("no rule is called so", found=prefix, expected=expected, hint="seg2knet rules")
    chosen = [rule for rule in rules if any(_fits(rule, prefix) for prefix in select or ("ALL",))]
    return [rule for rule in chosen if not any(_fits(rule, prefix) for prefix in ignore)]


def _fits(rule: Rule, prefix: str) -> bool:
    return prefix.upper() == "ALL" or rule.code.startswith(prefix.upper()) or rule.name == prefix


def check(dataset: DataSet, rules: Iterable[Rule]) -> list[Finding]:
    """All findings of the rules on one data set: file by file, in each rule by rule, in each by place."""
    findings: list[Finding] = []
    seen: set[tuple[str, Path, str, str]] = set()
    for rule in rules:
        for hit in (hit for subject in _subjects(dataset, rule.on) for hit in rule.check(subject)):
            key = (rule.code, hit.file, hit.pointer, hit.message)
            if key not in seen:
                seen.add(key)
                # Without edits there is no fix, however fixable its rule.
                fix = (hit.fix or rule.fix) if callable(hit.edits) or hit.edits else Fix.NONE
                findings.append(Finding(rule, hit, dataset.show(hit.file), fix))
    # The sort is stable: within a file findings stay in the order of the rules, within a rule as it gave them.
    order = {file.path: place for place, file in enumerate(dataset.json_files)}
    return sorted(findings, key=lambda finding: order.get(finding.hit.file, len(order)))


def _subjects(dataset: DataSet, on: Sequence[str]) -> Iterator[Any]:
    for kind in on:
        if kind == "dataset":
            yield dataset
        elif kind == "ade":
            if dataset.ade is not None:
                yield ade_set(dataset.ade)
        else:
            of_part = {"part": lambda part: part, "pngs": pngs}.get(kind, attrgetter(kind))
            subjects = (of_part(part) for part in dataset.parts)
            yield from (subject for subject in subjects if subject is not None)
