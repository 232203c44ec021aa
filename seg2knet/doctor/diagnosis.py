"""What a check of the machine says: lines, each with what was found and, where something is wrong, what mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Optional

from typing_extensions import Literal

from seg2knet.errors import EnvironmentProblem

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        name: what was looked at: ``torch``.
        status: ``ok``; ``warning``: training starts, yet something will be slow or fail later; ``error``: it does not.
        found: what is there: ``2.13.0, CUDA 13.0``.
        problem: what is wrong with it, in one sentence.
        command: the command that mends it.
    """

    name: str
    status: Status
    found: str
    problem: Optional[str] = None
    command: Optional[str] = None

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.problem is None):
            raise ValueError(f"{self.name}: a line is ok or says what is wrong")


def ok(name: str, found: str) -> Line:
    return Line(name, "ok", found)


def warning(name: str, found: str, problem: str, command: Optional[str] = None) -> Line:
    return Line(name, "warning", found, problem, command)


def error(name: str, found: str, problem: str, command: Optional[str] = None) -> Line:
    return Line(name, "error", found, problem, command)


@dataclass(frozen=True)
class Report:
    """All lines, in the order in which they are to be read (and mended)."""

    lines: tuple[Line, ...]

    @property
    def errors(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.status == "error")

    @property
    def warnings(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.status == "warning")

    @property
    def ok(self) -> bool:
        """No errors; there may be warnings."""
        return not self.errors

    def as_dict(self) -> dict[str, Any]:
        """What ``seg2knet doctor --json`` prints."""
        return {
            "ok": self.ok,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "lines": [asdict(line) for line in self.lines],
        }

    def raise_for_errors(self) -> None:
        """
        Raises:
            EnvironmentProblem: there are errors; it names them all, and the command that mends the first.
        """
        if self.ok:
            return
        lines = [f"{line.name}: {line.found}: {line.problem}" for line in self.errors]
        rest = "" if len(lines) == 1 else "\n    and " + "\n    and ".join(lines[1:])
        commands = list(dict.fromkeys(line.command for line in self.errors if line.command))
        raise EnvironmentProblem(
            "this machine cannot train yet",
            found=lines[0] + rest,
            hint="\n            ".join([*commands, "seg2knet doctor   (looks again)"]),
        )
