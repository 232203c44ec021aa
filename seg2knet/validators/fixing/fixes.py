"""Applies fixes. A round applies all fixes that do not touch one another and looks again; rounds go on until nothing is
left to fix."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Optional

from seg2knet.dataset.grouping import grouped
from seg2knet.errors import DataError, printable
from seg2knet.validators.fixing.writing import Changes, Writer, locked
from seg2knet.validators.model import (
    DeleteFile,
    Edit,
    Finding,
    Fix,
    Remove,
    RenameFile,
    ReplaceText,
    SetValue,
    WriteFile,
)
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import DataSet, Overlay

ROUNDS = 10
"""More rounds than any chain of fixes needs; a bound, so that two fixes can never chase one another."""
_SHOWN_EDITS = 5
_SHOWN_BYTES = 160


TABLE = "/categories"
"""Replaced as a whole only in a round in which no single category is changed: one would undo the other."""


@dataclass
class _Claims:
    """What the fixes of one round touch in one file."""

    whole: bool = False
    places: set[str] = field(default_factory=set)
    above: set[str] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)
    made: dict[str, Edit] = field(default_factory=dict)


@dataclass
class Round:
    """The fixes of one round: all ``edits``, each once, and ``taken``, findings and the edits that are theirs alone."""

    edits: list[Edit] = field(default_factory=list)
    taken: list[tuple[Finding, list[Edit]]] = field(default_factory=list)
    _claims: dict[Path, _Claims] = field(default_factory=dict)
    _coming: set[str] = field(default_factory=set)
    _in_table: bool = False
    _listings: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def take(self, finding: Finding, edits: Sequence[Edit]) -> Optional[str]:
        """Take a finding's edits, all or none; the result says why they can never be made, where that is so: what is
        not taken may be in a later round."""
        # Another finding may have asked for the same edit of the same place.
        fresh = [edit for edit in edits if self._claims.get(edit.file, _Claims()).made.get(_place(edit)) != edit]
        if self._in_table and any(isinstance(edit, SetValue) and edit.pointer == TABLE for edit in fresh):
            return None
        leaving = {edit.file for edit in fresh if isinstance(edit, (RenameFile, DeleteFile))}
        for edit in fresh:
            target = target_of(edit)
            if target is None:
                continue
            if _folded(str(target)) in self._coming or target in self._claims:
                return None
            standing = self._standing(target, edit.file if isinstance(edit, RenameFile) else None)
            if standing is not None:
                # What another fix of this round takes away may be gone in the next one.
                return None if standing in self._claims or standing in leaving else f"{standing.name} stands there"
        if any(self._touches(edit) for edit in fresh):
            return None
        for edit in fresh:
            self._claim(edit)
        self.edits.extend(fresh)
        if fresh:
            self.taken.append((finding, fresh))
        return None

    def _standing(self, target: Path, source: Optional[Path]) -> Optional[Path]:
        """What has a file's name, in whatever case, other than the file that is to be renamed to it."""
        folder = target.parent
        if folder not in self._listings:
            names = os.listdir(folder) if folder.is_dir() else []
            self._listings[folder] = grouped((_folded(name), name) for name in names)
        same = (folder / name for name in self._listings[folder].get(_folded(target.name), ()))
        return next((path for path in same if path != source), None)

    def _touches(self, edit: Edit) -> bool:
        if self._coming and _folded(str(edit.file)) in self._coming:
            return True
        claims = self._claims.get(edit.file)
        if claims is None:
            return False
        if claims.whole or isinstance(edit, (WriteFile, RenameFile, DeleteFile)):
            return True
        if isinstance(edit, ReplaceText):
            return any(edit.start < end and start < edit.end for start, end in claims.spans)
        return edit.pointer in claims.above or not claims.places.isdisjoint(_and_above(edit.pointer))

    def _claim(self, edit: Edit) -> None:
        target = target_of(edit)
        if target is not None:
            self._coming.add(_folded(str(target)))
        claims = self._claims.setdefault(edit.file, _Claims())
        claims.made[_place(edit)] = edit
        if isinstance(edit, (WriteFile, RenameFile, DeleteFile)):
            claims.whole = True
        elif isinstance(edit, ReplaceText):
            claims.spans.append((edit.start, edit.end))
        else:
            claims.places.add(edit.pointer)
            claims.above.update(_and_above(edit.pointer.rpartition("/")[0]))
            self._in_table |= edit.pointer.startswith(TABLE)


