"""Settings from ``[tool.seg2knet]`` of the nearest ``pyproject.toml``; what the command line says goes first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional

import msgspec

from seg2knet.errors import UsageError


class Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """The settings and their defaults.

    Attributes:
        select, ignore: rules by code or its beginning.
        strict: warnings fail too.
        output_format: of the report.
        baseline: a JSON report of known findings; relative to the ``pyproject.toml``.
        show_all: print every finding, not a rule's first few.
    """

    select: List[str] = []
    ignore: List[str] = []
    strict: bool = False
    output_format: str = "text"
    baseline: Optional[str] = None
    show_all: bool = False


def load(start: Optional[Path] = None) -> Settings:
    """The settings that hold in a folder (by default the current one).

    Raises:
        UsageError: the file is no TOML, or has a setting that does not exist or of the wrong type.
    """
    folder = (start or Path.cwd()).resolve()
    for each in (folder, *folder.parents):
        path = each / "pyproject.toml"
        if path.is_file():
            found = _read(path)
            if found is not None:
                return found
    return Settings()


def _read(path: Path) -> Optional[Settings]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError("the settings cannot be read", file=path, found=str(error)) from None
    ours = tables.get("tool", {}).get("seg2knet")
    if ours is None:
        return None
    try:
        settings = msgspec.convert(ours, Settings)
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
