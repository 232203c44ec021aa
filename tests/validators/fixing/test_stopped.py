"""Ctrl-C while files are fixed: what was written is whole and named, and so is what was not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from shapes_set import spoiled

from seg2knet.cli.validate import validate as command
from seg2knet.validators.engine import validate
from seg2knet.validators.fixing import writing


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in the background of a shell, which starts them deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return spoiled(tmp_path / "set")


def stopped_at(number: int, root: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    """The command, with a Ctrl-C when it writes the file of that number."""
    real, written = writing.write_all, []

    def write_all(path: Path, pieces: Any) -> None:
        written.append(path)
        if len(written) == number:
            path.write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGINT)
        real(path, pieces)

    monkeypatch.setattr(writing, "write_all", write_all)
    return CliRunner().invoke(command, [str(root), "--fix", *options])


def test_between_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]) -> None:
    train, val = files
    before = train.read_bytes(), val.read_bytes()
    result = stopped_at(2, tmp_path / "set", monkeypatch)
    assert result.exit_code == 130
    assert f"{train}: written, before: {train.name}.bak" in result.output
    assert f"not changed:\n  {val}\n" in result.output
    assert train.read_bytes() != before[0]
    assert train.with_name(train.name + ".bak").read_bytes() == before[0]
    assert val.read_bytes() == before[1]
    assert not list(train.parent.glob(".*"))
    monkeypatch.undo()
    assert not validate(tmp_path / "set", fix="safe").findings
    assert train.with_name(train.name + ".bak").read_bytes() == before[0]


def test_before_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]) -> None:
    before = [path.read_bytes() for path in files]
    result = stopped_at(1, tmp_path / "set", monkeypatch, "--no-backup")
    assert result.exit_code == 130
    assert "changed: nothing" in result.output
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(path.name for path in files)


def test_only_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]) -> None:
    from seg2knet.validators import engine

    def check(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "check", check)
    result = CliRunner().invoke(command, [str(tmp_path / "set")])
    assert result.exit_code == 130
    assert "changed" not in result.output