def target_of(edit: Edit) -> Optional[Path]:
    """The file that an edit makes where none is, or ``None``."""
    if isinstance(edit, RenameFile):
        return edit.to
    return edit.file if isinstance(edit, WriteFile) and edit.new else None


def _place(edit: Edit) -> str:
    return edit.pointer if isinstance(edit, (SetValue, Remove)) else ""


def _and_above(pointer: str) -> Iterator[str]:
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]


def _folded(name: str) -> str:
    """A name as file systems compare it that mind neither case nor Unicode's forms."""
    return unicodedata.normalize("NFC", name).casefold()


class Stopped(KeyboardInterrupt):
    """Ctrl-C while files were fixed; its text says which were changed, and where each is kept as it was, and which were
    to be changed in the same round and were not."""


def mend(
    path: Path,
    look: Callable[[Optional[Overlay]], tuple[DataSet, list[Finding]]],
    fix: str,
    diff: bool,
    backup: bool,
    report: Report,
) -> tuple[DataSet, list[Finding]]:
    """Fix what can be fixed; what was done, and what could not be, is written into the report.

    ``look`` reads the data set at ``path``, with other files in the place of some, and says what the rules find. The
    result is the data set as it is now (with ``diff``: as it was) and its findings; the other arguments are those of
    ``validate``.

    Raises UsageError: another process fixes the data set; Stopped: Ctrl-C.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seg2knet-"))) if diff else None
        if not diff:
            stack.enter_context(locked(path))
        fixer = _Fixer(Writer(scratch, backup), fix, report)
        first: Optional[tuple[DataSet, list[Finding]]] = None
        try:
            for number in range(ROUNDS + 1):
                dataset, findings = look(fixer.writer.overlay)
                first = first or (dataset, findings)
                chosen = fixer.choose(dataset, findings) if number < ROUNDS else Round()
                if not chosen.edits:
                    break
                fixer.apply(chosen, dataset)
        except KeyboardInterrupt:
            done = fixer.writer.done
            lines = ["changed:" if done else "changed: nothing"]
            lines += [f"  {printable(path)}: {how}" for path, how in done.items()]
            left = [f"  {printable(path)}" for path in fixer.planned if path not in done]
            raise Stopped("\n".join([*lines, *(["not changed:", *left] if left else [])])) from None
    return first if diff and first else (dataset, findings)


class _Fixer:
    """Fixes in rounds; remembers what cannot be done, so that it is tried and told once.

    ``planned``: the files of the round that is being applied, in order.
    """

    def __init__(self, writer: Writer, fix: str, report: Report) -> None:
        self.writer = writer
        self.wanted = {Fix.SAFE} if fix == "safe" else {Fix.SAFE, Fix.UNSAFE}
        self.report = report
        self.failed: set[Path] = set()
        self.refused: set[tuple[str, Path, str]] = set()
        self.planned: list[Path] = []

    def choose(self, dataset: DataSet, findings: Sequence[Finding]) -> Round:
        chosen = Round()
        # What holds between files comes last: it waits for what is fixed within them.
        for finding in sorted(findings, key=lambda finding: finding.rule.family == "SP"):
            if finding.fix not in self.wanted or _identity(finding) in self.refused:
                continue
            try:
                edits = finding.hit.edits() if callable(finding.hit.edits) else finding.hit.edits
            except Exception as error:  # whatever a library raises for odd shapes and broken images
                self._refuse(finding, _reason(error))
                continue
            if not edits or any(edit.file in self.failed or edit.file in self.writer.promised for edit in edits):
                continue
            reason = self.writer.outside(edits, dataset) or chosen.take(finding, edits)
            if reason is not None:
                self._refuse(finding, reason)
        return chosen

    def _refuse(self, finding: Finding, reason: str) -> None:
        self.refused.add(_identity(finding))
        self.report.not_fixed.append(f"{_head(finding)}: not fixed: {reason}")

    def apply(self, chosen: Round, dataset: DataSet) -> None:
        changes: Changes = {}
        by_file = grouped((edit.file, edit) for edit in chosen.edits)
        # Files first, the JSON that names them last: a run that dies in between leaves the old JSON.
        self.planned = sorted(by_file, key=lambda path: any(isinstance(edit, SetValue) for edit in by_file[path]))
        states = {file.path: file.document.state for file in dataset.json_files}
        written: set[Path] = set()
        left: set[int] = set()  # edits, by identity
        for path in self.planned:
            edits = [edit for edit in by_file[path] if id(edit) not in left]
            try:
                if edits:
                    self.writer.write(path, edits, states.get(path), changes)
                    written.add(path)
            except Exception as error:  # whatever a library raises for a broken image
                self.failed.add(path)
                self.report.failed = self.report.failed or isinstance(error, (OSError, DataError))
                self.report.not_fixed.append(f"{dataset.show(path)}: not fixed: {_reason(error)}")
                # No JSON is to name an image that could not be renamed: what belongs to the file is left too.
                own = (edits for _, edits in chosen.taken if any(edit.file == path for edit in edits))
                for edit in chain.from_iterable(own):
                    if edit.file in written:
                        self.writer.undo(edit)
                    if edit.file not in written or isinstance(edit, RenameFile):
                        left.add(id(edit))
        for finding, edits in chosen.taken:
            done = [edit for edit in edits if id(edit) not in left]
            if done:
                _tell(self.report, finding, done, changes, dataset)


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
    head, cause = _head(finding), f"{finding.code} {finding.message}"
    report.fixed.append(f"{head}: {finding.message}")
    report.diff.append(f"@@ {head}")
    report.diff += chain.from_iterable(_lines(edit, changes, dataset) for edit in edits[:_SHOWN_EDITS])
    if len(edits) > _SHOWN_EDITS:
        report.diff.append(f"   and {len(edits) - _SHOWN_EDITS:,} more places")
    for edit in edits:
        if isinstance(edit, DeleteFile):
            report.removed.append(f"{dataset.show(edit.file)}: the file ({cause})")
        elif isinstance(edit, Remove):
            place = f" ({finding.place})" if finding.place not in ("", edit.pointer) else ""
            report.removed.append(f"{dataset.show(edit.file)}: {edit.pointer}{place}: {cause}")


def _lines(edit: Edit, changes: Changes, dataset: DataSet) -> Iterator[str]:
    file = dataset.show(edit.file)
    if isinstance(edit, WriteFile):
        yield f"~ {file}: {edit.what}"
    elif isinstance(edit, RenameFile):
        yield f"~ {file}: renamed to {dataset.show(edit.to)}"
    elif isinstance(edit, DeleteFile):
        yield f"- {file}"
    else:
        key = str(edit.start) if isinstance(edit, ReplaceText) else edit.pointer
        place = f"{file} byte {key}" if isinstance(edit, ReplaceText) else key
        for mark, value in zip("-+", changes.get((edit.file, key), ())):
            if value is not None:
                text = " ".join(value[: 4 * _SHOWN_BYTES].decode("utf-8", "replace").split())
                yield f"{mark} {place}: {text if len(text) <= _SHOWN_BYTES else text[: _SHOWN_BYTES - 1] + '…'}"
