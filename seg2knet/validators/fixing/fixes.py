"""Applies fixes: writes a new file beside the old one and swaps it in when it is whole.

A round applies all fixes that do not touch one another and looks again; rounds go on until nothing is left to mend.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from seg2knet.errors import DataError
from seg2knet.validators.checking import check
from seg2knet.validators.fixing.splice import Change, Splice, plan
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
from seg2knet.validators.subjects.document import JsonText, RawDict

ROUNDS = 10
"""More rounds than any chain of fixes needs; a bound, so that two fixes can never chase one another."""
TABLE = "/categories"
"""Written whole only in a round in which no file's categories are mended one by one: one would undo the other."""
_SHOWN_EDITS = 5
_SHOWN_BYTES = 160


@dataclass
class _Claims:
    """What the fixes of one round touch in one file."""

    whole: bool = False
    places: set[str] = field(default_factory=set)
    above: set[str] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Round:
    """The fixes of one round that go together."""

    claims: dict[Path, _Claims] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    made: dict[tuple[Path, str], Edit] = field(default_factory=dict)
    taken: list[tuple[Finding, list[Edit]]] = field(default_factory=list)
    in_table: bool = False

    def take(self, finding: Finding, edits: Sequence[Edit]) -> bool:
        """Take a finding's edits, all or none; whether they could be taken."""
        fresh = [edit for edit in edits if self.made.get(_name(edit)) != edit]
        if any(isinstance(edit, SetValue) and edit.pointer == TABLE for edit in fresh) and self.in_table:
            return False
        if any(self._touches(edit) for edit in fresh):
            return False
        for edit in fresh:
            self._claim(edit)
            self.made[_name(edit)] = edit
            self.in_table |= isinstance(edit, (SetValue, Remove)) and edit.pointer.startswith(TABLE)
        self.edits.extend(fresh)
        self.taken.append((finding, fresh))
        return bool(fresh)

    def _touches(self, edit: Edit) -> bool:
        claims = self.claims.get(edit.file)
        if claims is None:
            return False
        if claims.whole or isinstance(edit, (WriteFile, RenameFile, DeleteFile)):
            return True
        if isinstance(edit, ReplaceText):
            return any(edit.start < end and start < edit.end for start, end in claims.spans)
        return edit.pointer in claims.above or any(each in claims.places for each in _and_above(edit.pointer))

    def _claim(self, edit: Edit) -> None:
        claims = self.claims.setdefault(edit.file, _Claims())
        if isinstance(edit, (WriteFile, RenameFile, DeleteFile)):
            claims.whole = True
        elif isinstance(edit, ReplaceText):
            claims.spans.append((edit.start, edit.end))
        else:
            claims.places.add(edit.pointer)
            claims.above.update(list(_and_above(edit.pointer))[1:])


def _name(edit: Edit) -> tuple[Path, str]:
    """File and place: two rules that ask for the same edit of the same place are of one mind."""
    return edit.file, edit.pointer if isinstance(edit, (SetValue, Remove)) else ""


def _and_above(pointer: str) -> Iterable[str]:
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]


