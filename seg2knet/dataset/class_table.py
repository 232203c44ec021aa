"""ADE20K's table of classes, ``objectInfo150.txt`` and the like: ``Idx ... Name``, a class a row."""

from __future__ import annotations

from typing import NamedTuple, Optional

from seg2knet.dataset.text import whole_number


class ClassRow(NamedTuple):
    """A row, and its line from 1. ``number`` is ``None`` where the first column holds none, ``name`` the last column,
    ``isthing`` what a column ``Stuff`` says."""

    line: int
    text: str
    number: Optional[int]
    name: str
    isthing: Optional[bool] = None


def class_rows(text: str) -> list[ClassRow]:
    """The rows of a table, without its heading. Tabs part the columns, or else spaces; the name may have some."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    separator = "\t" if "\t" in text else None
    head = [word.strip().lower() for word in lines[0][1].split(separator)] if lines else []
    if head and whole_number(head[0]) is not None:
        head = []
    else:
        lines = lines[1:]
    stuff = head.index("stuff") if "stuff" in head[:-1] else None
    most = max(len(head) - 1, 1) if separator is None or head else -1
    rows = []
    for number, line in lines:
        cells = [cell.strip() for cell in line.split(separator, most)]
        isthing = cells[stuff] not in ("1", "true") if stuff is not None and stuff < len(cells) else None
        rows.append(ClassRow(number, line, whole_number(cells[0]) if len(cells) > 1 else None, cells[-1], isthing))
    return rows
