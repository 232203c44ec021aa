"""Contact sheets: what ``convert`` leaves beside the data, and what ``stats`` draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from drawn import polygon

import seg2knet
from seg2knet.cli import cli
from seg2knet.converters.registry import reader
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.drawing import contact_sheet
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.dataset.sample import Image, Object, Polygons, Sample

Make = Callable[..., Path]
TARGETS = ["coco", "panoptic", "ade", "yolo", "labelme", "cvat", "labelstudio", "voc", "masks"]


def convert(root: Path, out: Path, **options: Any) -> Any:
    return seg2knet.convert("labelme", root, out=out, split="train", jobs=1, **options)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_one_that_is_no_image_of_it(labelme: Make, tmp_path: Path, target: str) -> None:
    labelme("a.jpg", [polygon("car")])
    root, out = labelme("b.png", [polygon("tree")]), tmp_path / "out"
    result = convert(root, out, to=target)
    data = (out / "sheet.jpg").read_bytes()
    assert len(data) < 1_000_000
    assert "sheet.jpg" in json.loads((out / "seg2knet-ledger.json").read_text())["files"][""]
    assert result.problems == {}
    assert all(not report.exit_code for report in result.reports.values())
    again = reader("coco" if target == "panoptic" else target)(out).scan()
    assert len(again.handles) == 2
    assert not again.skips
    assert not any("sheet" in f"{note.place}{note.detail}" for note in again.notes)
    convert(root, out, to=target, sheet=False)
    assert not (out / "sheet.jpg").exists()


def test_objects_are_in_their_classes_colours(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        cv2.imwrite(str(path), np.full((60, 80, 3), 255, np.uint8))
    mask = np.zeros((60, 80), bool)
    mask[:, 40:] = True
    classes = ClassList.of(["car", "tree"])
    shapes = [Object("car", Polygons([[0, 0, 40, 0, 40, 60, 0, 60]])), Object("tree", mask_to_rle(mask))]
    samples = [Sample(Image(path.name, 80, 60, str(path)), (shape,)) for path, shape in zip(paths, shapes)]
    gone = Sample(Image("c.png", 80, 60, str(tmp_path / "c.png")))
    data = contact_sheet({"train": [*samples, gone]}, classes)
    assert data is not None
    page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)
    for place, (x, y) in enumerate([(30, 200), (334 + 290, 200)]):
        expected = 0.55 * 255 + 0.45 * np.array(classes.color(place)[::-1])
        assert np.abs(page[20 + y, x] - expected).max() < 16
        assert page[20 + y, 334 * place + 320 - (x - 334 * place)].min() > 235
    assert contact_sheet({"train": [gone]}, classes) is None


def test_a_large_noisy_set_stays_below_a_megabyte(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    samples = [Sample(Image("a.png", 320, 240, str(tmp_path / "a.png")))] * 16
    data = contact_sheet({"train": samples, "val": samples, "test": samples}, ClassList.of(["car"]))
    assert data is not None
    assert len(data) < 1_000_000


def test_stats_draws_one(labelme: Make, tmp_path: Path) -> None:
    convert(labelme(), tmp_path / "out", sheet=False)
    done = CliRunner().invoke(cli, ["stats", str(tmp_path / "out"), "--sheet", str(tmp_path / "s.jpg")])
    assert done.exit_code == 0, done.output
    assert cv2.imread(str(tmp_path / "s.jpg")) is not None
