"""``--cfg-options``: values of a config changed by path, in its content and in its text."""

from __future__ import annotations

import ast
import re
from typing import Any, Union

from seg2knet.errors import UsageError
from seg2knet.trainer.config.source import is_name, render

RESERVED = ("filename", "text", "pretty_text", "env_variables")
"""Names that mmengine refuses in a config file."""


def put(content: Any, path: str, value: Any) -> list[Union[str, int]]:
    """Set what a path such as ``model.num_kernels`` or ``train_pipeline.2.prob`` names in dicts and lists.

    Returns:
        the steps of the path: keys of dicts, indices of lists.

    Raises:
        UsageError: it leads nowhere, or begins with what no variable of a config file can be called.
    """
    keys = path.split(".")
    if not is_name(keys[0]) or keys[0] in RESERVED:
        raise UsageError("--cfg-options names no variable of the config", place=path, found=keys[0] or "nothing")
    steps: list[Union[str, int]] = []
    for depth, key in enumerate(keys, 1):
        if not isinstance(content, (list, dict)):
            found = f"{type(content).__name__}, which has no parts"
            raise UsageError("--cfg-options leads nowhere", place=path, found=found)
        step: Any = _index(content, key, path) if isinstance(content, list) else key
        steps.append(step)
        if depth == len(keys):
            content[step] = value
        elif isinstance(content, dict) and key not in content:
            here, expected = ".".join(keys[:depth]), ", ".join(map(str, content))
            raise UsageError("--cfg-options leads nowhere", place=here, expected=expected)
        else:
            content = content[step]
    return steps


def _index(content: list, key: str, path: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", key) or not -len(content) <= int(key) < len(content):
        raise UsageError("--cfg-options leads nowhere", place=path, expected=f"a number below {len(content)}")
    return int(key)


def assign(text: str, steps: list[Union[str, int]], value: Any) -> str:
    """A config's text with one more assignment, behind all that set the variable, so that what is made of it follows.

    Args:
        text: Python source.
        steps: of the path, from :func:`put`.
        value: what to set there.
    """
    name, *rest = steps
    lines = text.rstrip("\n").split("\n")
    setters = [node.end_lineno for node in ast.parse(text).body if _may_set(node, str(name))]
    place = (setters[-1] if setters else None) or len(lines)
    target = str(name) + "".join(f"[{step!r}]" for step in rest)
    lines[place:place] = ["# changed by an option", f"{target} = {render(value)}"]
    return "\n".join(lines) + "\n"


def _may_set(statement: ast.stmt, name: str) -> bool:
    """Whether a statement may change a variable: an assignment to it or a part, or anything else that mentions it."""
    parts: list[Any] = [statement]
    if isinstance(statement, ast.Assign):
        parts = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        parts = [statement.target]
    return any(isinstance(node, ast.Name) and node.id == name for part in parts for node in ast.walk(part))
