"""Values as Python source that a person can read and change: config files of both stacks are made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from seg2knet.errors import UsageError

WIDTH = 110


class Ref(str):
    """The name of something above in the same file: written without quotes."""


def assignment(name: str, value: Any, comment: str = "") -> str:
    """``name = value`` as source, with each line of `comment` above it. Raises UsageError: see :func:`render`."""
    comments = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*comments, f"{name} = {render(value, taken=len(name) + 3)}"])


def render(value: Any, indent: int = 0, taken: int = 0, width: float = WIDTH) -> str:
    """Source of a value made of dicts, lists, tuples, ranges, text, numbers, booleans and ``None``.

    Dicts with plain names become ``dict(a=1)``; what does not fit into a line is laid out one entry a line.
    `indent`: spaces in front of the line that the value stands on; `taken`: its characters before the value.

    Raises UsageError: a value of another type, such as a function.
    """
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, (bool, int, float, str, range)):
        return repr(value)
    if not isinstance(value, (Mapping, list, tuple)):
        raise UsageError(
            "this value cannot be written into a config", found=f"{value!r}, of type {type(value).__name__}",
            expected="numbers, text, lists, tuples, dicts",
        )  # fmt: skip
    opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    parts = [("", entry) for entry in value]
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) and is_name(key) for key in value)
        opening, closing = ("dict(", ")") if named else ("{", "}")
        parts = [(f"{key}=" if named else f"{key!r}: ", entry) for key, entry in value.items()]
    words = [head + render(entry, width=math.inf) for head, entry in parts]
    one = isinstance(value, tuple) and len(value) == 1
    flat = f"{opening}{', '.join(words)}{',' if one else ''}{closing}"
    if indent + taken + len(flat) <= width or not value:
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, Mapping) or any(isinstance(entry, (Mapping, list)) for entry in value):
        lines = [f"{inner}{head}{render(entry, indent + 4, len(head) + 1, width)}" for head, entry in parts]
    else:  # short entries: many a line
        lines = [inner + words[0]]
        for word in words[1:]:
            if len(lines[-1]) + len(word) + 3 > width:
                lines.append(inner + word)
            else:
                lines[-1] += f", {word}"
    return f"{opening}\n" + ",\n".join(lines) + f",\n{' ' * indent}{closing}"


def is_name(text: str) -> bool:
    """Whether a text can stand in Python source as a name that means this very text.

    ASCII alone: Python reads other letters of a name in their normal form, another text than was written.
    """
    return text.isascii() and text.isidentifier() and not iskeyword(text)
