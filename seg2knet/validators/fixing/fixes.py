"""Applies fixes. A round applies all fixes that do not touch one another and looks again; rounds go on until nothing is
left to fix."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

from seg2knet.errors import DataError
from seg2knet.validators.checking import check
from seg2knet.validators.fixing.rounds import Round
from seg2knet.validators.fixing.splice import Change
from seg2knet.validators.fixing.writing import Changes, Writer, locked
from seg2knet.validators.model import (
    DeleteFile,
    Edit,
    Finding,
    Fix,
    Remove,
    RenameFile,
    ReplaceText,
    Rule,
    SetValue,
    WriteFile,
)
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import DataSet, Overlay

ROUNDS = 10
"""More rounds than any chain of fixes needs; a bound, so that two fixes can never chase one another."""
_SHOWN_EDITS = 5
_SHOWN_BYTES = 160


def mend(
    path: Path,
    reopen: Callable[[Optional[Overlay]], DataSet],
    rules: Sequence[Rule],
    fix: str,
    diff: bool,
    backup: bool,
    report: Report,
) -> tuple[DataSet, list[Finding]]:
    """Fix what can be fixed; what was done, and what could not be, is written into the report.

    Args:
        path: the data set.
        reopen: reads the data set, with other files' content in the place of some where it is given.
        rules: to look for.
        fix: ``safe`` or ``unsafe``.
        diff: only say what would be done.
        backup: keep replaced files as ``.bak``.

    Returns:
        The data set as it is now (with ``diff``: as it was) and its findings.

    Raises:
        UsageError: another process fixes the data set.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seg2knet-"))) if diff else None
        if not diff:
            stack.enter_context(locked(path))
        fixer = _Fixer(Writer(scratch, backup), fix, report)
        first: Optional[tuple[DataSet, list[Finding]]] = None
        for _ in range(ROUNDS):
            dataset = reopen(fixer.writer.overlay)
            findings = check(dataset, rules)
            first = first or (dataset, findings)
            if not fixer.round(dataset, findings):
                break
        else:
            dataset = reopen(fixer.writer.overlay)
            findings = check(dataset, rules)
    return first if diff and first else (dataset, findings)


class _Fixer:
    """Fixes in rounds; remembers what cannot be done, so that it is tried and told once."""

    def __init__(self, writer: Writer, fix: str, report: Report) -> None:
        self.writer = writer
        self.wanted = {Fix.SAFE} if fix == "safe" else {Fix.SAFE, Fix.UNSAFE}
        self.report = report
        self.failed: set[Path] = set()
        self.refused: set[tuple[str, Path, str]] = set()

    def round(self, dataset: DataSet, findings: Sequence[Finding]) -> bool:
        """One round; whether anything was to be done."""
        chosen = self._choose(dataset, findings)
        if chosen.edits:
            self._apply(chosen, dataset)
        return bool(chosen.edits)

    def _choose(self, dataset: DataSet, findings: Sequence[Finding]) -> Round:
        chosen = Round()
        # What holds between files comes last: it waits for what is fixed within them.
        for finding in sorted(findings, key=lambda finding: finding.rule.family == "SP"):
            if finding.fix not in self.wanted:
                continue
            edits = self._edits(finding)
            if not edits or any(edit.file in self.failed or edit.file in self.writer.promised for edit in edits):
                continue
            reason = self.writer.outside(edits, dataset) or chosen.take(finding, edits)
            if reason is not None:
                self._refuse(finding, reason)
        return chosen

    def _edits(self, finding: Finding) -> Sequence[Edit]:
        """A finding's edits; none, and a line in the report, where they cannot be worked out."""
        if _identity(finding) in self.refused:
            return ()
        if not callable(finding.hit.edits):
            return finding.hit.edits
        try:
            return finding.hit.edits()
        except Exception as error:  # whatever a library raises for odd shapes and broken images
            self._refuse(finding, _reason(error))
            return ()

    def _refuse(self, finding: Finding, reason: str) -> None:
        key = _identity(finding)
        if key not in self.refused:
            self.refused.add(key)
            self.report.not_fixed.append(f"{_head(finding)}: not fixed: {reason}")

    def _apply(self, chosen: Round, dataset: DataSet) -> None:
        changes: Changes = {}
        by_file: dict[Path, list[Edit]] = {}
        for edit in chosen.edits:
            by_file.setdefault(edit.file, []).append(edit)
        # Files first, the JSON that names them last: a run that dies in between leaves the old JSON.
        order = sorted(by_file, key=lambda path: any(isinstance(edit, SetValue) for edit in by_file[path]))
        states = {file.path: file.document.state for file in dataset.json_files}
        written: set[Path] = set()
        left: set[int] = set()  # edits, by identity
        for path in order:
            edits = [edit for edit in by_file[path] if id(edit) not in left]
            try:
                if edits:
                    self.writer.write(path, edits, states.get(path), changes)
                    written.add(path)
            except Exception as error:  # whatever a library raises for a broken image
                self._fail(path, error, dataset)
                self._leave(path, chosen, written, left)
        for finding, edits in chosen.taken:
            done = [edit for edit in edits if id(edit) not in left]
            if done:
                _tell(self.report, finding, done, changes, dataset)

    def _fail(self, path: Path, error: Exception, dataset: DataSet) -> None:
        self.failed.add(path)
        self.report.failed = self.report.failed or isinstance(error, (OSError, DataError))
        self.report.not_fixed.append(f"{dataset.show(path)}: not fixed: {_reason(error)}")

    def _leave(self, path: Path, chosen: Round, written: set[Path], left: set[int]) -> None:
        """Leave what belongs to a file that failed: no JSON is to name an image that could not be renamed."""
        for _, edits in chosen.taken:
            if any(edit.file == path for edit in edits):
                for edit in edits:
                    if edit.file in written:
                        self.writer.undo(edit)
                    if edit.file not in written or isinstance(edit, RenameFile):
                        left.add(id(edit))


