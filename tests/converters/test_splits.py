"""Names and shares of splits, groups by name."""

from __future__ import annotations

from typing import Any

import pytest

from seg2knet.converters.splitting.splits import canonical, group_key, parse_ratios
from seg2knet.errors import UsageError


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0.8/0.1/0.1", {"train": 0.8, "val": 0.1, "test": 0.1}),
        ("80/20", {"train": 0.8, "val": 0.2}),
        ("0.9,0.1", {"train": 0.9, "val": 0.1}),
        ("train=0.5,test=0.5", {"train": 0.5, "test": 0.5}),
        ("0.8/0/0.2", {"train": 0.8, "test": 0.2}),
        ("val", {"val": 1.0}),
        ({"train": 80, "val": 20}, {"train": 0.8, "val": 0.2}),
    ],
)
def test_shares(text: Any, shares: dict[str, float]) -> None:
    assert parse_ratios(text) == pytest.approx(shares)


@pytest.mark.parametrize(
    "text",
    [
        "", "a/b", "0.5/0.2", "0.2/0.2/0.2/0.4", "-1/2", "train=1,dev=0", "nan/nan", "0/0", {}, {"train": 8, "val": 2},
        {"train": 0.8, "dev": 0.2}, {"train": 1.5, "val": -0.5},
    ],
)  # fmt: skip
def test_no_shares(text: Any) -> None:
    with pytest.raises(UsageError, match="not a split"):
        parse_ratios(text)


def test_names_of_splits() -> None:
    assert [canonical(name) for name in ("Train", "VALID", "validation", "Testing", " val ")] == [
        "train", "val", "val", "test", "val",
    ]  # fmt: skip
    assert [canonical(name) for name in ("default", "", None, "trainee")] == [None] * 4


def test_groups_by_folder_and_by_pattern() -> None:
    assert [group_key("folder")(name) for name in ("a/b/c.jpg", "c.jpg")] == ["a/b", ""]
    assert [group_key(r"^(\w+?)_\d+")(name) for name in ("p1_001.jpg", "p1_2.jpg", "x.jpg")] == ["p1", "p1", None]
    assert group_key("p[0-9]+")("abc/p12_3.jpg") == "p12"
    with pytest.raises(UsageError, match="not a regular expression"):
        group_key("(")
