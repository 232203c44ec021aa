"""CI041 and CI046: pairs that are sorted out before masks are drawn are none that the masks would make findings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seg2knet.validators import validate
from seg2knet.validators.rules import coco_objects
from seg2knet.validators.subjects.outlines import areas_before, examine


def _polygons(random: np.random.Generator, thin: bool) -> tuple[list[float], list[float]]:
    """A polygon and a slightly moved copy: a star, or a box down to one pixel wide."""
    if thin:
        width, height = 1 + 4 * random.random(), 20 + 100 * random.random()
        points = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    else:
        angles = np.sort(random.random(20)) * 2 * np.pi
        radii = (5 + 60 * random.random()) * (0.6 + 0.4 * random.random(20))
        points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)
    points = points - points.min(0) + 5 + 100 * random.random(2)
    moved = points + random.normal(0, 2 * random.random(), points.shape) * (not thin) + random.random(2)
    return points.ravel().tolist(), moved.ravel().tolist()


def test_no_finding_is_sorted_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    annotations, images = [], []
    for number in range(400):
        images.append({"id": number + 1, "file_name": f"{number}.jpg", "width": 300, "height": 300})
        for copy, polygon in enumerate(_polygons(random, thin=number % 2 == 0)):
            annotation = {"image_id": number + 1, "category_id": 1 + copy * (number % 3 == 0), "iscrowd": 0}
            xs, ys = polygon[::2], polygon[1::2]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            area = float(examine([polygon]).areas[0])
            annotations.append(
                {**annotation, "id": len(annotations) + 1, "segmentation": [polygon], "bbox": box, "area": area}
            )
    categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))

    def findings() -> list[tuple[str, str]]:
        return [(each.rule.code, each.hit.message) for each in validate(path, select=["CI041", "CI046"]).findings]

    sorted_first = findings()
    monkeypatch.setattr(coco_objects, "_evenly_spread", lambda file, pairs: np.ones(len(pairs), bool))
    assert len(sorted_first) > 50
    assert {code for code, _ in sorted_first} == {"CI041", "CI046"}
    assert sorted_first == findings()


def test_areas_before() -> None:
    assert areas_before([], 0, np.zeros((8, 0))).shape == (8, 0)
    square, triangle = [0.0, 0, 4, 0, 4, 4, 0, 4], [1.0, 0, 5, 0, 1, 8]
    cuts = np.array([[1.0, 3.0], [9.0, 9.0]])
    assert areas_before([[square], [triangle]], 0, cuts).tolist() == [[4, 12], [16, 16]]
    assert areas_before([[square[::-1]], [triangle]], 1, np.array([[2.0, 8.0]])).tolist() == [[8, 16]]
    assert areas_before([[square, [6.0, 0, 6, 4, 8, 4, 8, 0]]], 0, np.array([[2.0], [7.0]])).tolist() == [
        [8],
        [20],
    ]


def of_one_image(tmp_path: Path, objects: list[tuple[int, list[list[float]]]]) -> Path:
    """A file of objects (class, polygons) on one image."""
    annotations = []
    for number, (category, parts) in enumerate(objects, 1):
        examined = examine(parts)
        (x0, y0), (x1, y1) = examined.extents[:, :2].min(0).tolist(), examined.extents[:, 2:].max(0).tolist()
        measures = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(examined.areas.sum()), "segmentation": parts}
        annotations.append({"id": number, "image_id": 1, "category_id": category, "iscrowd": 0, **measures})
    image = {"id": 1, "file_name": "a.jpg", "width": 300, "height": 300}
    categories = [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))
    return path


BOX, SPECK = [10.0, 10, 90, 10, 90, 90, 10, 90], [250.0, 250, 254, 250, 254, 254, 250, 254]


@pytest.mark.parametrize("first", [[BOX], [BOX, SPECK]])
def test_an_object_that_lacks_a_small_polygon_far_away_is_the_same(tmp_path: Path, first: list[list[float]]) -> None:
    second = [BOX] if len(first) == 2 else [SPECK, BOX]
    (finding,) = validate(of_one_image(tmp_path, [(1, first), (1, second)]), select=["CI041"])
    assert finding.annotation_id == 2
    assert finding.found == "IoU 0.998, same class"


def test_objects_of_several_classes_in_one_place_are_one_finding(tmp_path: Path) -> None:
    beside = [190.0, 10, 270, 10, 270, 90, 190, 90]
    objects = [(1 + number % 3, [BOX]) for number in range(300)]
    path = of_one_image(tmp_path, [*objects, (2, [beside]), (3, [beside])])
    findings = validate(path, select=["CI041", "CI046"]).findings
    assert sorted(each.annotation_id for each in findings if each.code == "CI041") == list(range(4, 301))
    assert [(finding.annotation_id, finding.message) for finding in findings if finding.code == "CI046"] == [
        (2, "the same object as annotation 1, there 'class 1' and here 'class 2', and as 298 more"),
        (302, "the same object as annotation 301, there 'class 2' and here 'class 3'"),
    ]
