"""Suspects as shapes for a label tool: corrected there, and converted again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from squares import annotation, draw, result, truth

pytest.importorskip("mmdet")

import seg2knet
from seg2knet.converters.predictions import PredictedSet
from seg2knet.dataset.classes import ClassList
from seg2knet.judge.objects import Judged
from seg2knet.judge.suspects import Suspect
from seg2knet.trainer.evaluate.audit import Audit

SQUARE = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]


@pytest.fixture
def audited(tmp_path: Path) -> Audit:
    wrong = {**annotation(1, 1, 1, 10, 10), "segmentation": SQUARE}
    content = truth(wrong, annotation(2, 1, 2, 50, 50), annotation(3, 2, 3, 10, 10), images=3)
    found = [result(2, 1, 60, 60, 0.8)]
    ranked = [
        Suspect("wrong class", 0.9, 1, (1,), None, 2, "annotated car, the model says dog with score 0.80"),
        Suspect("missing", 0.6, 2, (), 0, 1, "car with score 0.80; nothing is annotated there"),
        Suspect("spurious", 0.1, 3, (), None, None, "not among the first"),
    ]
    judged = Judged(content, found, draw(tmp_path / "images", content))
    return Audit(tmp_path, "train", tmp_path / "instances_train2017.json", ranked, judged, 0.0)


def test_images_with_suspects_have_all_their_objects(audited: Audit) -> None:
    first, second = audited.samples(2)
    assert [(item.label, (item.attributes or {}).get("suspect")) for item in first.objects] == [
        ("car", "wrong class"), ("dog", None),
    ]  # fmt: skip
    assert [(item.label, (item.attributes or {}).get("suspect")) for item in second.objects] == [
        ("tree", None), ("car", "missing"),
    ]  # fmt: skip
    assert getattr(first.objects[0].shape, "parts", None) == SQUARE, "polygons stay polygons"


@pytest.mark.parametrize("tool", ["labelme", "cvat"])
def test_shapes_are_converted_again(audited: Audit, tmp_path: Path, tool: str) -> None:
    target = PredictedSet(tool, tmp_path / "out", ClassList.of(["car", "dog", "tree"]))
    for sample in audited.samples(2):
        target.add(sample)
    target.close()
    assert list(target.skipped()) == []
    written = "".join(file.read_text() for file in target.root.rglob("*") if file.suffix in (".json", ".xml"))
    assert "annotated car, the model says dog with score 0.80" in written
    seg2knet.convert(tool, str(target.root), to="coco", out=tmp_path / "again", split={"train": 1.0})
    content = json.loads((tmp_path / "again" / "annotations" / "instances_train2017.json").read_bytes())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert sorted(names[entry["category_id"]] for entry in content["annotations"]) == ["car", "car", "dog", "tree"]
