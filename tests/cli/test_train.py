"""``seg2knet train`` finds what it needs by itself, says what it decided, and refuses what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")
pytest.importorskip("mmengine")

from seg2knet.cli import cli
from seg2knet.errors import DataError, EnvironmentProblem, UsageError

BARE = ["--gpus", "0", "--no-pretrained", "--backbone", "r18-half", "--dry-run"]


def draw(root: Path, objects: int = 3) -> Path:
    """A COCO folder with two images a split and one class."""
    for split in ("train", "val"):
        images, annotations = [], []
        for number in (1, 2):
            images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 30})
            path = root / f"{split}2017" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((30, 40, 3), 50 * number + (split == "val"), np.uint8))
            for place in range(objects):
                x = 4 + 10 * place
                annotations.append(
                    {
                        "id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                        "bbox": [x, 5, 8, 10], "area": 80, "segmentation": [[x, 5, x + 8, 5, x + 8, 15, x, 15]],
                    }
                )  # fmt: skip
        file = root / "annotations" / f"instances_{split}2017.json"
        file.parent.mkdir(exist_ok=True)
        categories = [{"id": 1, "name": "Türgriff", "supercategory": ""}]
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a data set where ``convert`` leaves it."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "data" / "coco")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train", *arguments])


def test_data_classes_and_task_are_found(here: Path) -> None:
    result = run(*BARE)
    assert result.exit_code == 0, result.output
    assert "data/coco: instance segmentation, 1 class, images: 2 train, 2 val" in result.output
    assert "validated: no errors" in result.output
    assert "learning rate" in result.output
    content: dict[str, Any] = {}
    exec((here / "work_dirs" / "coco-r18-half" / "config.py").read_text(encoding="utf-8"), content)
    assert content["classes"] == ("Türgriff",)
    assert content["model"]["num_things"] == 1
    assert not (here / "work_dirs" / "coco-r18-half" / "last.pth").exists()


def test_an_empty_folder_says_how_to_make_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*BARE)
    assert isinstance(result.exception, DataError)
    assert "seg2knet convert" in str(result.exception)


def test_errors_in_the_data_stop_it_with_the_findings(here: Path) -> None:
    file = here / "data" / "coco" / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text().replace('"category_id": 1', '"category_id": 5', 1))
    result = run(*BARE)
    assert isinstance(result.exception, DataError)
    assert "annotation 1" in str(result.exception)
    assert "--fix" in str(result.exception)


def test_cfg_options_and_their_mistakes(here: Path) -> None:
    assert run(*BARE, "--cfg-options", "model.num_kernels=9", "--work-dir", "out").exit_code == 0
    assert "num_kernels=9" in (here / "out" / "config.py").read_text(encoding="utf-8")
    assert isinstance(run(*BARE, "--cfg-options", "num_kernels").exception, UsageError)
    assert isinstance(run(*BARE, "--cfg-options", "no.such=1").exception, UsageError)


def test_names_that_are_nearly_right_are_answered(here: Path) -> None:
    result = run("--backbone", "r5O")
    assert isinstance(result.exception, UsageError)
    assert "did you mean r50" in str(result.exception)
    assert isinstance(run("--model", "knet-s3-r50-fpn-1y").exception, UsageError)


def test_gpus_that_are_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seg2knet.trainer.run import launch

    monkeypatch.setattr(launch, "count_gpus", lambda: 0)
    result = run("--gpus", "2")
    assert isinstance(result.exception, EnvironmentProblem)
    assert "--gpus 0" in str(result.exception)


def test_resuming_nothing_says_so(here: Path) -> None:
    result = run("--resume", "--gpus", "0")
    assert isinstance(result.exception, UsageError)
    assert "nothing to resume" in str(result.exception)


def test_a_named_model_is_what_it_stands_for(here: Path) -> None:
    result = run("--model", "knet-s3-r50-fpn-1x", "--gpus", "0", "--no-pretrained", "--dry-run", "--work-dir", "out")
    assert result.exit_code == 0, result.output
    text = (here / "out" / "config.py").read_text(encoding="utf-8")
    assert "depth=50" in text
    assert "max_epochs = 12" in text
