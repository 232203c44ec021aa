"""Label Studio's JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from folders import kinds, labels, masks, one, picture, read, reasons

from seg2knet.converters.detection import detect
from seg2knet.converters.readers.common.canvas import NotAnObject
from seg2knet.converters.readers.labelstudio import LabelStudioOptions, LabelStudioReader, brush_mask
from seg2knet.errors import DataError, UsageError

POINTS = [[10, 10], [50, 10], [50, 50], [10, 50]]


def region(
    kind: str = "polygonlabels", label: str = "cat", size: Optional[tuple[int, int]] = (20, 10), **value: Any
) -> dict[str, Any]:
    """An item of a result."""
    value = value or {"points": POINTS, "closed": True}
    sizes = {"original_width": size[0], "original_height": size[1]} if size else {}
    return {"type": kind, "value": {**value, kind: [label]}, **sizes}


def annotation(*results: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": 7, "was_cancelled": False, "result": list(results), **fields}


def task(*annotations: Any, image: Any = "/data/upload/3/e97d4735-a.jpg", **fields: Any) -> dict[str, Any]:
    return {"id": 4, "data": {"text": "a cat", "image": image}, "annotations": list(annotations), **fields}


def studio(root: Path, *tasks: Any) -> Path:
    picture(root / "images/a.jpg", 20, 10)
    (root / "project.json").write_text(json.dumps(list(tasks)))
    return root


def reader(root: Path, **options: Any) -> LabelStudioReader:
    return LabelStudioReader(root, LabelStudioOptions(**options))


def packed(mask: np.ndarray, literal: bool = False) -> list[int]:
    """A brush stroke as Label Studio writes it: in runs, or value by value."""
    values = np.repeat(mask.astype(np.uint8).reshape(-1) * 255, 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    edges = [0, *(np.flatnonzero(np.diff(values.astype(int))) + 1), len(values)]
    for start, end in zip(edges, edges[1:]):
        length = end - start
        if literal:
            bits += f"011{length - 1:016b}" + f"{values[start]:08b}" * length
        else:
            bits += f"111{length - 1:016b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def test_percent_become_pixels(tmp_path: Path) -> None:
    sample = one(reader(studio(tmp_path, task(annotation(region())))))
    assert sample.objects[0].shape.parts == [[2.0, 1.0, 10.0, 1.0, 10.0, 5.0, 2.0, 5.0]]
    assert (sample.image.name, labels(sample)) == ("a.jpg", ["cat"])


@pytest.mark.parametrize("image", ["/data/upload/3/e97d4735-a.jpg", "https://host/x/a.jpg?token=1", "s3://bucket/a.jpg",
                                   "/data/local-files/?d=set%2Fa.jpg", "a.jpg"])  # fmt: skip
def test_images_are_found_whatever_the_url(tmp_path: Path, image: str) -> None:
    sample = one(reader(studio(tmp_path, task(annotation(region(size=None)), image=image))))
    assert sample.image.path is not None
    assert sample.image.name == "a.jpg"


def test_a_turned_rectangle_goes_round_its_upper_left_corner(tmp_path: Path) -> None:
    upright = region("rectanglelabels", x=10, y=20, width=20, height=40, rotation=0)
    turned = region("rectanglelabels", x=50, y=20, width=20, height=40, rotation=90)
    sample = one(reader(studio(tmp_path, task(annotation(upright, turned)))))
    assert reasons(sample) == ["box-only"]
    # 4 by 4 pixels at (10, 2), turned by a quarter: it lies to the left of the corner.
    (mask,) = masks(sample)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (6, 9, 2, 5)
    assert len(one(reader(tmp_path, boxes="as-polygons")).objects) == 2


def test_an_ellipse(tmp_path: Path) -> None:
    ellipse = region("ellipselabels", x=50, y=50, radiusX=20, radiusY=40, rotation=0)
    (mask,) = masks(one(reader(studio(tmp_path, task(annotation(ellipse))))))
    assert mask.sum() == pytest.approx(math.pi * 4 * 4, rel=0.1)


@pytest.mark.parametrize("literal", [False, True])
def test_brush_strokes_with_holes(tmp_path: Path, literal: bool) -> None:
    drawn = np.zeros((10, 20), bool)
    drawn[2:8, 3:15] = True
    drawn[4:6, 6:9] = False
    stroke = region("brushlabels", format="rle", rle=packed(drawn, literal))
    (mask,) = masks(one(reader(studio(tmp_path, task(annotation(stroke))))))
    assert (mask == drawn).all()


@pytest.mark.parametrize(
    "rle", [[], [0, 0, 3, 32], [0, 0, 3, 32, 57, 27, 255], [0, 0, 3, 32, 255, 255, 255, 255], [1e9], "a"]
)
def test_damaged_strokes_are_told(tmp_path: Path, rle: Any) -> None:
    sample = one(reader(studio(tmp_path, task(annotation(region("brushlabels", rle=rle), region())))))
    assert len(sample.objects) == len(sample.skips) == 1


def test_a_stroke_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(NotAnObject, match="pixels of 4"):
        brush_mask(packed(np.ones((10, 20), bool)), 11, 20)


def test_geometry_and_label_of_one_id_are_one_region(tmp_path: Path) -> None:
    shape = {**region("polygon", points=POINTS), "id": "q"}
    del shape["value"]["polygon"]
    named = {**region("labels", "dog", points=POINTS), "id": "q"}
    relation = {"type": "relation", "from_id": "q", "to_id": "r"}
    sample = one(reader(studio(tmp_path, task(annotation(shape, named, relation)))))
    assert labels(sample) == ["dog"]
    assert not sample.skips


def test_what_has_no_area_is_told(tmp_path: Path) -> None:
    items = [region("keypointlabels", x=1, y=1, width=0.5), region(points=POINTS, closed=False), region(label="")]
    assert reasons(one(reader(studio(tmp_path, task(annotation(*items)))))) == [
        "point-has-no-area", "line-has-no-area", "no-label",
    ]  # fmt: skip


def test_several_annotators(tmp_path: Path) -> None:
    first = annotation(region(label="cat"), created_at="2024-01-01", ground_truth=True)
    second = annotation(region(label="dog"), created_at="2024-02-01", completed_by={"id": 9, "email": "b@x.org"})
    root = studio(tmp_path, task(first, second, annotation(region(label="cow"), was_cancelled=True)))
    with pytest.raises(UsageError, match="--annotator"):
        reader(root).scan()
    chosen = {
        "newest": ["dog"],
        "ground-truth": ["cat"],
        "all": ["cat", "dog"],
        "7": ["cat"],
        "b@x.org": ["dog"],
        "0": [],
    }
    for annotator, expected in chosen.items():
        found = reader(root, annotator=annotator)
        assert labels(one(found)) == expected
        assert kinds(found.scan()) == ["cancelled-annotation"]


def test_predictions_only_if_asked_for(tmp_path: Path) -> None:
    root = studio(tmp_path, task(predictions=[{"score": 0.5, "result": [region(label="guess")]}]))
    assert not one(reader(root)).objects
    assert labels(one(reader(root, predictions=True))) == ["guess"]


def test_a_task_of_several_images(tmp_path: Path) -> None:
    picture(tmp_path / "images/b.jpg", 20, 10)
    results = [{**region(label="cat"), "item_index": 0}, {**region(label="dog"), "item_index": 1}]
    root = studio(tmp_path, task(annotation(*results), image=["/x/a.jpg", "/x/b.jpg"]))
    assert {name: labels(sample) for name, sample in read(reader(root)).items()} == {"a.jpg": ["cat"], "b.jpg": ["dog"]}


def test_json_min(tmp_path: Path) -> None:
    value = {**region()["value"], "original_width": 20, "original_height": 10}
    row = {"id": 1, "image": "/data/upload/3/e97d4735-a.jpg", "label": [value], "choice": "sunny", "annotator": 1,
           "annotation_id": 5, "created_at": "", "updated_at": "", "lead_time": 3.5}  # fmt: skip
    assert labels(one(reader(studio(tmp_path, row)))) == ["cat"]


def test_brush_and_polygons_of_one_model_agree(shared: Path, tmp_path: Path) -> None:
    root = shared / "corpora/labelstudio+brush__label-studio-ml-backend__yolo_predictions"
    found = []
    for name in ("brush", "polygon"):
        predictions = json.loads((root / f"test_{name}_labels.json").read_text())
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"id": 1, "data": {"image": "/x/car.jpg"}, "predictions": predictions}]))
        found.append(masks(one(reader(path, predictions=True, images=root))))
    overlaps = [(a & b).sum() / (a | b).sum() for a, b in zip(*found)]
    assert len(overlaps) == 3
    assert min(overlaps) > 0.9


def test_the_frontends_own_sample(shared: Path, tmp_path: Path) -> None:
    """Twenty items, geometry apart from label; a soft brush: alpha above 0 counts."""
    root = shared / "corpora/labelstudio+brush__label-studio-frontend__image_tools"
    document = json.loads((root / "annotation_1.json").read_text())
    (tmp_path / "a.json").write_text(
        json.dumps([{**document, "data": json.loads((root / "tasks.json").read_text())[0]["data"]}])
    )
    sample = one(reader(tmp_path, boxes="as-polygons"))
    assert (sample.image.width, sample.image.height) == (2242, 2802)
    assert 59_413 in [int(mask.sum()) for mask in masks(sample)]


def test_exports_of_the_sdk(shared: Path) -> None:
    root = shared / "corpora/labelstudio-json__label-studio-sdk__converter_tests"
    assert labels(one(reader(root / "polygon.json"))) == ["Airplane"]
    turned = read(reader(root / "rotated_rectangles.json"))
    assert sum(len(sample.objects) for sample in turned.values()) == 25
    assert labels(one(reader(root / "json_min_input.json"))) == ["Airplane"]
    with pytest.raises(UsageError, match="several annotations"):
        reader(root / "rectangles_several_tasks.json").scan()


def stored(tmp_path: Path, task: Any) -> Path:
    """An annotation as Label Studio puts it into a target storage: a file of its own, apart from its task."""
    value = {"points": [[0, 0], [50, 0], [50, 50]], "closed": True, "polygonlabels": ["car"]}
    result = [{"id": "r", "type": "polygonlabels", "value": value, "original_width": 20, "original_height": 10}]
    (tmp_path / "7.json").write_text(json.dumps({"id": 7, "result": result, "was_cancelled": False, "task": task}))
    return tmp_path


def test_an_annotation_kept_apart_from_its_task(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 20, 10)
    source = stored(tmp_path, {"id": 3, "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}})
    assert detect([source])[0] == "labelstudio"
    assert labels(one(LabelStudioReader(source))) == ["car"]


def test_an_annotation_whose_task_is_but_a_number_says_which_export_to_choose(tmp_path: Path) -> None:
    source = stored(tmp_path, 3)
    assert detect([source])[0] == "labelstudio"
    with pytest.raises(DataError, match="without their tasks") as problem:
        LabelStudioReader(source).scan()
    assert "Export" in str(problem.value.hint)
