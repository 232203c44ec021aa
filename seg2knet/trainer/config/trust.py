"""Configs are Python: those that are more than plain data are refused before they are run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import UsageError

OURS = ("seg2knet", "mmengine", "mmdet", "mmseg", "mmcv")
"""Packages that a config which is plain data may name: what it builds and imports comes from them."""


def require_plain(text: str, file: Union[str, Path], hint: str) -> None:
    """Refuse a config that does more than give values to names, before it is run.

    Values are literals, ``dict(...)``, names given before and sums of them; types and imports are written out, those
    with a dot from ``OURS``. That is what ``seg2knet train`` writes, and what a change of a value leaves it.

    Raises UsageError: it has other code, inherits from another file, or is not Python.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UsageError("the config is not a Python file", file=file, found=str(error)) from None
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if not isinstance(statement, ast.Assign) or not all(map(_is_place, statement.targets)):
            raise _not_plain(file, statement, hint)
        for target in statement.targets:
            key = target.slice.value if isinstance(target, ast.Subscript) else None  # type: ignore[attr-defined]
            if key is not None and not _may_be(key, statement.value):
                raise _not_plain(file, statement, hint)
        for node in ast.walk(statement.value):
            if not isinstance(node, _PLAIN) or not _harmless(node):
                raise _not_plain(file, node, hint)


_PLAIN = (
    ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.Dict, ast.List, ast.Tuple, ast.UnaryOp, ast.unaryop,
    ast.BinOp, ast.operator,
)  # fmt: skip


def _harmless(node: ast.AST) -> bool:
    """Whether a call is that of ``dict``, and what is built or imported is written out and of ``OURS``."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
    pairs: list[tuple[Any, ast.expr]] = []
    if isinstance(node, ast.keyword):
        pairs = [(node.arg, node.value)]
    elif isinstance(node, ast.Dict):
        pairs = [(getattr(key, "value", None), value) for key, value in zip(node.keys, node.values)]
    return all(key is not None and _may_be(key, value) for key, value in pairs)  # None: ** of something


def _may_be(key: Any, value: ast.expr) -> bool:
    """Whether what a key stands for may be that: types and imports are of ``OURS``."""
    parts = value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]
    texts = [getattr(part, "value", None) for part in parts]
    if key == "imports":
        return all(str(text).partition(".")[0] in OURS for text in texts)
    if key == "type":
        return all(isinstance(text, str) and ("." not in text or text.partition(".")[0] in OURS) for text in texts)
    return True


def _is_place(target: ast.expr) -> bool:
    """Whether it is a variable, or a part of one by constant steps; not ``_base_``, which names another file."""
    while isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        target = target.value
    return isinstance(target, ast.Name) and target.id != "_base_"


def _not_plain(file: Union[str, Path], node: ast.AST, hint: str) -> UsageError:
    return UsageError(
        "the config is not plain data: to read it is to run its code",
        file=file,
        place=f"line {getattr(node, 'lineno', 1)}",
        found=ast.unparse(node)[:100],
        expected="names, values and dict(...), as seg2knet train writes them",
        hint=hint,
    )
