"""Which fixes go together: no two touch the same place, none writes where something stands or is about to stand."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from seg2knet.dataset.grouping import grouped
from seg2knet.validators.model import DeleteFile, Edit, Finding, Remove, RenameFile, ReplaceText, SetValue, WriteFile

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
    """The fixes of one round that go together: all ``edits``, each once, and ``taken``, findings and the edits that are
    theirs alone."""

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
