"""Labelbox's exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import kinds, labels, mask, masks, one, picture, read, reasons

from seg2knet.converters.readers.coco.reader import CocoOptions, CocoReader
from seg2knet.converters.readers.labelbox import LabelboxOptions, LabelboxReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError, UsageError

TRIANGLE = [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 9, "y": 7}]


def row(*objects: Any, labels: int = 1, name: str = "a.jpg", **projects: Any) -> dict[str, Any]:
    label = {"annotations": {"objects": list(objects), "classifications": []}}
    return {
        "data_row": {"id": "r", "external_id": name, "global_key": "k", "row_data": "https://host/x/a.jpg"},
        "media_attributes": {"width": 20, "height": 10, "mime_type": "image/jpg"},
        "projects": projects or {"p": {"name": "mine", "labels": [label] * labels}},
    }


def polygon(name: str = "cat", **fields: Any) -> dict[str, Any]:
    return {"feature_id": "f", "name": name, "annotation_kind": "ImagePolygon", "polygon": TRIANGLE, **fields}


def export(root: Path, *rows: Any) -> Path:
    picture(root / "images/a.jpg", 20, 10)
    (root / "export.ndjson").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return root


def reader(root: Path, **options: Any) -> LabelboxReader:
    return LabelboxReader(root, LabelboxOptions(**options))


def test_rows_of_polygons_boxes_and_lines(tmp_path: Path) -> None:
    box = {"name": "dog", "bounding_box": {"left": 2, "top": 3, "width": 4, "height": 2}}
    line = {"name": "l", "line": TRIANGLE}
    root = export(tmp_path, row(polygon(), box, line, {"name": "p", "point": {"x": 1, "y": 1}}))
    sample = one(reader(root))
    assert sample.objects[0].shape == Polygons([[1, 1, 9, 1, 9, 7]])
    assert reasons(sample) == ["box-only", "line-has-no-area", "point-has-no-area"]
    assert masks(one(reader(root, boxes="as-polygons")))[1].sum() == 8


def test_masks_are_taken_from_files_and_never_fetched(tmp_path: Path) -> None:
    single = {"feature_id": "m1", "name": "cat", "mask": {"url": "https://api.labelbox.com/masks/feature/m1"}}
    composite = {"feature_id": "m2", "name": "dog", "composite_mask": {"url": "https://...", "color_rgb": [9, 8, 7]}}
    root = export(tmp_path, row(single, composite))
    sample = one(reader(root))
    assert reasons(sample) == ["mask-is-a-url"] * 2
    assert "m1.png" in sample.skips[0].detail
    drawn = np.zeros((10, 20), np.uint8)
    drawn[2:5, 3:9] = 255
    mask(root / "masks/m1.png", drawn)
    colored = np.zeros((10, 20, 3), np.uint8)
    colored[6:8, 1:5] = (9, 8, 7)
    colored[8, 8] = (1, 2, 3)
    mask(root / "masks/m2.png", colored)
    assert [int(found.sum()) for found in masks(one(reader(root)))] == [18, 8]
    (root / "masks/m1.png").write_bytes(b"no PNG")
    sample = one(reader(root))
    assert (labels(sample), reasons(sample)) == (["dog"], ["mask-unreadable"])


def test_several_labels_and_projects(tmp_path: Path) -> None:
    root = export(tmp_path, row(polygon(), labels=2))
    with pytest.raises(UsageError, match="--label"):
        reader(root).scan()
    assert len(one(reader(root, label=-1)).objects) == 1
    project = row(polygon())["projects"]["p"]
    root = export(tmp_path, row(one={**project, "name": "first"}, two=project))
    with pytest.raises(UsageError, match="--project"):
        reader(root).scan()
    assert len(one(reader(root, project="first")).objects) == 1


def test_version_1(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 20, 10)
    objects = [{"featureId": "f", "title": "cat", "polygon": TRIANGLE, "instanceURI": "https://..."},
               {"featureId": "g", "title": "dog", "bbox": {"left": 2, "top": 3, "width": 4, "height": 2}},
               {"featureId": "h", "title": "cow", "instanceURI": "https://..."}]  # fmt: skip
    first = {
        "ID": "1",
        "Labeled Data": "https://host/a.jpg?token=1",
        "External ID": None,
        "Label": {"objects": objects},
    }
    skipped = {**first, "External ID": "b.jpg", "Label": "Skip"}
    oldest = {**first, "External ID": "c.jpg", "Label": {"cat": [{"geometry": TRIANGLE}]}}
    for name in ("b.jpg", "c.jpg"):
        picture(tmp_path / name, 20, 10)
    (tmp_path / "export.json").write_text(json.dumps([first, skipped, oldest]))
    found = reader(tmp_path)
    assert kinds(found.scan()) == ["skipped-by-annotator"]
    samples = read(found)
    assert {name: labels(sample) for name, sample in samples.items()} == {
        "a.jpg": ["cat"],
        "b.jpg": [],
        "c.jpg": ["cat"],
    }
    assert reasons(samples["a.jpg"]) == ["box-only", "mask-is-a-url"]


def test_not_ndjson(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"a": 1}\n{')
    with pytest.raises(DataError, match="NDJSON"):
        reader(tmp_path).scan()


def test_boxes_of_a_real_export(shared: Path) -> None:
    found = read(reader(shared / "corpora/labelbox-v2-ndjson__labelformat__object_detection", boxes="as-polygons"))
    twin = read(
        CocoReader(shared / "corpora/coco-det__labelformat__weird_names/COCO", CocoOptions(boxes="as-polygons"))
    )
    assert {f"train:{name}" for name in found} == twin.keys()
    for name, sample in found.items():
        assert sorted(labels(sample)) == sorted(labels(twin[f"train:{name}"]))


def test_version_1_of_the_real_tool(shared: Path, tmp_path: Path) -> None:
    path = shared / "corpora/labelbox__labelbox-python__tests_data/v1/image_export.json"
    name = next(iter(reader(path).scan().handles)).name
    picture(tmp_path / name, 2560, 1920)
    sample = one(reader(path, images=tmp_path, boxes="as-polygons"))
    assert len(sample.objects) == 6
    assert sorted(set(reasons(sample))) == ["line-has-no-area", "mask-is-a-url", "point-has-no-area"]
