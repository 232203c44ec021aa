"""The last step but checking: the targets' files, part after part in the scan's order, and where each picture goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

from seg2knet.converters.base import Writer
from seg2knet.converters.output.images import Mode
from seg2knet.converters.output.staging import Staging
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.division import Plan
from seg2knet.converters.work import Entry, Placements, read_entries


class Joining:
    """Gives the parts to the writers, which are open.

    Args:
        writers: of all targets.
        division: split and name of each image.
        staging: where the parts are.
        trees: each target's folder.
        mode: how pictures get to the target.
    """

    def __init__(
        self, writers: Sequence[Writer], division: Plan, staging: Staging, trees: Mapping[str, Path], mode: Mode
    ) -> None:
        self.writers = writers
        self.division = division
        self.staging = staging
        self.roots = {name: f"{tree}/" for name, tree in trees.items()}
        self.mode = mode

    def parts(self) -> Iterator[Placements]:
        """Join part after part; what is left to do is to bring the files.

        Raises:
            OSError: something cannot be written.
        """
        folders = _Folders()
        for writer in self.writers:
            for split in self.division.used:
                folders.make(self.roots[writer.name] + writer.picture(split, "x"), self.mode != "none")
        plan = iter(self.division)
        for number in range(self.division.parts):
            entries = read_entries(self.staging.part(number))
            pairs: list[tuple[str, str, bool]] = []
            for entry, (_, split, name) in zip(entries, plan):
                if name is not None:
                    moves = self._add(split, name, number, entry)
                    pairs += [(source, folders.make(target), staged) for source, target, staged in moves]
            yield Placements(len(entries), pairs)

    def _add(self, split: str, name: str, number: int, entry: Entry) -> list[tuple[str, str, bool]]:
        """Give one image to the writers; the files that are to be brought."""
        moves: dict[str, tuple[str, bool]] = {}
        for writer, fragment in zip(self.writers, entry.fragments):
            final = f"{names.without_suffix(name)}.jpg" if writer.jpeg_only else name
            writer.add(split, final, fragment)
            root = self.roots[writer.name]
            if writer.name in entry.staged:
                blob = root + writer.blob(split, final)
                moves[blob] = (str(self.staging.staged(number, entry.index, writer.name)), True)
            form = _form(entry, final) if entry.staged else None
            if form is not None:
                staged = str(self.staging.staged(number, entry.index, form))
                moves[root + writer.picture(split, final)] = (staged, True)
            elif entry.path is not None and self.mode != "none":
                moves[root + writer.picture(split, final)] = (entry.path, False)
        return [(source, target, staged) for target, (source, staged) in moves.items()]


class _Folders:
    """Makes folders, each once."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    def make(self, target: str, wanted: bool = True) -> str:
        """Make the folder of a file; the file's path."""
        folder = target[: target.rindex("/")]
        if wanted and folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        return target


def _form(entry: Entry, final: str) -> Optional[str]:
    """Which staged form of the picture has the final name's format, if it is not the picture itself."""
    ending = names.suffix(final)
    if ending == ".jpg" and "jpg" in entry.staged:
        return "jpg"
    if ending == ".png" and "png" in entry.staged:
        return "png"
    return "picture" if "picture" in entry.staged else None
