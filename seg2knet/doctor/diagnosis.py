"""What a check of the machine says: lines, each with what was found and, where something is wrong, what repairs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Optional

from packaging.specifiers import SpecifierSet
from typing_extensions import Literal

from seg2knet.doctor.facts import Facts
from seg2knet.errors import EnvironmentProblem

Status = Literal["ok", "warning", "error"]
REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir "


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: what is there, what is wrong with it, and the command that repairs it.

    ``warning``: training starts, yet something will be slow or fail later; ``error``: it does not start.
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
class Package:
    """A package that must be there in a version that fits."""

    name: str
    install: str
    missing: Optional[str] = None  # what goes wrong without it; ``None`` where nothing does
    # those that fit, as pip writes them: ``<1.24``; another gets a line of ``status`` with ``misfit``
    versions: str = ""
    misfit: str = ""
    status: Status = "error"
    distributions: tuple[str, ...] = ()  # any of these will do; by default the one called ``name``
    module: Optional[str] = None  # what is imported of it; by default the same

    def line(self, facts: Facts) -> Line:
        """The line for what is installed."""
        name = facts.first(*(self.distributions or (self.name,)))
        if name is None and self.missing is None:
            return ok(self.name, "not installed, not needed")
        if name is None:
            return error(self.name, "not installed", str(self.missing), self.install)
        version, module = facts.versions[name], self.module or self.name
        found = version if name == self.name else f"{name} {version}"
        if module in facts.broken:
            problem = f"it does not import: {facts.broken[module]}"
            return error(self.name, found, problem, f"{REINSTALL}{name}=={version}")
        if not SpecifierSet(self.versions).contains(version, prereleases=True):
            return Line(self.name, self.status, found, self.misfit, self.install)
        return ok(self.name, found)


@dataclass(frozen=True)
class Report:
    """All lines, in the order in which they are to be read (and repaired)."""

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
        counts = {"errors": len(self.errors), "warnings": len(self.warnings)}
        return {"ok": self.ok, **counts, "lines": [asdict(line) for line in self.lines]}

    def raise_for_errors(self) -> None:
        """Raise ``EnvironmentProblem`` where there are errors, with all of them and the commands that repair them."""
        if not self.ok:
            found = "\n    and ".join(f"{line.name}: {line.found}: {line.problem}" for line in self.errors)
            commands = dict.fromkeys(line.command for line in self.errors if line.command)
            hint = "\n            ".join([*commands, "seg2knet doctor   (looks again)"])
            raise EnvironmentProblem("this machine cannot train yet", found=found, hint=hint)
