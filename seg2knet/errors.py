"""The one family of errors. Whatever goes wrong with a user's data, options or machine is one of these."""

from __future__ import annotations

from os import PathLike
from typing import Optional, Union


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
        where = ": ".join(part for part in (self.file, self.place) if part)
        lines = [f"{where}: {self.message}" if where else self.message]
        if self.found is not None:
            lines.append(f"  found:    {self.found}")
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.hint is not None:
            lines.append(f"  to do:    {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        # Errors travel between worker processes; keyword-only arguments need saying.
        return (
            _rebuild,
            (type(self), self.message, self.file, self.place, self.found, self.expected, self.hint),
        )


def _rebuild(
    kind: type[Seg2KNetError],
    message: str,
    file: Optional[str],
    place: Optional[str],
    found: Optional[str],
    expected: Optional[str],
    hint: Optional[str],
) -> Seg2KNetError:
    return kind(message, file=file, place=place, found=found, expected=expected, hint=hint)


class DataError(Seg2KNetError):
    """The data are not what they should be: unreadable, contradictory, hostile."""


class UsageError(Seg2KNetError):
    """The options do not fit one another or the data."""


class EnvironmentProblem(Seg2KNetError):
    """The machine or the installed packages lack something."""
