"""Suspects in every format of the validator's reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from squares import annotation, draw, result, truth

from seg2knet.judge.objects import Judged
from seg2knet.judge.suspects import KINDS, Suspect, as_report
from seg2knet.validators.model import Severity, all_rules
from seg2knet.validators.report import Report
from seg2knet.validators.reports import FORMATS

RANKED = [
    Suspect("wrong class", 0.9, 2, (12,), 0, 2, "annotated car, the model says dog with score 0.80"),
    Suspect("missing", 0.7, 1, (), 1, 3, "tree with score 0.70; nothing is annotated there"),
    Suspect("split", 0.6, 1, (10, 11), 0, 1, "the model sees one car with score 0.90 where 2 are annotated"),
    Suspect("image out of place", 0.5, 2, (12, 13), None, None, "0 of 2 annotations fit what the model sees"),
]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    numbers = [annotation(10 + n, 1 + n // 2, 1, 10 + 20 * (n % 2), 10) for n in range(4)]
    content = truth(*numbers)
    file = tmp_path / "instances_train2017.json"
    file.write_text(json.dumps(content))
    found = [result(2, 2, 10, 10, 0.8), result(1, 3, 60, 60, 0.7)]
    return as_report(Judged(content, found, draw(tmp_path / "train2017", content)), RANKED, file, 1.5)


def test_every_suspect_is_a_finding_in_its_place(report: Report) -> None:
    places = [(finding.code, finding.pointer, finding.image_id, finding.annotation_id) for finding in report]
    assert places == [
        ("ML002", "/annotations/2", 2, 12),
        ("ML001", "/images/0", 1, None),
        ("ML005", "/annotations/0", 1, 10),
        ("ML007", "/images/1", 2, None),
    ]
    assert report.exit_code == 0
    assert not report.errors


def test_every_kind_has_a_rule_that_is_no_error() -> None:
    rules = [rule for rule in all_rules().values() if rule.family == "ML"]
    assert [rule.name for rule in rules] == ["suspect-" + kind.replace(" ", "-") for kind in KINDS]
    assert all(rule.severity is not Severity.ERROR for rule in rules)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_them(report: Report, name: str) -> None:
    if name == "html":
        pytest.importorskip("jinja2")
    text = FORMATS[name](report, show_all=True)
    for suspect, finding in zip(RANKED, report):
        assert finding.code in text
        assert suspect.reason in text
    if name == "html":
        assert text.count("data:image/jpeg") >= 3
