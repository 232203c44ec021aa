"""The rules on ids, names and references hold for panoptic files too: each defect alone in a clean panoptic set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_sets import change, coco, codes

from seg2knet.validators.engine import validate

FILE = "annotations/panoptic_train2017.json"
Plant = Callable[[dict[str, Any]], Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return coco(tmp_path / "set")


def _entry(row: int, **values: Any) -> Plant:
    return lambda content: content["annotations"][row].update(values)


def _category(**values: Any) -> Plant:
    return lambda content: content["categories"].append(values)


def _segment(**values: Any) -> Plant:
    # The image's list alone: the builder gives the same one to every image.
    return lambda content: content["annotations"][1]["segments_info"][0].update(values)


CASES = [
    ("CI002", lambda content: content.pop("images"), None),
    ("CI003", _entry(1, image_id="2"), "safe"),
    ("CI045", _segment(iscrowd=False), "safe"),
    ("CI003", lambda content: content["images"][1].pop("file_name"), None),
    ("CI004", lambda content: content["images"].append(dict(content["images"][0])), "unsafe"),
    ("CI005", lambda content: content["images"].append({**content["images"][0], "id": 9}), "unsafe"),
    ("CI009", _entry(1, image_id=77), "unsafe"),
    ("CI010", _segment(category_id=77), None),
    ("CI011", _category(id=4, name="bus", isthing=0), None),
    ("CI012", _category(id=5, name="grass", isthing=0), "unsafe"),
    ("CI013", lambda content: content["categories"][3].update(name="grass "), "safe"),
    ("CI016", _category(id=5, name="_background_", isthing=0), "safe"),
    ("CI017", _category(id=5, name="bus", isthing=0), "unsafe"),
]


def test_clean(root: Path) -> None:
    assert codes(root, "CI", "SP", "KN", "CP", "IM") == []


def test_byte_order_mark(root: Path) -> None:
    path = root / FILE
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert codes(root, "CI") == ["CI001"]
    assert not validate(root, select=["CI"], fix="safe").findings


@pytest.mark.parametrize(("code", "plant", "fix"), CASES, ids=lambda each: each if isinstance(each, str) else "")
def test_defect(root: Path, code: str, plant: Plant, fix: str | None) -> None:
    change(root / FILE, plant)
    assert codes(root, "CI") == [code]
    finding = validate(root, select=["CI"]).findings[0]
    assert finding.file == FILE
    if fix is None:
        assert finding.fix.value == "none"
        return
    assert finding.fix.value == fix
    assert not validate(root, select=["CI"], fix=fix).findings
    assert not validate(root, select=["CI"], fix=fix).fixed


def test_ids_that_are_words(root: Path) -> None:
    def plant(content: dict[str, Any]) -> None:
        for entry in content["images"]:
            entry["id"] = f"img{entry['id']}"
        for entry in content["annotations"]:
            entry["image_id"] = f"img{entry['image_id']}"

    change(root / FILE, plant)
    assert codes(root, "CI") == ["CI003"] * 6
    assert not validate(root, select=["CI"], fix="safe").findings
    assert codes(root, "CP") == []


def test_categories_differ_between_splits(root: Path) -> None:
    change(root / "annotations/panoptic_val2017.json", lambda content: content["categories"].reverse())
    assert codes(root, "SP") == ["SP002"]
    assert not validate(root, select=["SP"], fix="safe").findings
    assert codes(root, "CI", "CP", "SP") == []


def test_category_ids_differ_between_splits(root: Path) -> None:
    def plant(content: dict[str, Any]) -> None:
        new = {1: 2, 2: 1, 3: 4, 4: 3}
        for entry in content["categories"]:
            entry["id"] = new[entry["id"]]
        for entry in content["annotations"]:
            infos = entry["segments_info"]
            entry["segments_info"] = [{**each, "category_id": new[each["category_id"]]} for each in infos]

    path = root / "annotations/panoptic_val2017.json"
    before = path.read_text()
    change(path, plant)
    # In the other order and under other ids than the instance file, which the fix sees to as well.
    assert "SP002" in codes(root, "SP")
    assert not validate(root, select=["SP"], fix="safe").findings
    assert json.loads(path.read_text()) == json.loads(before)


def test_class_missing_from_train(root: Path) -> None:
    def plant(content: dict[str, Any]) -> None:
        for entry in content["annotations"]:
            entry["segments_info"] = [each for each in entry["segments_info"] if each["category_id"] != 3]

    change(root / FILE, plant)
    assert codes(root, "SP") == ["SP003"]
