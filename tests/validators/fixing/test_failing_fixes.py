"""A fix that cannot be made is told, and keeps no other from being made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shapes_set import spoiled
from small_sets import change, coco, noise

from seg2knet.validators.engine import validate
from seg2knet.validators.fixing import repairs, writing
from seg2knet.validators.rules import images as image_files


def full_disk(words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file with these words can be written."""
    real = writing.write_all

    def write_all(path: Path, pieces: Any) -> None:
        pieces = list(pieces)
        if words in b"".join(pieces):
            raise OSError("disk full")
        real(path, pieces)

    monkeypatch.setattr(writing, "write_all", write_all)


def cmyk(path: Path) -> None:
    Image.fromarray(noise(1)).convert("CMYK").save(path)


@pytest.mark.parametrize("error", [SyntaxError("broken PNG file"), ValueError("bad tag"), OSError("disk full")])
def test_an_image_that_cannot_be_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    bad, good = (root / "train2017" / f"train_{index}.jpg" for index in (0, 2))
    cmyk(bad)
    cmyk(good)
    real = image_files.plain_rgb

    def plain_rgb(path: Path) -> bytes:
        if path == bad:
            raise error
        return real(path)

    monkeypatch.setattr(image_files, "plain_rgb", plain_rgb)
    report = validate(root, fix="unsafe")
    assert Image.open(good).mode == "RGB"
    assert Image.open(bad).mode == "CMYK"
    assert [line for line in report.not_fixed if "train_0.jpg: not fixed" in line and str(error) in line]
    assert {finding.hit.file for finding in report if finding.code != "IM015"} == {bad}


def test_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = spoiled(tmp_path / "set")
    before = train.read_bytes()
    full_disk(b"train0.jpg", monkeypatch)
    report = validate(tmp_path / "set", fix="safe")
    assert train.read_bytes() == before
    ids = [row["id"] for row in json.loads(val.read_text())["annotations"]]
    assert len(set(ids)) == len(ids)
    assert [finding.file for finding in report] == ["annotations/instances_train2017.json"]


def test_the_json_keeps_the_name_of_an_image_that_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    path = root / "annotations" / "instances_train2017.json"
    Image.fromarray(noise(50)).save(root / "train2017" / "train_0.png")
    (root / "train2017" / "train_1.jpg").unlink()
    change(path, lambda data: data["images"][1].update(file_name="train_0.png"))
    change(path, lambda data: data["annotations"][1].update(id=data["annotations"][0]["id"]))

    def rename(source: object, target: object) -> None:
        raise PermissionError("read-only folder")

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "link", rename)
    report = validate(root, fix="unsafe")
    content = json.loads(path.read_text())
    assert content["images"][1]["file_name"] == "train_0.png"
    assert content["annotations"][1]["id"] != content["annotations"][0]["id"]
    assert [line for line in report.not_fixed if "train_0.png: not fixed: read-only folder" in line]
    assert not [line for line in report.fixed if "IM008" in line]


def test_a_fix_that_cannot_be_worked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = spoiled(tmp_path / "set")
    for path in (train, val):
        change(path, lambda data: data["annotations"][0].update(bbox=[6, 6, 20, 28]))
    real = repairs.set_boxes

    def set_boxes(file: Any, rows: list[int]) -> Any:
        if file.path == train:
            raise np.linalg.LinAlgError("no mask")
        return real(file, rows)

    monkeypatch.setattr(repairs, "set_boxes", set_boxes)
    report = validate(tmp_path / "set", fix="safe")
    assert [finding.code for finding in report] == ["CI034"]
    assert [line for line in report.not_fixed if "CI034" in line and "not fixed: no mask" in line]
    assert json.loads(val.read_text())["annotations"][0]["bbox"] != [6, 6, 20, 28]


def test_what_was_taken_out_of_other_files_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = spoiled(tmp_path / "set")
    for path in (train, val):
        change(path, lambda data: data["categories"].append({"id": 4, "name": "nothing", "supercategory": ""}))
    full_disk(b"val0.jpg", monkeypatch)
    report = validate(tmp_path / "set", fix="unsafe", select=["CI017"])
    assert "nothing" not in train.read_text()
    assert "nothing" in val.read_text()
    (removed,) = report.removed
    assert "instances_train2017.json" in removed


def test_one_of_many_fixes_that_cannot_be_worked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = spoiled(tmp_path / "set")

    def half_a_pixel_out(data: dict[str, Any]) -> None:
        square, points = data["annotations"][5], [80.0, 10, 96.4, 10, 96.4, 30, 80, 30]
        square.update(segmentation=[points], bbox=[80, 10, 16.4, 20], area=328)
        data["annotations"] = [{**square, "id": number, "image_id": 1 + number % 3} for number in range(1, 41)]
        data["annotations"][17]["segmentation"] = [[*points, 77.0, 20.0]]

    change(train, half_a_pixel_out)
    real = repairs.flat

    def flat(points: Any) -> Any:
        if 77.0 in points:
            raise ValueError("an odd outline")
        return real(points)

    monkeypatch.setattr(repairs, "flat", flat)
    report = validate(train, fix="safe", select=["CI024"])
    assert len(report.fixed) == 39
    (line,) = report.not_fixed
    assert "annotation 18 " in line
    assert "not fixed: an odd outline" in line
    assert [finding.annotation_id for finding in report] == [18]
    assert json.loads(train.read_text())["annotations"][39]["segmentation"] == [[80, 10, 96, 10, 96, 30, 80, 30]]
