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
from shapes_set import CLASSES, ELL, HEIGHT, WIDTH, circle, data, draw, ell, folder_set, official, write
from small_sets import ade, change, coco, codes, labels

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
    report = validate(root, select=["SP001", "SP006", "SP007", "IM014", "IM015"])
    assert sorted(finding.code for finding in report) == ["IM014", "IM015", "SP001", "SP006", "SP007"]
    for told in (finding for finding in report if finding.code != "SP001"):
        assert "not looked for" in told.message
        assert (told.expected, told.found) == ("at most 4 images", "5")
    monkeypatch.setattr(splits, "MOST_IMAGES", 5)
    assert "IM014" in [finding.code for finding in validate(root, select=["IM014", "IM015"])]


Content = dict[str, Any]


def _points(content: Content, of: Callable[[float, float], tuple[float, float]], side: int = 2) -> None:
    """Move every corner of val's only image, which becomes ``side`` times as large."""
    for entry in content["annotations"]:
        (part,) = entry["segmentation"]
        moved = [of(*point) for point in zip(part[::2], part[1::2])]
        entry["segmentation"] = [[number for point in moved for number in point]]
    content["images"][0].update(width=WIDTH * side, height=HEIGHT * side)


def _moved(content: Content) -> None:
    part = content["annotations"][1]["segmentation"][0]
    part[::2] = [x + 1 for x in part[::2]]


COPIES: dict[str, Callable[[Content], Any]] = {
    "other colours": lambda content: None,
    "other order": lambda content: content["annotations"].reverse(),
    "resized": lambda content: _points(content, lambda x, y: (round(2 * x), round(2 * y))),
    "stretched": lambda content: _points(content, lambda x, y: (2 * x, y)),
    "padded": lambda content: _points(content, lambda x, y: (x + 40, y + 30)),
    "flipped": lambda content: _points(content, lambda x, y: (WIDTH - x, y), 1),
    "other ids of classes": _other_ids,
}
OTHERS: dict[str, Callable[[Content], Any]] = {
    "an object moved by a pixel": _moved,
    "an object of another class": lambda content: content["annotations"][0].update(category_id=3),
    "an object less": lambda content: content["annotations"].pop(),
    "upside down": lambda content: _points(content, lambda x, y: (x, HEIGHT - y), 1),
    "tiny": lambda content: _points(content, lambda x, y: (x / 4, y / 4)),
}


def with_layouts(root: Path, change_val: Callable[[Content], Any], objects: int = 4) -> Path:
    """Train and val of one image of noise each, with the same polygons, and val's changed."""
    content = data(1)
    shapes = [[circle(20, 20, 14)], [ell(40, 2)], [circle(20, 56, 6)], [circle(70, 50, 9)]][:objects]
    content["annotations"] = [
        {"id": number, "image_id": 1, "category_id": 1 + number // 3, "iscrowd": 0, **official(shape)}
        for number, shape in enumerate(shapes, 1)
    ]
    for seed, (split, edit) in enumerate((("train", lambda content: None), ("val", change_val))):
        own = json.loads(json.dumps(content).replace("train0", f"{split}0"))
        edit(own)
        write(root / "annotations" / f"instances_{split}2017.json", own)
        draw(root / f"{split}2017", own, seed)
    return root


@pytest.mark.parametrize("name", COPIES)
def test_same_layout_on_another_image(tmp_path: Path, name: str) -> None:
    report = validate(with_layouts(tmp_path, COPIES[name]), select=["SP001", "SP006", "SP007"])
    assert [finding.code for finding in report] == ["SP007"]
    message = report.findings[0].message
    assert message.startswith("1 images of train have their objects at the places of images of val")
    assert report.findings[0].found == "1 equal layouts"
    assert "train2017/train0.jpg and val2017/val0.jpg" in message
    assert "--group-by" in message
    assert ("flipped" in message) == (name == "flipped")


@pytest.mark.parametrize("name", OTHERS)
def test_another_layout(tmp_path: Path, name: str) -> None:
    assert codes(with_layouts(tmp_path, OTHERS[name]), "SP007") == []


def test_two_objects_may_lie_the_same_by_chance(tmp_path: Path) -> None:
    assert codes(with_layouts(tmp_path, lambda content: None, objects=2), "SP007") == []


def test_the_same_image_is_one_finding(tmp_path: Path) -> None:
    root = with_layouts(tmp_path, lambda content: None)
    shutil.copy(root / "train2017" / "train0.jpg", root / "val2017" / "val0.jpg")
    assert codes(root, "SP001", "SP006", "SP007") == ["SP001"]


def test_same_layout_in_a_panoptic_and_an_ade_set(tmp_path: Path) -> None:
    root = coco(tmp_path / "panoptic", images=1)
    assert codes(root, "SP007") == []
    for path in root.glob("annotations/instances_*.json"):
        path.unlink()
    val, train = (root / f"annotations/panoptic_{split}2017.json" for split in ("val", "train"))
    val.write_text(train.read_text().replace("train_", "val_"))
    assert codes(root, "SP007") == ["SP007"]

    root = ade(tmp_path / "ade", images=1)
    assert codes(root, "SP007") == []  # bands from side to side tell too little
    for split in ("training", "validation"):
        mask = np.where(labels() == 1, labels(), 0)
        mask[5:30, 8:20], mask[20:44, 30:50] = 2, 3
        Image.fromarray(mask).save(root / f"annotations/{split}/{split}_0.png")
    assert codes(root, "SP007") == ["SP007"]
