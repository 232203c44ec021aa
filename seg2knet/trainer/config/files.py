"""Configs as files: read, also those written before modules moved; and changed by path, for ``--cfg-options``.

They are Python: those that are more than plain data are refused before they are run.
"""

from __future__ import annotations

import ast
import re
import tempfile
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import Seg2KNetError, UsageError
from seg2knet.trainer.config.source import is_name, render

RESERVED = ("filename", "text", "pretty_text", "env_variables")
"""Names that mmengine refuses in a config file."""
OURS = ("seg2knet", "mmengine", "mmdet", "mmseg", "mmcv")
"""Packages that a config which is plain data may name: what it builds and imports comes from them."""
RENAMED = {
    f"seg2knet.trainer.{name}": f"seg2knet.trainer.openmmlab.{name}"
    for name in ("datasets", "sampling", "metrics", "semantic_data", "semantic", "deformable")
}
"""Modules that ``custom_imports`` of earlier versions name -> what they are called now."""


def read_config(file: Path, register: bool = True) -> Any:
    """A config file as mmengine's ``Config``; its ``custom_imports`` are imported where they are to `register`.

    Raises UsageError: it cannot be read.
    """
    from mmengine.config import Config
    from mmengine.utils import import_modules_from_strings

    try:
        config = Config.fromfile(file, import_custom_modules=False)
    except Seg2KNetError:
        raise
    except Exception as error:  # whatever a user's Python file raises
        raise UsageError("the config cannot be read", file=file, found=str(error).splitlines()[0]) from None
    object.__setattr__(config, "_format_python_code", False)  # by yapf, half a second each time
    if config.get("custom_imports"):
        modules = config.custom_imports["imports"]
        modules = [modules] if isinstance(modules, str) else modules
        config.custom_imports["imports"] = [RENAMED.get(name, name) for name in modules]
        if register:
            import_modules_from_strings(**config.custom_imports)
    return config


def parse_config(text: str) -> Any:
    """The text of a config, as a checkpoint holds it, as mmengine's ``Config``; its modules are imported.

    Raises UsageError: it cannot be read.
    """
    require_plain(text, "the checkpoint's config", "seg2knet train did not write it: use a checkpoint of your own")
    with tempfile.TemporaryDirectory(prefix="seg2knet-") as folder:
        file = Path(folder, "config.py")
        file.write_text(text, encoding="utf-8")
        return read_config(file)


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


def put(content: Any, path: str, value: Any) -> list[Union[str, int]]:
    """Set what a path such as ``model.num_kernels`` or ``train_pipeline.2.prob`` names in dicts and lists.

    Returns the steps of the path: keys of dicts, indices of lists.

    Raises UsageError: it leads nowhere, or begins with what no variable of a config file can be called.
    """
    keys, nowhere = path.split("."), "--cfg-options leads nowhere"
    if not is_name(keys[0]) or keys[0] in RESERVED:
        raise UsageError("--cfg-options names no variable of the config", place=path, found=keys[0] or "nothing")
    steps: list[Union[str, int]] = []
    for depth, key in enumerate(keys, 1):
        if isinstance(content, list):
            if not re.fullmatch(r"-?\d{1,9}", key) or not -len(content) <= int(key) < len(content):
                raise UsageError(nowhere, place=path, expected=f"a number below {len(content)}")
            steps.append(int(key))
        elif not isinstance(content, dict):
            raise UsageError(nowhere, place=path, found=f"{type(content).__name__}, which has no parts")
        elif depth < len(keys) and key not in content:
            raise UsageError(nowhere, place=".".join(keys[:depth]), expected=", ".join(map(str, content)))
        else:
            steps.append(key)
        if depth < len(keys):
            content = content[steps[-1]]
    content[steps[-1]] = value
    return steps


def assign(text: str, steps: list[Union[str, int]], value: Any) -> str:
    """A config's text with one more assignment, behind all that set the variable, so that what is made of it follows.

    `steps` are those of the path, from :func:`put`."""
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
