"""What lies below a folder."""

from __future__ import annotations

from pathlib import Path


def names(folder: Path) -> set[str]:
    """The paths of all files and links, below ``folder``."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files by their paths below ``folder``."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