def _identity(finding: Finding) -> tuple[str, Path, str]:
    return finding.code, finding.hit.file, finding.hit.pointer


def _head(finding: Finding) -> str:
    where = ": ".join(part for part in (finding.file, finding.place) if part)
    return f"{where}: {finding.code} {finding.name}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (error.message if isinstance(error, DataError) else str(error)) or type(error).__name__


def _tell(report: Report, finding: Finding, edits: Sequence[Edit], changes: Changes, dataset: DataSet) -> None:
    """Write what a fix did into the report: a line, the values before and after, and what it removed."""
    head = _head(finding)
    report.fixed.append(f"{head}: {finding.message}")
    report.diff.append(f"@@ {head}")
    for place, edit in enumerate(edits):
        if place == _SHOWN_EDITS:
            report.diff.append(f"   and {len(edits) - place:,} more places")
        shown = place < _SHOWN_EDITS
        if isinstance(edit, WriteFile):
            report.diff.append(f"~ {dataset.show(edit.file)}: {edit.what}")
        elif isinstance(edit, RenameFile):
            report.diff.append(f"~ {dataset.show(edit.file)}: renamed to {dataset.show(edit.to)}")
        elif isinstance(edit, DeleteFile):
            report.diff.append(f"- {dataset.show(edit.file)}")
            report.removed.append(f"{dataset.show(edit.file)}: the file ({finding.code} {finding.message})")
        else:
            key = str(edit.start) if isinstance(edit, ReplaceText) else edit.pointer
            change = changes.get((edit.file, key))
            if shown and change is not None:
                report.diff.extend(_lines(change, dataset.show(edit.file), isinstance(edit, ReplaceText)))
            if isinstance(edit, Remove):
                report.removed.append(
                    f"{dataset.show(edit.file)}: {edit.pointer}"
                    + (f" ({finding.place})" if finding.place not in ("", edit.pointer) else "")
                    + f": {finding.code} {finding.message}"
                )


def _lines(change: Change, file: str, is_text: bool) -> Iterable[str]:
    place = f"{file} byte {change.pointer}" if is_text else change.pointer
    if change.old is not None:
        yield f"- {place}: {_short(change.old)}"
    if change.new is not None:
        yield f"+ {place}: {_short(change.new)}"


def _short(value: bytes) -> str:
    text = " ".join(value[: 4 * _SHOWN_BYTES].decode("utf-8", "replace").split())
    return text if len(text) <= _SHOWN_BYTES else text[: _SHOWN_BYTES - 1] + "…"
