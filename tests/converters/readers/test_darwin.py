"""V7 Darwin JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from folders import labels, masks, one, picture, reasons

from seg2knet.converters.base import ReaderOptions
from seg2knet.converters.readers.darwin import DarwinReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError


def ring(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


SQUARE = ring((1, 1), (9, 1), (9, 7), (1, 7))
INNER = ring((3, 3), (6, 3), (6, 5), (3, 5))
FAR = ring((12, 1), (16, 1), (16, 5), (12, 5))


def darwin(root: Path, *annotations: Any, slot: str = "image") -> Path:
    picture(root / "images/a.jpg", 20, 10)
    item = {"name": "a.jpg", "path": "/day 1", "slots": [{"slot_name": "0", "type": slot, "width": 20, "height": 10}]}
    (root / "a.json").write_text(json.dumps({"version": "2.0", "item": item, "annotations": list(annotations)}))
    return root


def polygon(*paths: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "p", "name": "cat", "polygon": {"paths": list(paths)}, "bounding_box": {}, **fields}


def test_one_path_stays_a_polygon(tmp_path: Path) -> None:
    sample = one(DarwinReader(darwin(tmp_path, polygon(SQUARE))))
    assert sample.objects[0].shape == Polygons([[1, 1, 9, 1, 9, 7, 1, 7]])
    assert sample.image.path is not None


def test_paths_are_filled_even_odd(tmp_path: Path) -> None:
    sample = one(DarwinReader(darwin(tmp_path, polygon(SQUARE, INNER), polygon(SQUARE, FAR))))
    holed, parts = masks(sample)
    assert holed.sum() == 48 - 6
    assert parts.sum() == 48 + 16
    assert isinstance(sample.objects[1].shape, Polygons)


def test_version_1(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 20, 10)
    image = {"filename": "a.jpg", "width": 20, "height": 10}
    annotations = [
        {"name": "cat", "polygon": {"path": SQUARE}},
        {"name": "dog", "complex_polygon": {"path": [SQUARE, FAR]}},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"dataset": "x", "image": image, "annotations": annotations}))
    sample = one(DarwinReader(tmp_path))
    assert [(found.label, len(found.shape.parts)) for found in sample.objects] == [("cat", 1), ("dog", 2)]


def test_boxes_ellipses_and_what_has_no_area(tmp_path: Path) -> None:
    ellipse = {"name": "e", "ellipse": {"center": {"x": 10, "y": 5}, "radius": {"x": 4, "y": 2}, "angle": math.pi / 2}}
    box = {"name": "b", "bounding_box": {"x": 1, "y": 1, "w": 4, "h": 2}}
    others = [
        {"name": "t", "tag": {}},
        {"name": "k", "keypoint": {"x": 1, "y": 1}},
        {"name": "l", "line": {"path": []}},
    ]
    root = darwin(tmp_path, ellipse, box, *others, polygon(SQUARE, slot_names=["1"]))
    sample = one(DarwinReader(root))
    ys, xs = np.nonzero(masks(sample)[0])
    assert np.ptp(ys) > np.ptp(xs)
    assert reasons(sample) == [
        "box-only", "tag-has-no-area", "keypoint-has-no-area", "line-has-no-area", "of-another-slot",
    ]  # fmt: skip
    assert labels(one(DarwinReader(root, ReaderOptions(boxes="as-polygons")))) == ["e", "b"]


def test_raster_layers(tmp_path: Path) -> None:
    code = [0, 21, 1, 3, 0, 17, 2, 4, 0, 155]
    layer = {"dense_rle": code, "mask_annotation_ids_mapping": {"x": 1, "y": 2}, "total_pixels": 200}
    raster = {"id": "r", "name": "__raster_layer__", "raster_layer": layer}
    named = [{"id": key, "name": name, "mask": {}} for key, name in (("x", "cat"), ("y", "dog"), ("z", "cow"))]
    sample = one(DarwinReader(darwin(tmp_path, raster, *named)))
    assert labels(sample) == ["cat", "dog"]
    cat, dog = masks(sample)
    assert cat[1, 1:4].all()
    assert dog[2, 1:5].all()
    assert (cat.sum(), dog.sum()) == (3, 4)
    assert reasons(sample) == ["no-pixels"]
    layer["dense_rle"] = code[:-2]
    with pytest.raises(DataError, match="dense_rle"):
        one(DarwinReader(darwin(tmp_path, raster)))


def test_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="frames"):
        one(DarwinReader(darwin(tmp_path, slot="video")))


def test_masks_of_their_own_converter(shared: Path) -> None:
    """Their raster draws the border too, and at rounded points."""
    root = shared / "corpora/darwin2+masks__darwin-py__e2e_convert/instance_mask"
    ours = masks(one(DarwinReader(root / "from")))
    theirs = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0 for path in sorted((root / "to/masks").glob("*.png"))]
    values = [(a & b).sum() / (a | b).sum() for a, b in zip(ours, theirs)]
    assert len(values) == 3
    assert min(values) > 0.96


def test_the_raster_of_the_real_tool(shared: Path) -> None:
    sample = one(DarwinReader(shared / "corpora/darwin2+masks__darwin-py__e2e_convert/semantic_mask/from"))
    assert labels(sample) == ["box"]
    assert masks(sample)[0].sum() == 2253
