"""Numbers in text that somebody else wrote."""

from __future__ import annotations

from typing import Optional


def whole_number(text: str, digits: int = 9) -> Optional[int]:
    """A number from 0 on, of so many digits at most; ``None`` where the text is anything else.

    ``isdigit`` and ``int`` do not agree: one takes ``²``, the other raises at it, and at more than 4,300 digits.
    """
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= digits else None