def mend(
    reopen: Callable[[Optional[Overlay]], DataSet],
    rules: Sequence[Rule],
    fix: str,
    diff: bool,
    backup: bool,
    report: Report,
) -> tuple[DataSet, list[Finding]]:
    """Fix what can be fixed; what was done is written into the report.

    Args:
        reopen: reads the data set, with other files' content in the place of some where it is given.
        rules: to look for.
        fix: ``safe`` or ``unsafe``.
        diff: only say what would be done.
        backup: keep replaced files as ``.bak``.

    Returns:
        The data set as it is now (with ``diff``: as it was) and its findings.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seg2knet-"))) if diff else None
        writer = _Writer(scratch, backup)
        first: Optional[tuple[DataSet, list[Finding]]] = None
        for _ in range(ROUNDS):
            dataset = reopen(writer.overlay)
            findings = check(dataset, rules)
            first = first or (dataset, findings)
            now = _chosen(findings, fix, writer, report)
            if not now.edits:
                break
            writer.write(now, dataset, report)
        else:
            dataset = reopen(writer.overlay)
            findings = check(dataset, rules)
    return first if diff and first else (dataset, findings)


def _chosen(findings: Sequence[Finding], fix: str, writer: _Writer, report: Report) -> _Round:
    wanted = {Fix.SAFE} if fix == "safe" else {Fix.SAFE, Fix.UNSAFE}
    now = _Round()
    # What holds between files comes last: it waits for what is mended within them.
    for finding in sorted(findings, key=lambda finding: finding.rule.family == "SP"):
        if finding.fix not in wanted:
            continue
        edits = _edits(finding, writer, report)
        if edits and writer.can(edits):
            now.take(finding, edits)
    return now


def _edits(finding: Finding, writer: _Writer, report: Report) -> Sequence[Edit]:
    """A finding's edits; none, and a line in the report, where they cannot be worked out."""
    if not callable(finding.hit.edits):
        return finding.hit.edits
    key = (finding.code, finding.hit.file, finding.hit.pointer)
    if key in writer.refused:
        return ()
    try:
        return finding.hit.edits()
    except Exception as error:  # whatever a library raises for odd shapes and broken pictures
        writer.refused.add(key)
        report.fixed.append(f"{_head(finding)}: could not be mended: {_said(error)}")
        return ()


def _head(finding: Finding) -> str:
    where = ": ".join(part for part in (finding.file, finding.place) if part)
    return f"{where}: {finding.code} {finding.name}"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


