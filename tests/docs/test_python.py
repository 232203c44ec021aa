"""The page on Python: its names exist, and the part that needs no model runs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import seg2knet

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", re.findall(r"^::: (\S+)$", PAGE, re.M))
def test_every_name_is_there_and_documented(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    if module.startswith("seg2knet.trainer"):
        pytest.importorskip("mmdet")
    assert getattr(importlib.import_module(module), attribute).__doc__


def test_the_labelled_photographs_convert_whole(tmp_path: Path) -> None:
    result = seg2knet.convert("labelme", ROOT / "examples" / "photos", out=tmp_path / "coco", split="val")
    (report,) = result.reports.values()
    assert (result.ledger.images_written, result.ledger.objects_read, result.ledger.written) == (4, 35, {"coco": 35})
    assert not report.findings


def test_the_first_example_runs(tmp_path: Path) -> None:
    draw = [sys.executable, str(ROOT / "examples" / "draw_shapes.py"), "raw", "--images", "12", "--size", "96"]
    subprocess.run(draw, cwd=tmp_path, check=True, capture_output=True)
    block = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert block is not None
    done = subprocess.run([sys.executable, "-c", block[1]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "coco" / "annotations" / "instances_train2017.json").is_file()
