"""Which rules are asked for, and what they find on one data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from seg2knet.errors import UsageError
from seg2knet.validators.model import Finding, Fix, Hit, Rule, all_rules
from seg2knet.validators.subjects.data import DataSet


def choose(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> list[Rule]:
    """The rules whose code begins with one of ``select`` (all by default) and none of ``ignore``; names count too.

    Raises:
        UsageError: a prefix that fits no rule.
    """
    rules = all_rules()
    for prefix in (*select, *ignore):
        if prefix.upper() != "ALL" and not any(_fits(rule, prefix) for rule in rules.values()):
            raise UsageError(
                "no rule is called so",
                found=prefix,
                expected="a code or its beginning: CI, IM0, KN005",
                hint="seg2knet rules",
            )
    return [
        rule
        for rule in rules.values()
        if (not select or any(_fits(rule, prefix) for prefix in select))
        and not any(_fits(rule, prefix) for prefix in ignore)
    ]


def _fits(rule: Rule, prefix: str) -> bool:
    return prefix.upper() == "ALL" or rule.code.startswith(prefix.upper()) or rule.name == prefix


def check(dataset: DataSet, rules: Iterable[Rule]) -> list[Finding]:
    """All findings of the rules on one data set: file by file, in each rule by rule, in each by place."""
    found: list[tuple[int, Finding]] = []
    seen: set[tuple[str, Path, str, str]] = set()
    files = [file.path for file in dataset.json_files]
    order = {path: place for place, path in enumerate(files)}
    show = lru_cache(maxsize=1024)(dataset.show)
    for rule in rules:
        for subject in _subjects(dataset, rule.on):
            for hit in rule.check(subject):
                key = (rule.code, hit.file, hit.pointer, hit.message)
                if key in seen:
                    continue
                seen.add(key)
                found.append((order.get(hit.file, len(files)), Finding(rule, hit, show(hit.file), _fix(rule, hit))))
    # The sort is stable: within a file findings stay in the order of the rules, within a rule as it gave them.
    found.sort(key=lambda pair: pair[0])
    return [finding for _, finding in found]


def _fix(rule: Rule, hit: Hit) -> Fix:
    """What fix this hit has: none without edits, however fixable its rule."""
    if not callable(hit.edits) and not hit.edits:
        return Fix.NONE
    return hit.fix if hit.fix is not None else rule.fix


def _subjects(dataset: DataSet, on: Sequence[str]) -> Iterator[Any]:
    for kind in on:
        if kind == "dataset":
            yield dataset
        elif kind == "ade":
            if dataset.ade is not None:
                yield dataset.ade
        else:
            for part in dataset.parts:
                subject = part if kind == "part" else getattr(part, kind)
                if subject is not None:
                    yield subject
