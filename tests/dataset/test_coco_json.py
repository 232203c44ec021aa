"""A COCO file read as training needs it, and what is said of a file that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seg2knet.dataset import coco_json
from seg2knet.errors import DataError

IMAGE = {"id": 1, "file_name": "a.jpg", "height": 4, "width": 6, "license": 3}


def written(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "annotations" / "file.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_instances(tmp_path: Path) -> None:
    annotation = {"image_id": 1, "category_id": "7", "bbox": [0, 0, 2, 2], "segmentation": [[0, 0, 2, 0, 2, 2]]}
    document = {"images": [IMAGE], "categories": [{"id": 7, "name": "car"}], "annotations": [annotation]}
    content = coco_json.read(written(tmp_path, document), coco_json.Instances)
    assert content.images == [coco_json.Image(1, "a.jpg", 4, 6)]
    assert content.annotations is not None
    assert [(a.category_id, a.iscrowd, json.loads(bytes(a.segmentation))) for a in content.annotations] == [
        (7, 0, [[0, 0, 2, 0, 2, 2]])
    ]


def test_a_list_of_images_alone_has_no_annotations(tmp_path: Path) -> None:
    assert coco_json.read(written(tmp_path, {"images": [IMAGE]}), coco_json.Instances).annotations is None


def test_panoptic(tmp_path: Path) -> None:
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 9, "category_id": 2, "iscrowd": 1}]}
    content = coco_json.read(written(tmp_path, {"images": [IMAGE], "annotations": [annotation]}), coco_json.Panoptic)
    assert content.annotations is not None
    assert content.annotations[0].segments_info == [coco_json.Segment(9, 2, 1)]


@pytest.mark.parametrize("text", ["{", '{"images": 3}', '{"images": [{"id": 1}]}', "\ufeff{}"])
def test_what_is_no_coco_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="not a COCO annotation file"):
        coco_json.read(path, coco_json.Instances)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        coco_json.read(tmp_path / "x.json", coco_json.Instances)
