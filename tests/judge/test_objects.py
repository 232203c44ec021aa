"""Each kind of verdict on squares, and agreement with hotcoco's own counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squares import annotation, result, truth

from seg2knet.judge.objects import by_image, verdicts


def kinds(content, results) -> list[tuple]:
    return [
        (verdict.kind, verdict.annotation_id, verdict.result)
        for verdict in verdicts(by_image(content, results), results)
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([result(1, 1, 10, 10, 0.9)], [("found", 1, 0)]),
        ([result(1, 2, 10, 10, 0.9)], [("class", 1, 0)]),
        ([result(1, 1, 22, 10, 0.9)], [("place", 1, 0), ("missed", 1, None)]),
        ([result(1, 2, 22, 10, 0.9)], [("both", 1, 0), ("missed", 1, None)]),
        ([result(1, 1, 70, 70, 0.9)], [("background", None, 0), ("missed", 1, None)]),
        ([result(1, 1, 10, 10, 0.9), result(1, 1, 12, 10, 0.8)], [("found", 1, 0), ("duplicate", 1, 1)]),
        ([], [("missed", 1, None)]),
    ],
)
def test_every_kind(found, expected) -> None:
    assert kinds(truth(annotation(1, 1, 1, 10, 10)), found) == expected


def test_a_right_prediction_keeps_its_object_from_a_better_scored_wrong_class() -> None:
    found = [result(1, 2, 10, 10, 0.9), result(1, 1, 11, 10, 0.3)]
    assert kinds(truth(annotation(1, 1, 1, 10, 10)), found) == [("class", 1, 0), ("found", 1, 1)]


def test_what_lies_on_a_crowd_is_no_error() -> None:
    content = truth(annotation(1, 1, 1, 10, 10), annotation(2, 1, 1, 50, 50, 40, crowd=1))
    assert kinds(content, [result(1, 1, 60, 60, 0.9), result(1, 1, 10, 10, 0.8)]) == [("found", 1, 1)]


def test_low_scores_are_left_out() -> None:
    found = [result(1, 1, 10, 10, 0.2)]
    pairs = by_image(truth(annotation(1, 1, 1, 10, 10)), found, 0.5)
    assert [verdict.kind for verdict in verdicts(pairs, found)] == ["missed"]


square = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(0, 75), st.integers(0, 75))


@given(st.lists(square, max_size=6), st.lists(st.tuples(square, st.integers(1, 99)), max_size=8))
def test_nothing_is_counted_twice(annotated, predicted) -> None:
    content = truth(*(annotation(number, *place) for number, place in enumerate(annotated, 1)))
    found = [result(*place, score / 100) for place, score in predicted]
    judged = verdicts(by_image(content, found), found)
    assert sorted(verdict.result for verdict in judged if verdict.result is not None) == list(range(len(found)))
    matched = [verdict.annotation_id for verdict in judged if verdict.kind in ("found", "missed")]
    assert len(matched) == len(set(matched))
    assert {verdict.annotation_id for verdict in judged} - {None} <= set(range(1, len(annotated) + 1))
    for verdict in judged:
        assert (verdict.true_class == verdict.predicted_class) == (verdict.kind in ("found", "duplicate", "place"))
