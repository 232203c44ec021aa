"""Rules between splits: same images, same categories, every class in train."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shapes_set import CLASSES, ELL, folder_set
from small_sets import ade, change, coco, codes

from seg2knet.validators.engine import validate
from seg2knet.validators.rules import splits

VAL = "annotations/instances_val2017.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder_set(tmp_path / "set").parents[1]


def names_of_objects(path: Path) -> dict[int, str]:
    """Annotation id -> the name of its class."""
    content = json.loads(path.read_text("utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    return {entry["id"]: names[entry["category_id"]] for entry in content["annotations"]}


def test_same_image_under_another_name(root: Path) -> None:
    shutil.copy(root / "train2017" / "train1.jpg", root / "val2017" / "val0.jpg")

    report = validate(root, select=["SP"])

    assert [finding.code for finding in report] == ["SP001"]
    finding = report.findings[0]
    assert finding.image_name == "train1.jpg"
    assert "val2017/val0.jpg" in finding.message

    mended = validate(root, select=["SP"], fix="unsafe")
    assert not mended.findings
    assert len(mended.removed) == 7
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text("utf-8"))
    assert [entry["file_name"] for entry in content["images"]] == ["train0.jpg", "train2.jpg"]
    assert {entry["image_id"] for entry in content["annotations"]} == {1, 3}


def test_same_name_of_different_images_is_no_defect(root: Path) -> None:
    (root / "val2017" / "val0.jpg").rename(root / "val2017" / "train0.jpg")
    change(root / VAL, lambda content: content["images"][0].update(file_name="train0.jpg"))
    assert codes(root, "SP", "CI") == []


def test_same_image_in_a_panoptic_set(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    shutil.copy(root / "train2017" / "train_1.jpg", root / "val2017" / "val_2.jpg")
    assert [finding.code for finding in validate(root, select=["SP"])] == ["SP001"]
    mended = validate(root, select=["SP"], fix="unsafe")
    assert not mended.findings
    for kind in ("instances", "panoptic"):
        content = json.loads((root / "annotations" / f"{kind}_train2017.json").read_text())
        assert [entry["file_name"] for entry in content["images"]] == ["train_0.jpg", "train_2.jpg"]
        assert {entry["image_id"] for entry in content["annotations"]} == {1, 3}


def test_same_image_in_an_ade_set(tmp_path: Path) -> None:
    root = ade(tmp_path / "set")
    shutil.copy(root / "images/training/training_1.jpg", root / "images/validation/validation_0.jpg")
    assert [finding.code for finding in validate(root, select=["SP"])] == ["SP001"]
    mended = validate(root, select=["SP"], fix="unsafe")
    assert not mended.findings
    assert not (root / "images/training/training_1.jpg").exists()
    assert not (root / "annotations/training/training_1.png").exists()
    assert len(mended.removed) == 2


def _other_order(content: dict[str, Any]) -> None:
    content["categories"].reverse()


def _other_ids(content: dict[str, Any]) -> None:
    new = {1: 2, 2: 3, 3: 1}
    for entry in content["categories"]:
        entry["id"] = new[entry["id"]]
    for entry in content["annotations"]:
        entry["category_id"] = new[entry["category_id"]]


def _one_more(content: dict[str, Any]) -> None:
    content["categories"].insert(0, {"id": 4, "name": "bus", "supercategory": "vehicle"})
    content["annotations"][ELL]["category_id"] = 4


def _one_less(content: dict[str, Any]) -> None:
    content["categories"] = [entry for entry in content["categories"] if entry["id"] != 2]
    content["annotations"] = [entry for entry in content["annotations"] if entry["category_id"] != 2]


@pytest.mark.parametrize("edit", [_other_order, _other_ids, _one_more, _one_less])
def test_categories_that_differ_are_brought_together(root: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    change(root / VAL, edit)
    before = names_of_objects(root / VAL)
    assert "SP002" in codes(root, "SP", "CI")

    assert "SP002" not in [finding.code for finding in validate(root, select=["SP"], fix="safe")]

    assert names_of_objects(root / VAL) == before
    lists = [
        json.loads((root / "annotations" / f"instances_{split}2017.json").read_text("utf-8"))["categories"]
        for split in ("train", "val")
    ]
    assert lists[0] == lists[1]
    assert [entry["name"] for entry in lists[0]][:3] == list(CLASSES)
    assert not validate(root, select=["SP"], fix="safe").fixed


def test_class_missing_from_train(root: Path) -> None:
    train = root / "annotations" / "instances_train2017.json"
    change(
        train,
        lambda content: content.update(
            annotations=[each for each in content["annotations"] if each["category_id"] != 2]
        ),
    )
    report = validate(root, select=["SP", "CI"])
    assert [finding.code for finding in report] == ["SP003"]
    assert "'wheel'" in report.findings[0].message
    assert report.exit_code == 0  # a warning: the smallest data sets have such classes


def test_too_many_images_to_look_at_are_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = root / "train2017"
    shutil.copy(train / "train1.jpg", root / "val2017" / "val0.jpg")  # looked for byte by byte, so found still
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(train / "train0.jpg")
    monkeypatch.setattr(splits, "MOST_IMAGES", 4)
    report = validate(root, select=["SP001", "SP006", "IM014", "IM015"])
    assert sorted(finding.code for finding in report) == ["IM015", "SP001"]
    (told,) = (finding for finding in report if finding.code == "IM015")
    assert "not looked for" in told.message
    assert (told.expected, told.found) == ("at most 4 images", "5")
    monkeypatch.setattr(splits, "MOST_IMAGES", 5)
    assert "IM014" in [finding.code for finding in validate(root, select=["IM014", "IM015"])]
