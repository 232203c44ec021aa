"""``seg2knet doctor`` prints what the report says and exits by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from seg2knet.cli import cli
from seg2knet.doctor import environment
from seg2knet.doctor.diagnosis import Line, Report, error, ok, warning

BAD = error("torch", "not installed", "training needs it", "pip install 'seg2knet[train]'")


def run(monkeypatch: pytest.MonkeyPatch, lines: tuple[Line, ...], *options: str) -> tuple[int, str]:
    asked: list[object] = []

    def check(task: object, device: object, work_dir: Path) -> Report:
        asked.extend([task, device, work_dir])
        return Report(lines)

    monkeypatch.setattr(environment, "check", check)
    result = CliRunner().invoke(cli, ["doctor", "--task", "semantic", "--device", "cpu", *options])
    assert asked == ["semantic", "cpu", Path("work_dirs")]
    return result.exit_code, result.output


def test_all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, (ok("python", "3.11"),)) == (0, "python  ok       3.11\nEverything is in order.\n")


def test_warnings_do_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = run(monkeypatch, (warning("disk", "1 GiB", "little"),))
    assert status == 0
    assert "1 warning." in text


def test_errors_do(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = run(monkeypatch, (BAD,))
    assert status == 1
    assert "pip install 'seg2knet[train]'" in text


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = run(monkeypatch, (BAD,), "--json")
    assert status == 1
    told = json.loads(text)
    assert told["ok"] is False
    assert told["lines"][0]["command"] == BAD.command
