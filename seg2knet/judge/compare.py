"""Whether one of two models is better on the same split, with intervals; which objects were won and lost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from seg2knet.errors import UsageError
from seg2knet.judge.analysis import Analysis, analyse, evaluated
from seg2knet.judge.objects import FOUND, MISSED, Judged

SAMPLES = 1000
"""Bootstrap samples of the images."""
_CONDITION = re.compile(r"^\s*([A-Za-z]\w*)\s*(<=|>=|<|>)\s*([-+]?\d*\.?\d+)\s*$")


@dataclass(frozen=True)
class Comparison:
    """B against A on the same annotations; differences are B - A."""

    names: tuple[str, str]  # what A and B are called
    # a row for each figure: figure, a, b, difference, low, high (95 % interval over images, paired), better (share of
    # bootstrap samples in which B is better); of AP also one for each class that has objects, with its name
    figures: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    won: list[int]  # annotation ids of objects that only B finds at its own best threshold; lost: that only A finds
    lost: list[int]
    analyses: tuple[Analysis, Analysis] = field(repr=False)  # of A and of B, as below
    judged: tuple[Judged, Judged] = field(repr=False)

    def difference(self, figure: str) -> float:
        """B - A of a figure. Raises UsageError: there is no figure of that name."""
        for row in self.figures:
            if row["figure"].lower() == figure.lower():
                return float(row["difference"])
        raise UsageError(f"no figure is called {figure!r}", expected=", ".join(row["figure"] for row in self.figures))

    def fails(self, condition: str) -> bool:
        """Whether a condition on a difference holds, ``AP < -0.01`` say. Raises UsageError: it cannot be read."""
        figure, sign, bound = check_condition(condition)
        value = self.difference(figure)
        return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[sign]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = {"figures": self.figures, "classes": self.classes, "won": self.won, "lost": self.lost}
        return {**dict(zip("ab", self.names)), **rows}


def check_condition(condition: str) -> tuple[str, str, float]:
    """Figure, comparison sign and bound of a condition. Raises UsageError: it cannot be read."""
    parts = _CONDITION.match(condition)
    if parts is None:
        raise UsageError("--fail-if cannot be read", found=condition, expected="AP < -0.01")
    return parts[1], parts[2], float(parts[3])


def compared(
    a: Judged, b: Judged, names: tuple[str, str] = ("A", "B"), *, seed: int = 0, samples: int = SAMPLES
) -> Comparison:
    """Compare two lists of COCO results on the same annotations; ``seed`` and ``samples`` are of the bootstrap.

    Raises DataError: results and annotations do not fit; EnvironmentProblem: hotcoco is not installed.
    """
    analyses = analyse(a.truth, a.results), analyse(b.truth, b.results)
    figures = _differences(a.truth, (a.results, b.results), seed, samples)
    classes = []
    for category in a.truth["categories"]:  # each class alone: only so has it an interval
        own = [annotation for annotation in a.truth["annotations"] if annotation["category_id"] == category["id"]]
        if any(not annotation.get("iscrowd") for annotation in own):
            results = [[r for r in one.results if r["category_id"] == category["id"]] for one in (a, b)]
            truth = {**a.truth, "annotations": own, "categories": [category]}
            row = next(row for row in _differences(truth, results, seed, samples) if row["figure"] == "AP")
            classes.append({"name": category["name"], **{key: row[key] for key in row if key != "figure"}})
    found = [{verdict.annotation_id for verdict in one.objects if verdict.kind == FOUND} for one in analyses]
    known = {verdict.annotation_id for one in analyses for verdict in one.objects if verdict.kind in (FOUND, MISSED)}
    won, lost = (sorted(i for i in ids & known if i is not None) for ids in (found[1] - found[0], found[0] - found[1]))
    return Comparison(names, figures, classes, won, lost, analyses, (a, b))


def _differences(
    truth: dict[str, Any], results: Sequence[Sequence[dict[str, Any]]], seed: int, samples: int
) -> list[dict[str, Any]]:
    """Both results' figures, B - A and the interval of it; sizes that no object has are left out."""
    import hotcoco

    a, b = (evaluated(truth, one) for one in results)
    told = hotcoco.compare(a, b, n_bootstrap=samples, seed=seed, confidence=0.95)
    values = {"a": told["metrics_a"], "b": told["metrics_b"], "difference": told["deltas"]}
    bounds = {"low": "lower", "high": "upper", "better": "prob_positive"}
    return [
        {
            "figure": name,
            **{key: round(float(figures[name]), 6) for key, figures in values.items()},
            **{key: round(float(told["ci"][name][bound]), 6) if told["ci"] else None for key, bound in bounds.items()},
        }
        for name in told["metric_keys"]
        if told["metrics_a"][name] >= 0 or told["metrics_b"][name] >= 0
    ]


def text(comparison: Comparison) -> str:
    """For a terminal: a line for each figure, then the classes that changed most, then the objects."""
    lines = [f"A: {comparison.names[0]}", f"B: {comparison.names[1]}", ""]
    lines.append(f"{'':26}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval      B better")
    lines += [_line(row["figure"], row) for row in comparison.figures]
    lines += ["", "classes that changed most (AP):"]
    changed = sorted(comparison.classes, key=lambda row: -abs(row["difference"]))
    lines += [_line(f"  {row['name']}", row) for row in changed[:10]]
    lines += ["", f"objects that only B finds: {len(comparison.won)}, that only A finds: {len(comparison.lost)}"]
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any]) -> str:
    interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if row["low"] is not None else ""
    share = f"{row['better']:.0%}" if row["better"] is not None else ""
    return f"{name:26}{row['a']:8.3f}{row['b']:8.3f}{row['difference']:+9.3f}   {interval:18} {share:>8}"


def junit(comparison: Comparison, conditions: Sequence[str]) -> str:
    """A JUnit file: a test case for each condition of ``--fail-if``. Raises UsageError: one cannot be read."""
    failed = [condition for condition in conditions if comparison.fails(condition)]
    counts = {"tests": str(len(conditions)), "failures": str(len(failed))}
    suite = ElementTree.Element("testsuite", {"name": "seg2knet compare", **counts})
    for condition in conditions:
        case = ElementTree.SubElement(suite, "testcase", classname=" vs ".join(comparison.names), name=condition)
        if condition in failed:
            ElementTree.SubElement(case, "failure", message=condition).text = text(comparison)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, "utf-8", xml_declaration=True).decode() + "\n"
