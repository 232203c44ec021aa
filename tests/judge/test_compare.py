"""Two lists of results against each other."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from squares import annotation, result, truth

pytest.importorskip("hotcoco")

from pathlib import Path

from seg2knet.errors import UsageError
from seg2knet.judge.compare import Comparison, compared, junit, text
from seg2knet.judge.objects import Judged

CONTENT = truth(*(annotation(number, number, 1, 10, 10) for number in range(1, 9)), images=8)
ALL = [result(number, 1, 10, 10, 0.9) for number in range(1, 9)]


def compare(content: dict, a: list, b: list, **settings: int) -> Comparison:
    return compared(Judged(content, a, Path()), Judged(content, b, Path()), **settings)


def test_a_worse_model_is_told() -> None:
    comparison = compare(CONTENT, ALL, ALL[:4], samples=200)
    assert comparison.difference("AP50") == pytest.approx(-0.5, abs=0.01)
    assert comparison.lost == [5, 6, 7, 8]
    assert comparison.won == []
    row = next(row for row in comparison.figures if row["figure"] == "AP50")
    assert row["low"] <= row["difference"] <= row["high"] < 0
    assert "AP50" in text(comparison)
    (only,) = comparison.classes
    assert (only["name"], only["difference"]) == ("car", pytest.approx(-0.5, abs=0.01))
    assert only["low"] <= only["difference"] <= only["high"] < 0


def test_equal_models_do_not_differ() -> None:
    comparison = compare(CONTENT, ALL, ALL, samples=50)
    assert all(row["difference"] == 0 and row["low"] == row["high"] == 0 for row in comparison.figures)


def test_the_seed_decides_the_intervals() -> None:
    one, two = (compare(CONTENT, ALL, ALL[:5], samples=100, seed=3).figures for _ in range(2))
    assert one == two


def test_conditions() -> None:
    comparison = compare(CONTENT, ALL, ALL[:4], samples=20)
    assert comparison.fails("AP < -0.01")
    assert not comparison.fails("ap50 >= 0")
    for wrong in ("AP", "AP << 1", "XY < 0"):
        with pytest.raises(UsageError):
            comparison.fails(wrong)
    suite = ElementTree.fromstring(junit(comparison, ["AP < -0.01", "AP50 > 0"]))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
