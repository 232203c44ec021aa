"""Panoptic and semantic masks: what the images show is what the files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn import mask_shape, polygon

import seg2knet
from seg2knet.converters.writers.panoptic import png_name, segment_id

Make = Callable[..., Path]


def square(label: str, x: int, y: int, side: int = 10, **extra: Any) -> dict[str, Any]:
    return polygon(label, x, y, x + side, y, x + side, y + side, x, y + side, **extra)


def convert(root: Path, out: Path, **options: Any) -> Any:
    return seg2knet.convert(
        "labelme", root, out=out, **{"to": "panoptic", "split": "train", "validate": False, "jobs": 1, **options}
    )


def load(out: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    document = json.loads((out / "annotations" / "panoptic_train2017.json").read_text())
    folder = out / "annotations" / "panoptic_train2017"
    ids = []
    for entry in document["annotations"]:
        pixels = cv2.imread(str(folder / entry["file_name"]), cv2.IMREAD_UNCHANGED)
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
        ids.append(pixels.astype(int) @ [65536, 256, 1])
    return document, ids


def check(document: dict[str, Any], ids: list[np.ndarray]) -> None:
    """All that panopticapi's evaluation asserts, and the areas and boxes besides."""
    for entry, picture in zip(document["annotations"], ids):
        segments = {segment["id"]: segment for segment in entry["segments_info"]}
        assert len(segments) == len(entry["segments_info"])
        assert set(np.unique(picture)) - {0} == set(segments)
        for number, segment in segments.items():
            ys, xs = np.nonzero(picture == number)
            assert segment["area"] == len(ys)
            assert segment["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]


def test_things_one_each_stuff_one_a_class(labelme: Make, tmp_path: Path) -> None:
    shapes = [square("sky", 0, 0), square("car", 5, 5), square("sky", 20, 0), square("car", 25, 15)]
    result = convert(labelme("a.jpg", shapes), tmp_path / "out", stuff=["sky"])
    document, ids = load(tmp_path / "out")
    check(document, ids)
    assert [(c["id"], c["name"], c["isthing"]) for c in document["categories"]] == [(1, "car", 1), (2, "sky", 0)]
    assert all(len(c["color"]) == 3 for c in document["categories"])
    segments = document["annotations"][0]["segments_info"]
    assert [(segment["category_id"], segment["area"]) for segment in segments] == [(2, 175), (1, 100), (1, 100)]
    instances = json.loads((tmp_path / "out" / "annotations" / "instances_train2017.json").read_text())
    assert [entry["category_id"] for entry in instances["annotations"]] == [1, 1]
    assert [c["name"] for c in instances["categories"]] == ["car"]
    assert result.ledger.unasked == 0
    assert result.ledger.written == {"coco": 2, "panoptic": 4}


@pytest.mark.parametrize(
    ("overlap", "small_area", "large_area"), [("z-order", 0, 400), ("last", 0, 400), ("small-first", 100, 300)]
)
def test_who_has_a_pixel(labelme: Make, tmp_path: Path, overlap: str, small_area: int, large_area: int) -> None:
    root = labelme("a.jpg", [square("small", 5, 5), square("large", 0, 0, 20)])
    result = convert(root, tmp_path / "out", overlap=overlap)
    document, ids = load(tmp_path / "out")
    check(document, ids)
    names = {c["id"]: c["name"] for c in document["categories"]}
    areas = {names[s["category_id"]]: s["area"] for s in document["annotations"][0]["segments_info"]}
    assert areas == {name: area for name, area in (("small", small_area), ("large", large_area)) if area}
    hidden = result.ledger.target_skips.get("panoptic", {})
    assert {reason: tally.count for reason, tally in hidden.items()} == ({} if small_area else {"hidden-by-others": 1})
    assert result.ledger.imbalance() is None


def test_void_and_regions_to_be_ignored(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [square("car", 0, 0), square("__ignore__", 5, 0), square("__ignore__", 20, 20, 5)])
    convert(root, tmp_path / "out", to="panoptic,ade")
    document, ids = load(tmp_path / "out")
    check(document, ids)
    assert [segment["area"] for segment in document["annotations"][0]["segments_info"]] == [50]
    convert(root, tmp_path / "named", void_class="rest", to="panoptic,ade")
    document, ids = load(tmp_path / "named")
    check(document, ids)
    assert [c["name"] for c in document["categories"]] == ["car", "rest"]
    assert [segment["area"] for segment in document["annotations"][0]["segments_info"]] == [50, 40 * 30 - 50 - 125]
    mask = cv2.imread(str(tmp_path / "named/annotations/training/a.png"), cv2.IMREAD_UNCHANGED)
    assert np.bincount(mask.ravel()).tolist() == [125, 50, 1025]


def test_image_of_one_pixel(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.png", [mask_shape("dot", np.ones((1, 1)), 0, 0)], size=(1, 1))
    convert(root, tmp_path / "out", to="panoptic,ade")
    document, ids = load(tmp_path / "out")
    check(document, ids)
    assert document["annotations"][0]["segments_info"][0]["area"] == 1


def test_ten_thousand_instances(labelme: Make, tmp_path: Path) -> None:
    dots = [square("dot", x, y, 1) for y in range(0, 50, 2) for x in range(0, 80, 2)]
    for index in range(10):
        root = labelme(f"{index}.png", dots, size=(80, 50))
    convert(root, tmp_path / "out")
    document, ids = load(tmp_path / "out")
    check(document, ids)
    assert [len(entry["segments_info"]) for entry in document["annotations"]] == [1000] * 10


def test_ids_are_never_zero_and_never_twice() -> None:
    numbers = np.array([segment_id(number) for number in range(1, 65_536)])
    assert len(set(numbers.tolist())) == len(numbers)
    assert numbers.min() > 0
    assert numbers.max() < 1 << 24
    assert segment_id(0) == 0


def test_names_that_mmdet_derives() -> None:
    assert png_name("a/b.jpg") == "a/b.png"
    assert png_name("x.jpg.v2.jpg") == "x.png.v2.png"
    assert png_name("a.png") == "a.png"


def test_panopticapi_reads_and_scores_it(labelme: Make, tmp_path: Path) -> None:
    pq_compute = pytest.importorskip("panopticapi.evaluation").pq_compute
    for name in ("a.jpg", "b.jpg"):
        root = labelme(name, [square("sky", 0, 0, 20), square("car", 5, 5), square("car", 25, 15)])
    convert(root, tmp_path / "out", stuff=["sky"])
    file = str(tmp_path / "out" / "annotations" / "panoptic_train2017.json")
    scores = pq_compute(file, file, file[: -len(".json")], file[: -len(".json")])
    assert scores["All"]["pq"] == 1.0
    assert (scores["Things"]["n"], scores["Stuff"]["n"]) == (1, 1)
