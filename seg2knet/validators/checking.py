"""Which rules are asked for, and what they find on one data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from seg2knet.errors import UsageError
from seg2knet.validators.model import Finding, Fix, Rule, all_rules
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.masks import ade_set
from seg2knet.validators.subjects.panoptic import pngs


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
