"""Text that somebody else wrote: numbers in it, its natural order, what of it can be shown."""

from __future__ import annotations

import re
import sys
from typing import Optional

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
