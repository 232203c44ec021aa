"""A training configuration, read as text: a Python file of literals, as mmengine and mmdet 2 have them.

Nothing of it is executed. ``dict(...)`` and ``{...}``, lists, tuples, numbers, strings and names given before are
understood; what else stands there is ``UNKNOWN``, and the rules leave it alone.
"""

from __future__ import annotations

import ast
import contextlib
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Union

from seg2knet.errors import UsageError
from seg2knet.validators.model import ReplaceText

UNKNOWN = object()
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
Step = Union[str, int]


class ConfigValue(NamedTuple):
    """A value in the configuration: ``path`` leads to it, ``node`` is where it is written."""

    path: tuple[Step, ...]
    node: ast.expr
    value: Any

    @property
    def key(self) -> Step:
        return self.path[-1]


class ConfigFile:
    """A configuration; ``entries`` are all values written in it, outer before inner.

    Raises UsageError: it cannot be read, or is not Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, Any] = {}
        self.entries: list[ConfigValue] = []
        try:
            self.text = path.read_bytes()
            self._read(ast.parse(self.text))
        except OSError as error:
            problem = error.strerror or str(error)
            raise UsageError("the configuration cannot be read", file=path, found=problem) from None
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise UsageError("the configuration is not a Python file", file=path, found=str(error)) from None

    def _read(self, tree: ast.Module) -> None:
        for statement in tree.body:
            if isinstance(statement, (ast.Assign, ast.AnnAssign)):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                if len(targets) == 1 and isinstance(targets[0], ast.Name) and statement.value is not None:
                    self.names[targets[0].id] = self.value(statement.value)
                    self.entries.extend(self._walk((targets[0].id,), statement.value))

    def _walk(self, path: tuple[Step, ...], node: ast.expr) -> Iterator[ConfigValue]:
        yield ConfigValue(path, node, self.value(node))
        for key, below in _members(node):
            yield from self._walk((*path, key), below)

    def value(self, node: ast.expr) -> Any:
        """What an expression says, or ``UNKNOWN``."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.names.get(node.id, UNKNOWN)
        if isinstance(node, (ast.Tuple, ast.List)):
            return (tuple if isinstance(node, ast.Tuple) else list)(map(self.value, node.elts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self.value(node.operand)
            return -value if isinstance(value, (int, float)) else UNKNOWN
        if isinstance(node, ast.BinOp):
            numbers = [self.value(side) for side in (node.left, node.right)]
            if type(node.op) in _OPERATORS and all(isinstance(number, (int, float)) for number in numbers):
                with contextlib.suppress(ZeroDivisionError, OverflowError):
                    return _OPERATORS[type(node.op)](*numbers)
            return UNKNOWN
        if _is_dict(node):
            return {key: self.value(below) for key, below in _members(node)}
        return UNKNOWN

    def having(self, *keys: str) -> Iterator[ConfigValue]:
        """The entries under these keys, wherever they are, whose value is known."""
        return (entry for entry in self.entries if entry.key in keys and entry.value is not UNKNOWN)

    def at(self, *path: Step) -> Any:
        """The value a path leads to, through names too; ``None`` where it leads nowhere."""
        value: Any = self.names
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return None if value is UNKNOWN else value

    def replaced(self, node: ast.expr, text: str) -> ReplaceText:
        """The edit that puts ``text`` in the place of an expression."""
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return ReplaceText(self.path, self._offset(node.lineno, node.col_offset), end, text)

    def _offset(self, line: int, column: int) -> int:
        return sum(len(before) + 1 for before in self.text.split(b"\n")[: line - 1]) + column


def _members(node: ast.expr) -> Iterator[tuple[Step, ast.expr]]:
    """Keys and values of a dictionary, indices and values of a list or tuple."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and isinstance(key.value, (str, int)):
                yield key.value, value
    elif isinstance(node, ast.Call) and _is_dict(node):
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg is not None)
    elif isinstance(node, (ast.List, ast.Tuple)):
        yield from enumerate(node.elts)


def _is_dict(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("dict", "Config", "ConfigDict")
    return isinstance(node, ast.Dict)
