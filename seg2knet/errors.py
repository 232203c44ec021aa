"""The one family of errors. Whatever goes wrong with a user's data, options or machine is one of these."""

from __future__ import annotations

import json
import os
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Optional, Union

QUIET = "SEG2KNET_QUIET"
"""Environment variable by which ``--quiet`` is known to all that shows progress, in worker processes too."""


def is_quiet() -> bool:
    """Whether the user wants neither progress nor remarks."""
    return bool(os.environ.get(QUIET))


def printable(text: object) -> str:
    """Text from data, on one line and without power over what shows it: control characters, line breaks, escape
    sequences and bytes that are not UTF-8 are written as ``\\x1b``, and the beginnings of commands to CI services
    (``::error``, ``##[error]``) are broken. Everything that is printed goes through here.
    """
    plain = str(text)
    if not plain.isprintable():
        plain = "".join(
            each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in plain
        )
    if plain.lstrip().startswith("::"):
        plain = plain.replace("::", "\\x3a:", 1)
    return plain.replace("##[", "#\\x23[")


def printable_lines(text: object) -> str:
    """The same of text whose line breaks are meant."""
    return "\n".join(map(printable, str(text).split("\n")))


def extra(name: str) -> str:
    """The command that installs an extra: from the checkout that seg2knet was installed from, or else from PyPI."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        origin = json.loads(distribution("seg2knet").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        origin = {}
    checkout = Path(url2pathname(origin.get("url", "").partition("://")[2]))
    if "dir_info" not in origin or not (checkout / "constraints.txt").is_file():
        return f"pip install 'seg2knet[{name}]'"
    editable = "-e " if origin["dir_info"].get("editable") else ""
    return f"pip install {editable}'{checkout}[{name}]' -c '{checkout / 'constraints.txt'}'"


class Seg2KNetError(Exception):
    """An error that a user can act on.

    Args:
        message: what is wrong, in one sentence.
        file: the file it was found in.
        place: where in the file: ``annotation 42``, ``line 7``, ``/annotations/3/bbox``.
        found: what stood there.
        expected: what should have stood there.
        hint: what to do about it: the command to type, the option to give.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Union[str, PathLike[str], None] = None,
        place: Optional[str] = None,
        found: Optional[str] = None,
        expected: Optional[str] = None,
        hint: Optional[str] = None,
    ) -> None:
        self.message = message
        self.file = str(file) if file is not None else None
        self.place = place
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(self.render())

    def render(self) -> str:
        """The whole error as text: a first line, then what was found, what was expected, what to do."""
        where = ": ".join(printable(part) for part in (self.file, self.place) if part)
        lines = [": ".join(part for part in (where, _indented(self.message)) if part)]
        for word, text in (("found:   ", self.found), ("expected:", self.expected), ("to do:   ", self.hint)):
            if text is not None:
                lines.append(f"  {word} {_indented(text)}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        # Errors travel between worker processes; keyword-only arguments need saying.
        details = {name: getattr(self, name) for name in ("file", "place", "found", "expected", "hint")}
        return partial(type(self), **details), (self.message,)


def _indented(text: str) -> str:
    return printable_lines(text).replace("\n", "\n    ")


class DataError(Seg2KNetError):
    """The data are not what they should be: unreadable, contradictory, hostile."""


class UsageError(Seg2KNetError):
    """The options do not fit one another or the data."""


class EnvironmentProblem(Seg2KNetError):
    """The machine or the installed packages lack something."""
