"""The examples of docs/design.md run, each in a process of its own, and do what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapes_set import data, write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"


def example(heading: str) -> str:
    """The first Python block below ``## How to add <heading>``."""
    section = PAGE.read_text(encoding="utf-8").split(f"## How to add {heading}\n", 1)[1]
    block = re.search(r"```python\n(.*?)```", section, re.S)
    assert block is not None
    return block[1]


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def triangles(tmp_path: Path) -> Path:
    source = tmp_path / "raw"
    source.mkdir()
    for name, rows in (("a", "5 5 40 5 5 30\\n"), ("b", "5 5 40 5 5 30\\n10 10 30 10 20 40\\n")):
        cv2.imwrite(str(source / f"{name}.png"), np.full((48, 64, 3), ord(name), np.uint8))
        (source / f"{name}.tri").write_text(rows.replace("\\n", "\n"))
    return tmp_path


def test_a_source(triangles: Path) -> None:
    code = (
        example("a source")
        + """
import seg2knet
seg2knet.convert("triangles", "raw", out="coco", split="train", jobs=1)
"""
    )
    run(code, triangles)
    content = json.loads((triangles / "coco" / "annotations" / "instances_train2017.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png"]
    assert len(content["annotations"]) == 3


def test_a_target(triangles: Path) -> None:
    code = (
        example("a source")
        + example("a target")
        + """
import seg2knet
seg2knet.convert("triangles", "raw", to="counts", out="counts", split="train", jobs=1, validate=False)
"""
    )
    run(code, triangles)
    assert json.loads((triangles / "counts" / "counts.json").read_text()) == {"a.png": 1, "b.png": 2}


def test_a_rule(tmp_path: Path) -> None:
    content = data(1)
    first = content["annotations"][0]
    content["annotations"] = [{**first, "id": number} for number in range(1, 102)]
    write(tmp_path / "set.json", content)
    code = (
        example("a rule")
        + """
from seg2knet.validators.engine import validate
print([(one.code, one.image_id) for one in validate("set.json", select=["CI901"]).findings])
"""
    )
    assert run(code, tmp_path).strip() == "[('CI901', 1)]"


def test_a_backbone(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    code = (
        example("a backbone")
        + """
from seg2knet.trainer.openmmlab import packages
packages.load()
import torch
from mmdet.registry import MODELS
backbone = MODELS.build(BACKBONES["r34"].config(None, scratch=True))
print([level.shape[1] for level in backbone(torch.zeros(1, 3, 64, 64))])
"""
    )
    assert run(code, tmp_path).strip() == "[64, 128, 256, 512]"


def test_a_metric(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    code = (
        "from seg2knet.trainer.openmmlab import packages\npackages.load()\n"
        + example("a metric")
        + """
metric = ObjectCount()
metric.process(None, [{"pred_instances": {"scores": [0.9, 0.5]}}, {"pred_instances": {"scores": []}}])
print(metric.evaluate(2))
"""
    )
    assert run(code, tmp_path).splitlines()[-1] == "{'objects': 1.0}"
