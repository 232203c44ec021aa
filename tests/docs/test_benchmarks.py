"""Every benchmark starts: what it imports is there, and it says what its options are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_it_starts(file: Path) -> None:
    pytest.importorskip("mmdet")
    if file.stem == "corpora_cases":
        pytest.skip("the cases of corpora.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(file), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
