"""``convert auto``: which format a source is of, with its evidence; a guess between two that fit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seg2knet.converters.base import Evidence
from seg2knet.converters.registry import readers
from seg2knet.errors import DataError, UsageError

TIE = 0.2
"""Two formats whose scores are this near one another both fit."""


def detect(sources: Sequence[Path]) -> tuple[str, Evidence]:
    """The name of the one format that all sources are of.

    Raises:
        DataError: a source is not there, or of no format known.
        UsageError: two formats fit, or the sources are of several.
    """
    found = {source: _detect(source) for source in sources}
    names = sorted({name for name, _ in found.values()})
    if len(names) > 1:
        said = "; ".join(f"{source}: {name}" for source, (name, _) in found.items())
        raise UsageError("the sources are of several formats", found=said, hint="convert one format at a time")
    return found[sources[0]]


def _detect(source: Path) -> tuple[str, Evidence]:
    if not source.exists():
        raise DataError("no such source", file=source, hint="check the path; quote it if it has spaces")
    sniffed = [(name, kind.sniff(source)) for name, kind in sorted(readers().items())]
    scored = sorted(
        ((name, evidence) for name, evidence in sniffed if evidence is not None), key=lambda each: -each[1].score
    )
    if not scored:
        raise DataError(
            "of no format that is known",
            file=source,
            expected=", ".join(sorted(readers())),
            hint="name the format: seg2knet convert FORMAT SOURCE",
        )
    best = scored[0]
    rivals = [each for each in scored[1:] if best[1].score - each[1].score < TIE]
    if rivals:
        lines = [f"{name}: {', '.join(evidence.reasons)}" for name, evidence in [best, *rivals]]
        raise UsageError(
            "two formats fit",
            found=f"{source}: " + "; ".join(lines),
            hint=f"name the one that is meant: seg2knet convert {best[0]} {source}",
        )
    return best
