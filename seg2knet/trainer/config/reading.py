"""Reading configs, also those written before modules moved."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from seg2knet.errors import Seg2KNetError, UsageError

RENAMED = {
    "seg2knet.trainer.datasets": "seg2knet.trainer.openmmlab.datasets",
    "seg2knet.trainer.sampling": "seg2knet.trainer.openmmlab.sampling",
    "seg2knet.trainer.metrics": "seg2knet.trainer.openmmlab.metrics",
    "seg2knet.trainer.semantic_data": "seg2knet.trainer.openmmlab.semantic_data",
    "seg2knet.trainer.semantic": "seg2knet.trainer.openmmlab.semantic",
    "seg2knet.trainer.deformable": "seg2knet.trainer.openmmlab.deformable",
}
"""Modules that ``custom_imports`` of earlier versions name -> what they are called now."""


def read_config(file: Path, register: bool = True) -> Any:
    """A config file as mmengine's ``Config``.

    Args:
        file: a Python file.
        register: import the modules that it names in ``custom_imports``.

    Raises:
        UsageError: it cannot be read.
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

    Raises:
        UsageError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="seg2knet-") as folder:
        file = Path(folder, "config.py")
        file.write_text(text, encoding="utf-8")
        return read_config(file)
