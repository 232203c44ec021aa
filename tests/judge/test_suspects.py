"""Each kind of suspicion on squares, and planted errors found among the first."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from squares import annotation, result, truth

from seg2knet.judge.suspects import KINDS, LEAST, suspects

_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "planting.py"
_SPEC = importlib.util.spec_from_file_location("planting_benchmark", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
planting = sys.modules["planting_benchmark"] = importlib.util.module_from_spec(_SPEC)  # where dataclasses look it up
_SPEC.loader.exec_module(planting)
hits, plant = planting.hits, planting.plant


def sound(images: int = 12) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cars, dogs and trees of three sizes on each image, and a model that finds them all."""
    annotations, found = [], []
    for image in range(1, images + 1):
        shift = image % 5
        for category, (x, y, side) in enumerate([(5 + shift, 5, 20), (55, 5 + shift, 24), (10, 60, 26)], 1):
            annotations.append(annotation(len(annotations) + 1, image, category, x, y, side))
            found.append(result(image, category, x + 1, y, 0.8 + 0.01 * (image % 7), side))
    return truth(*annotations, images=images), found


def first(content: dict[str, Any], found: list[dict[str, Any]]) -> Any:
    return suspects(content, found)[0]


def test_sound_labels_raise_little() -> None:
    assert [one for one in suspects(*sound()) if one.score > 0.3] == []


def test_missing() -> None:
    content, found = sound()
    found.append(result(3, 1, 60, 60, 0.95, 22))
    suspect = first(content, found)
    assert (suspect.kind, suspect.image_id, suspect.annotation_ids) == ("missing", 3, ())
    assert found[suspect.result or 0]["score"] == 0.95
    assert "car" in suspect.reason


def test_nothing_is_missing_where_a_prediction_has_no_pixels() -> None:
    content, found = sound()
    found.append(result(3, 1, 60, 60, 0.95, 3))
    assert all(suspect.result != len(found) - 1 for suspect in suspects(content, found))


def test_wrong_class() -> None:
    content, found = sound()
    content["annotations"][3]["category_id"] = 2  # a car of the second image
    suspect = first(content, found)
    assert (suspect.kind, suspect.annotation_ids, suspect.category_id) == ("wrong class", (4,), 1)
    assert "annotated dog, the model says car" in suspect.reason


def test_wrong_outline() -> None:
    content, found = sound()
    place = next(place for place, one in enumerate(content["annotations"]) if one["id"] == 9)
    content["annotations"][place] = annotation(9, 3, 3, 22, 64, 26)
    suspect = first(content, found)
    assert (suspect.kind, suspect.annotation_ids) == ("wrong outline", (9,))


def test_an_outline_far_off_is_one_suspect_and_no_missing_object() -> None:
    content, found = sound()
    place = next(place for place, one in enumerate(content["annotations"]) if one["id"] == 9)
    content["annotations"][place] = annotation(9, 3, 3, 29, 79, 26)  # where a corner of the tree is
    ranked = [suspect for suspect in suspects(content, found) if suspect.image_id == 3]
    assert [(suspect.kind, suspect.annotation_ids) for suspect in ranked] == [("wrong outline", (9,))]


def test_missing_beside_a_found_one_of_its_class() -> None:
    content, found = sound()
    content["annotations"].append(annotation(99, 3, 1, 60, 60, 22))
    found += [result(3, 1, 60, 60, 0.9, 22), result(3, 1, 77, 60, 0.9, 22)]
    suspect = first(content, found)
    assert (suspect.kind, suspect.result) == ("missing", len(found) - 1)


def test_another_class_beside_it_does_not_support_an_annotation() -> None:
    content, found = sound()
    content["annotations"].append(annotation(99, 5, 2, 22, 64, 24))  # a dog on a part of the tree
    suspect = next(one for one in suspects(content, found) if 99 in one.annotation_ids)
    assert (suspect.kind, suspect.annotation_ids) == ("spurious", (99,))
    assert "no dog is predicted there" in suspect.reason
    assert suspect.score > 0.8


