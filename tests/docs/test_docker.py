"""The Dockerfiles pass a linter and install what the package declares."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docker").glob("Dockerfile.*"))


def test_there_are_two() -> None:
    assert [file.name for file in FILES] == ["Dockerfile.cpu", "Dockerfile.cuda"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_linter_finds_nothing(file: Path) -> None:
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [linter, "--failure-threshold", "warning", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_installed_is_declared(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.search(r"'\.\[([a-z,]+)\]'", text)
    assert extras is not None
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras[1].split(","))
    pinned = re.search(r"torch==([\d.]+)", text)
    if pinned is not None:
        assert f"torch=={pinned[1]}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8").replace(";", "\n")
