"""Configs of the classic stack as text: what is written says exactly what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2knet.errors import UsageError
from seg2knet.trainer.classic.text import difference, literal, merged, render

names = st.text("abcdef_", min_size=1, max_size=6).filter(str.isidentifier)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(names | st.sampled_from(["class", "a b", "it's"]), inner, max_size=4)
    ),
    max_leaves=20,
)
configs = st.dictionaries(names, values, max_size=5)


@given(values)
def test_a_literal_reads_back(value: Any) -> None:
    assert repr(eval(literal(value))) == repr(value)


@given(configs, configs)
def test_the_difference_makes_the_one_into_the_other(old: dict, new: dict) -> None:
    wanted = {**old, **new}  # a key at the top cannot be taken away
    found = merged(old, difference(old, wanted))
    assert difference(found, wanted) == {}
    assert difference(wanted, found) == {}


def test_nothing_is_said_of_what_is_the_same() -> None:
    old = {"model": {"head": {"num_classes": 80, "depth": 2}, "neck": {"a": 1}}, "lr": 0.1}
    new = {"model": {"head": {"num_classes": 3, "depth": 2}, "neck": {"a": 1}}, "lr": 0.1}
    assert difference(old, new) == {"model": {"head": {"num_classes": 3}}}


def test_a_key_that_goes_replaces_its_dict() -> None:
    assert difference({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}) == {"a": {"_delete_": True, "x": 1}}
    assert difference({"a": [1]}, {"a": {"x": 1}}) == {"a": {"_delete_": True, "x": 1}}


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        literal({"a": len})


def test_a_config_reads_as_python() -> None:
    text = render("/base/it's.py", {"model": {"classes": ["driver's seat"]}}, {"model": "2 classes"}, "Written\nby us")
    scope: dict[str, Any] = {}
    exec(text, scope)
    assert scope["_base_"] == ["/base/it's.py"]
    assert scope["model"] == {"classes": ["driver's seat"]}
    assert text.startswith("# Written\n# by us\n")
    assert "# 2 classes\nmodel = " in text
