"""Who has a pixel that several objects claim, where nobody says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn import polygon

from seg2knet.converters.api import convert

Make = Callable[..., Path]
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
WALL = [[0, 0, 40, 0, 40, 30, 0, 30]]
WINDOW = [[5, 5, 15, 5, 15, 15, 5, 15]]


def annotation(number: int, category: int, parts: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": category, "segmentation": parts, "iscrowd": 0}


def segments(folder: Path) -> int:
    document = json.loads((folder / "annotations/panoptic_train2017.json").read_text())
    return sum(len(entry["segments_info"]) for entry in document["annotations"])


def categories(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "name": "window", **fields}, {"id": 2, "name": "wall"}]


def run(source: Path, out: Path, **options: Any) -> Any:
    return convert("coco", source, to="panoptic", out=out, split="train", jobs=1, validate=False, **options)


def test_coco_says_no_order_so_the_smaller_one_is_seen(coco: Make, tmp_path: Path) -> None:
    source = coco([IMAGE], [annotation(1, 1, WINDOW), annotation(2, 2, WALL)], categories())
    assert not run(source, tmp_path / "out").ledger.target_skips
    assert segments(tmp_path / "out") == 2
    result = run(source, tmp_path / "other", overlap="last")
    (tally,) = result.ledger.target_skips["panoptic"].values()
    assert "--overlap" in str(tally.places[0])


def test_things_lie_over_stuff(coco: Make, tmp_path: Path) -> None:
    source = coco([IMAGE], [annotation(1, 2, WALL), annotation(2, 1, WINDOW)], categories())
    result = run(source, tmp_path / "out", stuff=["window"])
    assert result.ledger.target_skips["panoptic"]["hidden-by-others"].count == 1


def test_labelme_says_an_order(labelme: Make, tmp_path: Path) -> None:
    root = labelme(shapes=[polygon("window", *WINDOW[0]), polygon("wall", *WALL[0])])
    options = {"to": "panoptic", "split": "train", "jobs": 1, "validate": False}
    result = convert("labelme", root, out=tmp_path / "out", **options)
    assert result.ledger.target_skips["panoptic"]["hidden-by-others"].count == 1


@pytest.mark.parametrize("target", ["coco,panoptic", "ade"])
def test_things_alone_are_no_error(coco: Make, tmp_path: Path, target: str) -> None:
    source = coco([IMAGE], [annotation(1, 1, WINDOW), annotation(2, 2, WALL)], categories())
    result = convert("coco", source, to=target, out=tmp_path / "out", split="train", jobs=1)
    assert all(report.exit_code == 0 for report in result.reports.values())
