"""ADE20K's class tables, with tabs, with spaces, with a column of stuff, without a heading."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from seg2knet.dataset.folder import read_folder
from seg2knet.dataset.text import class_rows


def test_tabs_part_the_columns_of_the_challenge() -> None:
    rows = class_rows("Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t9\t1\t1\twall \n\n2\t0.1\t8\t1\t0\tlamp; street\n")
    assert [(row.line, row.number, row.name, row.isthing) for row in rows] == [
        (2, 1, "wall", False),
        (4, 2, "lamp; street", True),
    ]


def test_spaces_part_them_too_and_the_name_keeps_its_own() -> None:
    rows = class_rows("Idx Ratio Train Val Name\n1 0.15 9 1 traffic light\n")
    assert [(row.number, row.name, row.isthing) for row in rows] == [(1, "traffic light", None)]


def test_without_a_heading_the_first_row_is_a_class() -> None:
    assert [(row.number, row.name) for row in class_rows("1\twall\n2\tsky\n")] == [(1, "wall"), (2, "sky")]
    assert [(row.number, row.name) for row in class_rows("1 wall paper\n")] == [(1, "wall paper")]


def test_a_row_without_a_number_says_so() -> None:
    rows = class_rows("Idx\tName\nx\twall\nlonely\n")
    assert [(row.number, row.text) for row in rows] == [(None, "x\twall"), (None, "lonely")]


@given(st.text(max_size=60))
def test_any_text_has_rows(text: str) -> None:
    assert all(row.number is None or row.number >= 0 for row in class_rows(text))


def test_a_table_in_latin_1_is_read_for_training(tmp_path: Path) -> None:
    for folder in ("images/training", "annotations/training"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "objectInfo.txt").write_bytes("Idx\tName\n1\tBär\n".encode("latin-1"))
    assert read_folder(tmp_path).classes.names == ("Bär",)
