"""``seg2knet setup classic``: the commands, their order, and what it says where something is missing."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seg2knet.cli import cli
from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.classic import installation as setup_classic
from seg2knet.trainer.classic.installation import CONSTRAINTS, setup, steps

VENV, PYTHON = Path("/v"), Path("/usr/bin/python3.9")


def words(ops: bool = True, cuda: str = "10.2") -> list[str]:
    return [shlex.join(command) for _, command in steps(VENV, PYTHON, ops=ops, cuda=cuda)]


def test_order() -> None:
    """setuptools before mmcv is built; torch and the headless OpenCV too, or mmcv asks for others."""
    text = "\n".join(words())
    places = [
        text.index(each) for each in ("setuptools", "torch==", "opencv-python-headless", "mmcv-full==", " mmdet ")
    ]
    assert places == sorted(places)
    assert "--no-build-isolation mmcv-full==1.3.14" in text
    assert all(str(CONSTRAINTS) in line for line in words()[1:])


def test_without_operators() -> None:
    text = "\n".join(words(ops=False))
    assert " mmcv==1.3.14" in text
    assert "mmcv-full" not in text


def test_other_builds_of_torch() -> None:
    line = next(line for line in words(cuda="11.3") if "torch==" in line)
    assert "torch==1.10.1+cu113" in line
    assert "download.pytorch.org" in line
    assert "download.pytorch.org" not in "\n".join(words())
    with pytest.raises(UsageError, match=r"CUDA 12\.4"):
        setup(VENV, cuda="12.4")


@pytest.mark.parametrize("package", ["scipy", "openmim"])
def test_what_the_release_needs_at_the_first_step(package: str) -> None:
    """Its Hungarian assigner imports scipy; ``mim train`` is in its recipe."""
    assert any(f" {package}" in line for line in words())
    assert f"\n{package}==" in CONSTRAINTS.read_text()


def test_no_python39(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup_classic, "_candidates", lambda: iter(()))
    with pytest.raises(EnvironmentProblem, match=r"needs Python 3\.9") as caught:
        setup(tmp_path / "v")
    assert "pyenv install 3.9" in str(caught.value)


@pytest.mark.skipif(sys.version_info[:2] == (3, 9), reason="this is Python 3.9")
def test_another_python(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"is not Python 3\.9"):
        setup(tmp_path / "v", python=Path(sys.executable))


def test_a_folder_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="this folder exists"):
        setup(tmp_path)


def test_a_step_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing = ("a step", (sys.executable, "-c", "print('error: no such thing'); raise SystemExit(3)"))
    monkeypatch.setattr(setup_classic, "_python39", lambda _asked: PYTHON)
    monkeypatch.setattr(setup_classic, "steps", lambda *_args, **_options: [failing])
    with pytest.raises(EnvironmentProblem, match="this step failed: a step") as caught:
        setup(tmp_path / "v", ops=False, say=lambda _line: None)
    assert "error: no such thing" in str(caught.value)
    assert "error: no such thing" in (tmp_path / "v" / "setup.log").read_text()


def test_dry_run_does_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup_classic, "_python39", lambda _asked: PYTHON)
    done = CliRunner().invoke(cli, ["setup", "classic", "--dry-run", "--no-ops", "--venv", str(tmp_path / "v")])
    assert done.exit_code == 0, done.output
    assert "[7/7] seg2knet itself" in done.output
    assert "MMCV_WITH_OPS=0" in done.output
    assert not (tmp_path / "v").exists()
