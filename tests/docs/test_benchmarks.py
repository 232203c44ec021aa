"""Every benchmark starts: what it imports is there, and it says what its options are."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
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


def test_the_benchmark_of_corpora_notices_a_doubled_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    corpora = importlib.import_module("corpora")
    dog = {"label": "dog", "shape_type": "polygon", "points": [[1, 1], [6, 1], [6, 5]]}
    for name, shapes in (("once", [dog]), ("twice", [dog, dog])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
        page = {"imagePath": "a.jpg", "imageData": None, "shapes": shapes, "imageHeight": 8, "imageWidth": 8}
        (tmp_path / name / "a.json").write_text(json.dumps(page), encoding="utf-8")
    once, twice = (corpora._objects("labelme", tmp_path / name) for name in ("once", "twice"))
    assert corpora._strangers("labelme", tmp_path / "once", once) == 0
    assert corpora._strangers("labelme", tmp_path / "twice", once) == 1
    assert corpora._strangers("labelme", tmp_path / "twice", twice) == 0