class _Writer:
    """Puts edits into files, or, with a scratch folder, into copies there."""

    def __init__(self, scratch: Optional[Path], backup: bool) -> None:
        self.scratch = scratch
        self.backup = backup
        self.overlay: dict[Path, Path] = {}
        self.kept: set[Path] = set()
        self.told: set[Path] = set()
        self.failed: set[Path] = set()
        self.refused: set[tuple[str, Path, str]] = set()

    def can(self, edits: Sequence[Edit]) -> bool:
        """Whether these edits can be made: no file is overwritten by a rename, none is tried again that failed."""
        for edit in edits:
            if edit.file in self.failed or edit.file in self.told:
                return False
            if isinstance(edit, RenameFile) and edit.to.exists() and not _same(edit.file, edit.to):
                return False
        return True

    def write(self, now: _Round, dataset: DataSet, report: Report) -> None:
        changes: dict[tuple[Path, str], Change] = {}
        by_file: dict[Path, list[Edit]] = {}
        for edit in now.edits:
            by_file.setdefault(edit.file, []).append(edit)
        # Files first, the JSON that names them last: a run that dies in between leaves the old JSON.
        order = sorted(by_file, key=lambda path: any(isinstance(edit, SetValue) for edit in by_file[path]))
        written: set[Path] = set()
        left: set[int] = set()  # edits, by identity
        for path in order:
            edits = [edit for edit in by_file[path] if id(edit) not in left]
            try:
                if edits:
                    self._write_file(path, edits, changes)
            except Exception as error:  # whatever a library raises for a broken picture
                self.failed.add(path)
                report.fixed.append(f"{dataset.show(path)}: could not be mended: {_said(error)}")
                # What belongs to it is left too: no JSON is to name a picture that could not be renamed.
                together = [edits for _, edits in now.taken if any(edit.file == path for edit in edits)]
                left.update(id(edit) for edits in together for edit in edits if edit.file not in written)
            else:
                written.add(path)
        for finding, edits in now.taken:
            done = [edit for edit in edits if id(edit) not in left]
            if done:
                _tell(report, finding, done, changes, dataset)

    def _write_file(self, path: Path, edits: Sequence[Edit], changes: dict[tuple[Path, str], Change]) -> None:
        whole = edits[0]
        if isinstance(whole, WriteFile):
            if self.scratch is not None and path.suffix.lower() != ".json":
                self.told.add(path)
            else:
                self._swap(path, [whole.make()])
        elif isinstance(whole, (RenameFile, DeleteFile)):
            self._move(path, whole)
        elif isinstance(whole, ReplaceText):
            self._replace_text(path, [edit for edit in edits if isinstance(edit, ReplaceText)], changes)
        else:
            self._edit_json(path, [edit for edit in edits if isinstance(edit, (SetValue, Remove))], changes)

    def _move(self, path: Path, edit: Union[RenameFile, DeleteFile]) -> None:
        if self.scratch is not None:
            self.told.add(path)
        elif isinstance(edit, RenameFile):
            edit.to.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, edit.to)
        elif self.backup:
            os.replace(path, _free_name(path))
        else:
            path.unlink()

    def _replace_text(self, path: Path, edits: Sequence[ReplaceText], changes: dict[tuple[Path, str], Change]) -> None:
        content = self.overlay.get(path, path).read_bytes()
        splices = sorted(Splice(edit.start, edit.end, edit.text.encode()) for edit in edits)
        for splice in splices:
            where = f"{splice.start}"
            changes[path, where] = Change(where, content[splice.start : splice.end], splice.new)
        self._swap(path, _pieces(memoryview(content), splices))

    def _edit_json(
        self, path: Path, edits: Sequence[Union[SetValue, Remove]], changes: dict[tuple[Path, str], Change]
    ) -> None:
        document = JsonText(path, self.overlay.get(path))
        document.decode(RawDict)  # masks what must be masked
        splices, changed = plan(document.text, edits)
        for change in changed:
            changes[path, change.pointer] = change
        if not splices:
            raise DataError("the place to be mended was not found", file=path)
        if document.start < 0:
            self._swap(path, _pieces(memoryview(document.text), splices))
            return
        # The file's own bytes: in ``text`` NaN and the like are masked.
        content = memoryview(JsonText.original(path, self.overlay.get(path)))
        self._swap(path, [content[: document.start], *_pieces(content[document.start :], splices)])

    def _swap(self, path: Path, pieces: Iterable[Union[bytes, memoryview]]) -> None:
        if self.scratch is not None:
            target = self.scratch / f"{len(self.overlay)}-{os.urandom(4).hex()}{path.suffix}"
            _write_all(target, pieces)
            self.overlay[path] = target
            return
        real = path.resolve()
        new = real.with_name(f".{real.name}.seg2knet-new")
        try:
            _write_all(new, pieces)
            there = real.exists()
            if there:
                shutil.copymode(real, new)
            if there and self.backup and real not in self.kept:
                _keep(real, _free_name(real))
                self.kept.add(real)
            os.replace(new, real)
        finally:
            new.unlink(missing_ok=True)


def _pieces(view: memoryview, splices: Sequence[Splice]) -> Iterable[Union[bytes, memoryview]]:
    at = 0
    for splice in splices:
        yield view[at : splice.start]
        yield splice.new
        at = splice.end
    yield view[at:]


def _write_all(path: Path, pieces: Iterable[Union[bytes, memoryview]]) -> None:
    with open(path, "wb", buffering=1 << 20) as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _same(one: Path, other: Path) -> bool:
    """Whether both names are one file: a rename that only changes case, where the file system does not mind case."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _free_name(path: Path) -> Path:
    """``x.json.bak``, or ``x.json.bak2``... where that is taken: an older original is never lost."""
    name, count = path.with_name(path.name + ".bak"), 1
    while name.exists():
        count += 1
        name = path.with_name(f"{path.name}.bak{count}")
    return name


def _keep(path: Path, as_name: Path) -> None:
    try:
        os.link(path, as_name)
    except OSError:  # a file system without links
        shutil.copy2(path, as_name)


def _tell(
    report: Report,
    finding: Finding,
    edits: Sequence[Edit],
    changes: dict[tuple[Path, str], Change],
    dataset: DataSet,
) -> None:
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
