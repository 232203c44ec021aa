"""Text that somebody else wrote: numbers in it, its natural order, what of it can be shown, tables of classes."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple, Optional

_DIGITS = re.compile(r"\d+")
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def whole_number(text: str, digits: int = 9) -> Optional[int]:
    """A number from 0 on, of so many digits at most; ``None`` where the text is anything else.

    ``isdigit`` and ``int`` do not agree: one takes ``²``, the other raises at it, and at more than 4,300 digits.
    """
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= digits else None


def natural(name: str) -> str:
    """A sort key by which ``img2`` comes before ``img10``; total, so that the order never depends on the system.
    One text, for a data set has 100,000 of them at a time."""
    return f"{_DIGITS.sub(_number, name.lower())}\0\0{name}"


def _number(digits: re.Match[str]) -> str:
    """A number so that longer ones come after shorter ones, and leading zeros count last."""
    said = digits[0]
    value = str(int(said)) if len(said) < 4000 else "0"
    return f"\0{chr(len(value))}{value}{chr(min(len(said), sys.maxunicode))}"


def clean_name(name: str) -> str:
    """A class's name without control characters, line breaks and marks of writing direction; else letter for letter."""
    if name.isprintable() or not _UNPRINTED.search(name):
        return name
    return " ".join(_UNPRINTED.sub(" ", name).split())


class ClassRow(NamedTuple):
    """A row of ADE20K's table of classes, ``Idx ... Name``, and its line from 1. ``number`` is ``None`` where the first
    column holds none, ``name`` the last column, ``isthing`` what a column ``Stuff`` says."""

    line: int
    text: str
    number: Optional[int]
    name: str
    isthing: Optional[bool] = None


def class_rows(text: str) -> list[ClassRow]:
    """The rows of such a table, without its heading. Tabs part the columns, or else spaces; the name may have some."""
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
