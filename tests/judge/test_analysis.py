"""The analysis of instance results: figures as pycocotools has them, thresholds, confusion, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from squares import annotation, result, truth

pytest.importorskip("hotcoco")

from seg2knet.errors import DataError
from seg2knet.judge.analysis import analyse
from seg2knet.judge.suspects import suspects


@pytest.fixture
def content() -> dict:
    return truth(
        annotation(1, 1, 1, 10, 10), annotation(2, 1, 2, 60, 10), annotation(3, 1, 2, 10, 60),
        annotation(4, 2, 1, 10, 10, 40), annotation(5, 2, 3, 70, 70),
    )  # fmt: skip


FOUND = [
    result(1, 1, 10, 10, 0.9), result(1, 1, 60, 10, 0.8), result(1, 2, 10, 60, 0.6), result(1, 2, 11, 60, 0.5),
    result(2, 1, 12, 10, 0.7, 40), result(2, 2, 40, 75, 0.2),
]  # fmt: skip


def test_figures_are_those_of_pycocotools(content) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotated = COCO()
    annotated.dataset = copy.deepcopy(content)
    annotated.createIndex()
    reference = COCOeval(annotated, annotated.loadRes(copy.deepcopy(FOUND)), "segm")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    figures = analyse(content, FOUND).figures
    assert [figures[name] for name in ("AP", "AP50", "AP75")] == pytest.approx(reference.stats[:3], abs=1e-6)


def test_confusion_adds_up(content) -> None:
    analysis = analyse(content, FOUND, 0.1)
    matrix = np.array(analysis.confusion)
    assert analysis.names == ["car", "dog", "tree"]
    assert matrix[:-1].sum() == len(content["annotations"])
    assert matrix[1].tolist() == [1, 1, 0, 0]  # one dog was taken for a car
    assert matrix[2].tolist() == [0, 0, 0, 1]  # the tree was missed
    assert matrix[-1].tolist() == [0, 2, 0, 0]  # a duplicate and a background


def test_errors_and_classes(content) -> None:
    analysis = analyse(content, FOUND, 0.1)
    counts = {row["kind"]: row["count"] for row in analysis.errors}
    assert counts == {"class": 1, "place": 0, "both": 0, "duplicate": 1, "background": 1, "missed": 1}
    rows = {row["name"]: row for row in analysis.classes}
    assert rows["tree"]["AP"] == 0
    assert rows["car"]["objects"] == 2
    assert analysis.images[0]["image_id"] == 2  # both have two errors; fewer objects are found there


def test_the_best_threshold_is_where_f1_peaks() -> None:
    content = truth(*(annotation(number, 1, 1, 20 * number, 10) for number in range(4)))
    found = [result(1, 1, 20 * number, 10, 0.9) for number in range(4)]
    found += [result(1, 1, 20 * number, 60, 0.4) for number in range(4)]
    analysis = analyse(content, found)
    assert 0.4 < analysis.threshold <= 0.9
    assert analysis.curves[0].best == pytest.approx(1.0)


def test_no_results_at_all(content) -> None:
    analysis = analyse(content, [])
    assert analysis.figures["AP"] == 0
    assert sum(row["missed"] for row in analysis.images) == 5


def test_a_split_without_objects_is_refused() -> None:
    with pytest.raises(DataError, match="no annotated object"):
        analyse(truth(), FOUND)


def test_results_of_other_data_are_refused(content) -> None:
    with pytest.raises(DataError, match="image_id") as caught:
        analyse(content, [result(77, 1, 10, 10, 0.9)])
    assert "result 0" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segmentation": "x"}, "run-length code"),
        ({"segmentation": {"size": [9, 9], "counts": "0"}}, "run-length code"),
        ({"score": "high"}, "not a number"),
    ],
)
def test_results_that_cannot_be_judged_are_named(content, change, said) -> None:
    with pytest.raises(DataError, match=said) as caught:
        analyse(content, [FOUND[0], {**FOUND[1], **change}])
    assert "result 1" in str(caught.value)


@pytest.mark.parametrize("change", [{"segmentation": []}, {"segmentation": None}, {"image_id": 9}, {"category_id": 9}])
def test_annotations_that_nothing_can_be_compared_with_are_left_out(content, change) -> None:
    expected = analyse(content, FOUND).as_dict()
    content["annotations"].append({**annotation(99, 1, 1, 5, 70), **change})
    assert analyse(content, FOUND).as_dict() == expected
    assert suspects(content, FOUND) == suspects({**content, "annotations": content["annotations"][:-1]}, FOUND)
