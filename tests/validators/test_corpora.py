"""Files by other people: the broken ones give the finding that names the defect, the sound ones no false one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from seg2knet.validators.engine import validate
from seg2knet.validators.rules.coco_categories import OFFICIAL_GAPS, OFFICIAL_STUFF

BROKEN = {
    0: ("CI002", "", "'annotation' looks like it"),
    1: ("CI003", "/annotations/0/segmentation", "a list without a list around it"),
    2: ("CI003", "/categories/0/id", "without a usable id"),
    3: ("CI003", "/images/1/id", "without a usable id"),
    4: ("CI010", "/annotations/0/category_id", "no category_id"),
    5: ("CI009", "/annotations/2/image_id", "without an image_id"),
    6: ("CI003", "/images/0/file_name", "without a usable file_name"),
    7: ("CI003", "/categories/0/name", "without a usable name"),
    8: ("CI018", "/annotations/0", "without a segmentation"),
    9: ("CI002", "", "no 'images'"),
    10: ("CI002", "", "no 'annotations'"),
    11: ("CI002", "", "no 'categories'"),
    12: ("CI003", "/annotations", "wrong type"),
    13: ("CI003", "/categories", "wrong type"),
    14: ("CI003", "/images", "wrong type"),
    15: ("CI002", "", "'image' looks like it"),
    16: ("CI002", "", "'categoryes' looks like it"),
}


@pytest.mark.parametrize("number", BROKEN)
def test_broken_on_purpose(shared: Path, number: int) -> None:
    folder = shared / "corpora" / "coco-invalid+labelme__labelme2coco__tests_data"
    code, pointer, words = BROKEN[number]
    report = validate(folder / f"coco_false_{number}.json")
    sound = validate(folder / "coco_true_0.json")

    named = [each for each in report if (each.code, each.pointer) == (code, pointer) and words in each.message]
    assert len(named) == 1
    # The corpus's sound file lacks ids, areas, boxes and sizes too; beyond that nothing is said but the defect.
    usual = {finding.code for finding in sound}
    assert {finding.code for finding in report} <= usual | {code, "CI009", "CI010", "CI042", "KN005"}
    assert report.exit_code == 1


CORPORA = {
    "coco+yoloseg__labelformat__instance_segmentation/COCO": {"CI014", "CI017"},
    "coco-panoptic__panopticapi__sample_data/panoptic_coco_detection_format.json": {"CI007", "CI017"},
    "coco-panoptic__panopticapi__sample_data/panoptic_examples.json": {"CI017"},
    "labelme+coco+voc__labelme__instance_segmentation/data_dataset_coco": {
        "CI007",  # ids from 0
        "CI014",  # `_background_` is 0
        "CI016",
        "CI017",
        "CI024",  # LabelMe lets one click beside the image
        "CI025",
    },
    "coco__datumaro__coco_dataset/coco_instances": {
        "CI015",
        "CI017",
        "CI019",
        "IM011",
        "IM014",
        "KN007",
        "SP003",
        "SP005",
    },
}


@pytest.mark.parametrize("name", CORPORA)
def test_sound_corpora(shared: Path, name: str) -> None:
    assert {finding.code for finding in validate(shared / "corpora" / name)} <= CORPORA[name]


def test_car_parts(shared: Path) -> None:
    """What the user's own data set has: booleans, an unused background, a few slips of the mouse."""
    report = validate(shared / "data" / "carparts")
    found = {code: len(group) for code, group in report.by_rule().items()}
    assert found == {"CI016": 2, "CI024": 5, "CI025": 1, "CI028": 1, "CI045": 2, "CI049": 4, "IM015": 1}
    booleans = [finding for finding in report if finding.code == "CI045"]
    assert sum(int(re.search(r"([\d,]+) times", each.message)[1].replace(",", "")) for each in booleans) == 3884
    assert report.exit_code == 0
    assert [part.split for part in report.datasets[0].parts] == ["test", "train"]
    assert report.checked["images"] == 500


def test_official_ids_are_those_of_coco(shared: Path) -> None:
    path = shared / "corpora" / "coco-panoptic__panopticapi__sample_data" / "panoptic_coco_categories.json"
    entries = json.loads(path.read_text())
    assert {each["id"] for each in entries if each["isthing"]} == set(range(1, 91)) - OFFICIAL_GAPS
    assert {each["id"] for each in entries if not each["isthing"]} == OFFICIAL_STUFF
