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
    """``name = value`` as source, with each line of `comment` above it.

    Raises:
        UsageError: see :func:`render`.
    """
    comments = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*comments, f"{name} = {render(value, taken=len(name) + 3)}"])


def render(value: Any, indent: int = 0, taken: int = 0) -> str:
    """Source of a value made of dicts, lists, tuples, ranges, text, numbers, booleans and ``None``.

    Dicts with plain names become ``dict(a=1)``; what does not fit into a line is laid out one entry a line.

    Args:
        value: the value.
        indent: spaces in front of the line that the value stands on.
        taken: characters of that line before the value.

    Raises:
        UsageError: a value of another type, such as a function.
    """
    flat = _flat(value)
    if indent + taken + len(flat) <= WIDTH or not isinstance(value, (Mapping, list, tuple)) or not value:
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, Mapping):
        named = _is_named(value)
        entries = []
        for key, entry in value.items():
            head = f"{key}=" if named else f"{key!r}: "
            entries.append(f"{inner}{head}{render(entry, indent + 4, len(head) + 1)}")
        opening, closing = ("dict(", ")") if named else ("{", "}")
    else:
        entries = _wrapped(value, inner) or [f"{inner}{render(entry, indent + 4, 1)}" for entry in value]
        opening, closing = ("(", ")") if isinstance(value, tuple) else ("[", "]")
    return f"{opening}\n" + ",\n".join(entries) + f",\n{' ' * indent}{closing}"


def _wrapped(value: Any, inner: str) -> list[str]:
    """Short scalars many a line, as a paragraph; nothing where an entry is no scalar or small tuple of numbers."""
    if any(isinstance(entry, (Mapping, list)) for entry in value):
        return []
    words = [_flat(entry) for entry in value]
    lines, line = [], ""
    for word in words:
        if line and len(inner) + len(line) + len(word) + 3 > WIDTH:
            lines.append(inner + line)
            line = word
        else:
            line = f"{line}, {word}" if line else word
    return [*lines, inner + line]


def _flat(value: Any) -> str:
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Mapping):
        if _is_named(value):
            return "dict(" + ", ".join(f"{key}={_flat(entry)}" for key, entry in value.items()) + ")"
        return "{" + ", ".join(f"{key!r}: {_flat(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_flat, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, (bool, int, float, str, range)):
        return repr(value)
    raise UsageError(
        "this value cannot be written into a config",
        found=f"{value!r}, of type {type(value).__name__}",
        expected="numbers, text, lists, tuples, dicts",
    )


def _is_named(value: Mapping) -> bool:
    return all(isinstance(key, str) and is_name(key) for key in value)


def is_name(text: str) -> bool:
    """Whether a text can stand in Python source as a name that means this very text.

    ASCII alone: Python reads other letters of a name in their normal form, another text than was written.
    """
    return text.isascii() and text.isidentifier() and not iskeyword(text)
