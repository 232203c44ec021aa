"""A config of the classic stack as text: what differs from the config that it inherits from, in plain Python."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

from seg2knet.errors import UsageError

DELETE = "_delete_"
"""mmcv's key that makes a dict replace the inherited one instead of being merged into it."""
WIDTH = 116


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What a config that inherits ``old`` must say to become ``new``, by mmcv's rules of inheritance.

    Dicts are merged key by key; everything else, lists too, is replaced whole; a dict with ``_delete_=True`` replaces.
    A key of ``old`` that ``new`` lacks at the top is not reported: mmcv has no way to take it away.
    """
    said: dict[str, Any] = {}
    for key, value in new.items():
        if key in old and _same(old[key], value):
            continue
        before = old.get(key)
        if not isinstance(value, Mapping) or key not in old:
            said[key] = value
        elif isinstance(before, Mapping) and set(before) <= set(value):
            said[key] = difference(before, value)
        else:
            said[key] = {DELETE: True, **value}
    return said


def merged(old: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """``old`` with ``said`` merged into it by the same rules: the inverse of :func:`difference`."""
    result = dict(old)
    for key, value in said.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping) and not value.get(DELETE):
            result[key] = merged(result[key], value)
        elif isinstance(value, Mapping):
            result[key] = {inner: each for inner, each in value.items() if inner != DELETE}
        else:
            result[key] = value
    return result


def _same(first: Any, second: Any) -> bool:
    """Equality that tells a tuple from a list and True from 1, as a config should."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return set(first) == set(second) and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return (
            isinstance(first, list) == isinstance(second, list)
            and len(first) == len(second)
            and all(map(_same, first, second))
        )
    return type(first) is type(second) and bool(first == second)


def literal(value: Any, indent: int = 0, room: int = WIDTH) -> str:
    """``value`` as Python source; long dicts and lists over several lines.

    Args:
        value: dicts, lists, tuples, strings, numbers, ``None``.
        indent: the column that the value's first line stands at, for the lines after it.
        room: characters left on the first line.

    Raises:
        UsageError: something that cannot be written, such as a function.
    """
    flat = _flat(value)
    if len(flat) <= room and "\n" not in flat:
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, Mapping):
        named = _names_are_identifiers(value)
        start = "dict(" if named else "{"
        lines = []
        for key, each in value.items():
            head = f"{key}=" if named else f"{key!r}: "
            lines.append(f"{inner}{head}{literal(each, indent + 4, WIDTH - indent - 5 - len(head))},")
        return start + "\n" + "\n".join(lines) + "\n" + " " * indent + (")" if named else "}")
    if isinstance(value, (list, tuple)) and value:
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        lines = [f"{inner}{literal(each, indent + 4, WIDTH - indent - 5)}," for each in value]
        return opening + "\n" + "\n".join(lines) + "\n" + " " * indent + closing
    return flat


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        if _names_are_identifiers(value):
            return "dict(" + ", ".join(f"{key}={_flat(each)}" for key, each in value.items()) + ")"
        return "{" + ", ".join(f"{key!r}: {_flat(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_flat, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, (bool, int, float, str, range)):
        return repr(value)
    raise UsageError(
        "this value cannot be written into a config",
        found=f"{value!r}, of type {type(value).__name__}",
        expected="numbers, texts, lists, dicts",
    )


def _names_are_identifiers(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)


def render(base: str, said: Mapping[str, Any], comments: Mapping[str, str], heading: str) -> str:
    """The config file.

    Args:
        base: path of the config that it inherits from.
        said: what it says, from :func:`difference`.
        comments: top-level key -> a line of explanation to stand above it.
        heading: the file's first comment.
    """
    blocks = [
        "\n".join(f"# {line}".rstrip() for line in heading.splitlines()),
        f"_base_ = [{base!r}]",
    ]
    for key, value in said.items():
        comment = "".join(f"# {line}\n" for line in comments.get(key, "").splitlines())
        blocks.append(f"{comment}{key} = {literal(value, 0, WIDTH - len(key) - 3)}")
    return "\n\n".join(blocks) + "\n"