def test_small_objects_that_the_model_misses_are_less_spurious_than_a_large_one() -> None:
    content, found = sound()
    content["annotations"] += [annotation(90 + image, image, 2, 60, 60, 4) for image in range(2, 8)]
    content["annotations"].append(annotation(99, 8, 2, 60, 60, 24))
    scores = {suspect.annotation_ids: suspect.score for suspect in suspects(content, found)}
    assert scores[(99,)] > 0.6
    assert max(score for numbers, score in scores.items() if numbers != (99,)) < 0.1


def test_spurious() -> None:
    content, found = sound()
    content["annotations"].append(annotation(99, 5, 2, 60, 60, 24))
    suspect = first(content, found)
    assert (suspect.kind, suspect.annotation_ids, suspect.result) == ("spurious", (99,), None)


def test_split_and_merged() -> None:
    content, found = sound()
    halves = [annotation(90, 2, 3, 50, 60, 20), annotation(91, 2, 3, 70, 60, 20)]
    content["annotations"] += halves
    found.append({**result(2, 3, 50, 60, 0.9), "segmentation": merged(*halves)})
    suspect = first(content, found)
    assert suspect.kind == "split"
    assert set(suspect.annotation_ids) == {90, 91}

    content, found = sound()
    content["annotations"].append({**annotation(90, 2, 3, 50, 60), "segmentation": merged(*halves)})
    found += [result(2, 3, 50, 60, 0.9), result(2, 3, 70, 60, 0.9)]
    suspect = first(content, found)
    assert (suspect.kind, suspect.annotation_ids) == ("merged", (90,))


def merged(*annotations: dict[str, Any]) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    code = coco_mask.merge([one["segmentation"] for one in annotations])
    return {"size": code["size"], "counts": code["counts"].decode()}


def test_annotations_of_another_image() -> None:
    content, found = sound()
    for result_ in found:
        if result_["image_id"] == 7:
            result_["segmentation"] = result(7, 1, 60, 60, 0.9, 24)["segmentation"]
    suspect = next(one for one in suspects(content, found) if one.image_id == 7)
    assert suspect.kind == "image out of place"
    assert len(suspect.annotation_ids) == 3


def test_an_annotation_is_named_once() -> None:
    content, found = sound()
    bad, _ = plant(content, 0.5, seed=3)
    named = [number for suspect in suspects(bad, found) for number in suspect.annotation_ids]
    assert len(named) == len(set(named))
    assert {suspect.kind for suspect in suspects(bad, found)} <= set(KINDS)


@pytest.mark.parametrize("seed", range(5))
def test_planted_errors_are_found_by_a_good_model(seed: int) -> None:
    content, found = sound(40)
    bad, planted = plant(content, 0.1, seed)
    assert len(planted) == round(0.1 * len(content["annotations"]))
    ranked = suspects(bad, found)[: len(planted)]
    marks = hits(planted, ranked, bad, found)
    assert sum(mark is not None for mark in marks) >= 0.8 * len(planted)


def test_planting_is_seeded_and_leaves_the_rest() -> None:
    content, _ = sound(20)
    one, again, other = plant(content, 0.2, 1), plant(content, 0.2, 1), plant(content, 0.2, 2)
    assert one == again
    assert one != other
    changed = {number for planted in one[1] for number in planted.annotation_ids}
    before = {entry["id"]: entry for entry in content["annotations"]}
    for entry in one[0]["annotations"]:
        if entry["id"] not in changed:
            assert entry == before[entry["id"]]


def test_without_results_or_objects() -> None:
    content, found = sound(3)
    assert suspects(content, []) == []
    assert suspects({**content, "annotations": []}, found) == []
    random.shuffle(found)
    assert suspects(content, found) == suspects(content, found)


def test_a_suspicion_just_below_the_least_is_not_rounded_up_to_it() -> None:
    content, found = sound()
    overlap = 100 / (2 * 400 - 100)  # a quarter of a car of 20 x 20
    usual = float(np.median([one["score"] for one in found if one["category_id"] == 1]))
    car = next(entry for entry in content["annotations"] if (entry["image_id"], entry["category_id"]) == (3, 1))
    x, y, *_ = car["bbox"]
    for suspicion, named in ((LEAST - 3e-5, False), (LEAST + 3e-5, True)):
        likely = result(3, 1, x + 10, y + 10, suspicion / (1 - overlap) * usual)
        ranked = suspects(content, [*found, likely])
        assert any(one.result == len(found) for one in ranked) == named
