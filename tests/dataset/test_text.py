"""Text as a number, or not."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2knet.dataset.text import clean_name, whole_number
from seg2knet.errors import printable


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), (" 07 ", 7), ("9" * 9, 999_999_999), ("1" * 10, None), ("9" * 5000, None), ("²", None), ("-1", None),
     ("+1", None), ("1_0", None), ("1.0", None), ("", None), ("٣", 3)],
)  # fmt: skip
def test_whole_numbers(text: str, number: Optional[int]) -> None:
    assert whole_number(text) == number


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_none(text: str) -> None:
    number = whole_number(text)
    assert number is None or 0 <= number < 10**9


def test_as_many_digits_as_asked_for() -> None:
    assert whole_number("1" * 12, 18) == 111_111_111_111


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é 字", "plain é 字"), ("\x1b[31m\n\t", r"\x1b[31m\n\t"), ("a\u202eb", r"a\u202eb"), ("\udcff", r"\udcff")],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("name", "clean"),
    [("traffic  light ", "traffic  light "), ("a\nb", "a b"), ("\x1b[1mcar\x00", "[1mcar"), ("क\u200dष", "क\u200dष")],
)
def test_names_of_classes_are_kept_but_for_control_characters(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@given(st.text(max_size=20))
def test_cleaning_is_done_once(name: str) -> None:
    assert clean_name(clean_name(name)) == clean_name(name)
    assert printable(name).isprintable()
