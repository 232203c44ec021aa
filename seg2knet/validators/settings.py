"""Settings from ``[tool.seg2knet]`` of the nearest ``pyproject.toml``; what the command line says goes first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional

import msgspec

from seg2knet.errors import UsageError


class Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """The settings and their defaults, as the options of ``seg2knet validate``."""

    select: List[str] = []
    ignore: List[str] = []
    strict: bool = False
    output_format: str = "text"
    baseline: Optional[str] = None
    show_all: bool = False


def load(start: Optional[Path] = None) -> Settings:
    """The settings that hold in a folder (by default the current one); the baseline is relative to their file.

    Raises UsageError: the file is no TOML, or has a setting that does not exist or of the wrong type.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    folder = (start or Path.cwd()).resolve()
    for path in (parent / "pyproject.toml" for parent in (folder, *folder.parents)):
        if not path.is_file():
            continue
        try:
            tools = tomllib.loads(path.read_text("utf-8")).get("tool")
        except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
            raise UsageError("the settings cannot be read", file=path, found=str(error)) from None
        if not isinstance(tools, dict) or "seg2knet" not in tools:
            continue
        try:
            settings = msgspec.convert(tools["seg2knet"], Settings)
        except msgspec.ValidationError as error:
            raise UsageError(
                "a setting is wrong",
                file=path,
                place="[tool.seg2knet]",
                found=str(error),
                expected=", ".join(field.encode_name for field in msgspec.structs.fields(Settings)),
            ) from None
        if settings.baseline is not None:
            settings.baseline = str(path.parent / settings.baseline)
        return settings
    return Settings()
