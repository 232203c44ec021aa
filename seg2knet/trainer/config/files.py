"""Configs as files: read, also those written before modules moved; and changed by path, for ``--cfg-options``."""

from __future__ import annotations

import ast
import re
import tempfile
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import Seg2KNetError, UsageError
from seg2knet.trainer.config.source import is_name, render
from seg2knet.trainer.config.trust import require_plain

RESERVED = ("filename", "text", "pretty_text", "env_variables")
"""Names that mmengine refuses in a config file."""
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


def put(content: Any, path: str, value: Any) -> list[Union[str, int]]:
    """Set what a path such as ``model.num_kernels`` or ``train_pipeline.2.prob`` names in dicts and lists.

    Returns:
        the steps of the path: keys of dicts, indices of lists.

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
