"""Values as Python source: what is written evaluates to the same value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seg2knet.errors import UsageError
from seg2knet.trainer.config.source import Ref, assignment, render

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=12), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(plain)
@example({"º": None})
@example(0.1 + 0.2)
def test_what_is_rendered_is_the_value(value: Any) -> None:
    assert repr(eval(render(value))) == repr(value)


def test_references_stay_references() -> None:
    assert render({"a": Ref("classes"), "b": [Ref("x")]}) == "dict(a=classes, b=[x])"


def test_types_are_kept() -> None:
    for value in ((1, [2, (3,)]), {"a": True, "b": 1}, range(3), [], (), {}):
        assert repr(eval(render(value))) == repr(value)
    assert eval(render([float("inf")])) == [float("inf")]


def test_long_values_take_several_lines() -> None:
    value = {"type": "Thing", "steps": [{"type": "Step", "size": (1333, 800), "number": n} for n in range(8)]}
    text = assignment("model", value, "first line\nsecond line")
    assert text.startswith("# first line\n# second line\nmodel = dict(\n")
    assert max(map(len, text.splitlines())) <= 110
    content: dict[str, Any] = {}
    exec(text, content)
    assert content["model"] == value


def test_a_value_that_is_no_data_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written into a config"):
        render({"a": [print]})
