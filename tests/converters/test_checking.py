"""The validator's look at what was written, in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import seg2knet.validators
from seg2knet.converters.output.checking import check
from seg2knet.errors import EnvironmentProblem, UsageError


def test_findings_are_said_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "tree/annotations").mkdir(parents=True)
    (tmp_path / "tree/annotations/instances_train2017.json").write_text('{"images": [], "annotations": 3}')
    report = check(tmp_path / "tree", tmp_path / "coco", (), 1)
    assert report.errors
    assert {finding.path for finding in report.errors} == {tmp_path / "coco/annotations/instances_train2017.json"}
    assert not report.datasets
    assert report.checked["files"] == 1


def test_errors_of_the_validator_come_through(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check(tmp_path / "nothing", tmp_path / "coco", (), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the process is forked there alone, and has the patch")
def test_a_validation_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(seg2knet.validators, "validate", killed, raising=False)
    with pytest.raises(EnvironmentProblem, match=r"(?s)died.*SIGKILL.*--no-validate"):
        check(tmp_path, tmp_path / "coco", (), 1)
