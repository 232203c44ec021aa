"""A file read in pieces is the file read as a whole, wherever it is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shapes_set import data, write
from test_coco_rules import DEFECTS

from seg2knet.validators.engine import validate
from seg2knet.validators.subjects import pieces
from seg2knet.validators.subjects.data import CocoFile, JsonFile

PLANTS = [defect for defect in DEFECTS if defect.plant is not None]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def found(path: Path, jobs: int) -> list[Any]:
    """Everything that a report says, edits too."""
    said = []
    for finding in validate(path, jobs=jobs):
        hit = finding.hit
        edits = hit.edits() if callable(hit.edits) else hit.edits
        place = (hit.pointer, hit.image_id, hit.image_name, hit.annotation_id)
        shown = [(edit.pointer, getattr(edit, "value", None)) for edit in edits if hasattr(edit, "pointer")]
        said.append((finding.rule.code, *place, hit.message, hit.expected, hit.found, finding.fix, repr(shown)))
    return said


def whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The same, nothing read in pieces."""
    with monkeypatch.context() as patch:
        patch.setattr(CocoFile, "_read_in_pieces", lambda file: False)
        return found(path, 1)


def small_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pieces, "PIECE", size)
    monkeypatch.setattr(pieces, "PARALLEL_FROM", 0)


@pytest.mark.parametrize("defect", PLANTS, ids=lambda defect: defect.name)
def test_the_same_findings(defect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = data(3)
    defect.plant(content)
    path = tmp_path / "annotations.json"
    write(path, content)
    expected = whole(path, monkeypatch)
    small_pieces(monkeypatch, 300)
    assert found(path, 1) == expected


def test_the_same_findings_of_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = data(6)
    for row, annotation in enumerate(content["annotations"]):
        annotation["area"] = annotation["area"] if row % 3 else -1
    path = tmp_path / "annotations.json"
    write(path, content)
    expected = whole(path, monkeypatch)
    small_pieces(monkeypatch, 300)
    assert found(path, 2) == expected


ODD = {
    "no white space": lambda text: json.dumps(json.loads(text), separators=(",", ":")),
    "a line each": lambda text: json.dumps(json.loads(text), indent=1),
    "annotations first": lambda text: json.dumps(dict(sorted(json.loads(text).items()))),
    "a list of objects in each": lambda text: text.replace('"iscrowd"', '"more": [{"id": 1}, {"id": 2}], "iscrowd"'),
    "what looks like a boundary in a string": lambda text: text.replace(
        '"iscrowd"', '"note": "}, {\\"id\\": 1, \\"", "iscrowd"'
    ),
    "letters of other scripts": lambda text: text.replace('"iscrowd"', '"Straße": "道路", "iscrowd"'),
    "the key twice": lambda text: text.replace('"annotations"', '"annotations": [], "annotations"'),
    "the key twice, the last empty": lambda text: text.rstrip()[:-1] + ', "annotations": []}',
    "the key once more below": lambda text: '{"info": {"annotations": [{"id": 7}]}, ' + text.lstrip()[1:],
    "the key escaped": lambda text: text.replace('"annotations"', '"\\u0061nnotations"'),
    "no annotations": lambda text: json.dumps({**json.loads(text), "annotations": []}),
    "no array": lambda text: json.dumps({**json.loads(text), "annotations": {"id": 1}}),
    "not all objects": lambda text: text.replace('"annotations": [', '"annotations": [3, null, '),
    "a comma too many": lambda text: text.replace('"annotations": [', '"annotations": [,'),
    "two commas": lambda text: text.replace("}, {", "},, {", 30),
    "a bracket too many": lambda text: text.replace('"annotations": [', '"annotations": [['),
    "a number too large": lambda text: text.replace('"area": ', '"area": 1e999, "old": ', 1),
    "an id too large": lambda text: text.replace('"iscrowd": 0', '"iscrowd": 99999999999999999999', 1),
    "NaN": lambda text: text.replace('"area": ', '"area": NaN, "old": ', 1),
    "cut off": lambda text: text[: len(text) // 2],
    "more after the end": lambda text: text + "{}",
    "a byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("size", [1, 300, 1 << 20])
def test_files_of_any_form(name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = data(3)
    content["annotations"][5]["bbox"] = [1, 2, 3]
    content["annotations"][7]["segmentation"] = [[1, 2, 30, 40, 5]]
    path = tmp_path / "annotations.json"
    path.write_text(ODD[name](json.dumps(content)), "utf-8")
    expected = whole(path, monkeypatch)
    small_pieces(monkeypatch, size)
    assert found(path, 1) == expected


def test_a_sound_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "annotations.json"
    write(path, data(3))
    monkeypatch.setattr(JsonFile, "_read", lambda file: pytest.fail("read as a whole"))
    small_pieces(monkeypatch, 300)
    file = CocoFile(path)
    rows = json.loads(path.read_text())["annotations"]
    assert file.annotations.ids.tolist() == [row["id"] for row in rows]
    backwards = range(len(rows) - 1, -1, -1)
    assert [file.segmentation(row) for row in backwards] == [rows[row]["segmentation"] for row in backwards]
    assert [file.bbox(row) for row in backwards] == [rows[row]["bbox"] for row in backwards]
