"""What counts as a data set, and what does not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from shapes_set import single_set
from small_sets import ade, coco

from seg2knet.errors import UsageError
from seg2knet.validators.engine import validate

LEDGER = {"version": 1, "images": {"read": 3, "written": 3}, "annotations": {"read": 9}, "categories": ["car"]}


def test_a_conversion_s_ledger_is_no_annotation_file(tmp_path: Path) -> None:
    root = single_set(tmp_path / "set").parent
    (root / "seg2knet-ledger.json").write_text(json.dumps(LEDGER))
    report = validate(root)
    assert report.checked["files"] == 1
    assert not report.findings


def test_a_folder_with_a_ledger_alone_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "seg2knet-ledger.json").write_text(json.dumps(LEDGER))
    with pytest.raises(UsageError):
        validate(tmp_path)


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "Git LFS": lambda text: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "gzip": gzip.compress,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "empty": lambda text: b"",
}


@pytest.mark.parametrize("words", UNREADABLE)
def test_a_split_whose_file_is_no_json_is_not_passed_over(tmp_path: Path, words: str) -> None:
    broken, _ = (single_set(tmp_path / "set" / split) for split in ("train", "valid"))
    broken.write_bytes(UNREADABLE[words](broken.read_bytes()))
    report = validate(tmp_path / "set")
    assert report.checked["files"] == 2
    first = report.errors[0]
    assert (first.code, first.file) == ("CI001", "train/annotations.json")
    assert words in first.message


def test_macos_companion_files_are_no_images(tmp_path: Path) -> None:
    root = single_set(tmp_path / "set").parent
    (root / "._train0.jpg").write_bytes(b"\0\5\26\7 Mac OS X")
    assert not validate(root).findings


def test_folders_called_train_and_val(tmp_path: Path) -> None:
    root = ade(tmp_path / "set")
    for kind in ("images", "annotations"):
        for old, new in (("training", "train"), ("validation", "val")):
            (root / kind / old).rename(root / kind / new)
    report = validate(root)
    assert report.datasets[0].layout == "ade"
    assert [part.split for part in report.datasets[0].parts] == ["train", "val"]
    assert not report.findings


def test_pngs_beside_the_annotations(tmp_path: Path) -> None:
    """As COCO's own archive unpacks."""
    root = coco(tmp_path / "set")
    (root / "annotations/panoptic_train2017").rename(root / "panoptic_train2017")
    assert not validate(root).findings


def test_panopticapi_s_own_layout(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    other = tmp_path / "other"
    other.mkdir()
    (root / "annotations/panoptic_train2017.json").rename(other / "panoptic_examples.json")
    (root / "annotations/panoptic_train2017").rename(other / "panoptic_examples")
    (root / "train2017").rename(other / "input_images")
    report = validate(other)
    assert not report.findings
    assert report.datasets[0].parts[0].images_dir == other / "input_images"


@pytest.mark.parametrize("nested", [False, True], ids=["annotations beside one another", "a folder a split"])
def test_images_in_folders_of_the_splits(tmp_path: Path, nested: bool) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    (root / "images").mkdir()
    for split in ("train", "val"):
        (root / f"{split}2017").rename(root / "images" / split)
        if nested:
            (root / "annotations" / split).mkdir()
            file = root / "annotations" / f"instances_{split}2017.json"
            file.rename(root / "annotations" / split / "instances.json")
    report = validate(root)
    assert [part.split for part in report.datasets[0].parts] == ["train", "val"]
    assert [part.images_dir for part in report.datasets[0].parts] == [root / "images/train", root / "images/val"]
    assert not report.findings
