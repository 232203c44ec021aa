"""How reports for other programs name files: relative to where the command ran, as a repository's tools expect."""

from __future__ import annotations

from pathlib import Path


def relative(path: Path) -> str:
    """The path from the working directory, with forward slashes; absolute where the file lies outside it."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.absolute().as_posix()
