"""The last step but checking: the targets' files, part after part in the scan's order, and the images into place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seg2knet.converters.base import Writer
from seg2knet.converters.output.images import Mode, place
from seg2knet.converters.output.staging import Staging
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.division import Assignment
from seg2knet.converters.work import Done, read_part
from seg2knet.dataset.layout import SPLITS

_THREADS = 4


class Move(NamedTuple):
    """A file to be put into the target; ``staged`` where it was made by this run."""

    source: str
    target: str
    staged: bool


@dataclass
class Joining:
    """Gives the parts to the writers, which are open."""

    writers: Sequence[Writer]
    assignments: Sequence[Assignment]  # of each image
    staging: Staging  # where the parts are
    trees: Mapping[str, Path]  # each target's folder
    mode: Mode  # how images get to the target
    _made: set[str] = field(default_factory=set)

    def run(self, parts: int) -> Iterator[int]:
        """Join part after part, and bring the images; yields how many images are done.

        Raises OSError: something cannot be written.
        """
        if self.mode != "none":
            for split in splits_of(self.assignments):
                for writer in self.writers:
                    self._make_folder(f"{self.trees[writer.name]}/{writer.image(split, 'x')}")
        assignments = iter(self.assignments)
        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = []
            for number in range(parts):
                moves: list[Move] = []
                finished = read_part(self.staging.part(number)).images
                for image, (split, name) in zip(finished, assignments):
                    if name is not None:
                        moves += self._add(split, name, number, image)
                for move in moves:
                    self._make_folder(move.target)
                waiting.append(pool.submit(self._bring, moves, len(finished)))
                yield from (future.result() for future in waiting[: -2 * _THREADS])
                del waiting[: -2 * _THREADS]
            yield from (future.result() for future in waiting)

    def _bring(self, moves: list[Move], images: int) -> int:
        for source, target, staged in moves:
            place(source, target, "link" if staged else self.mode)
        return images

    def _add(self, split: str, name: str, number: int, image: Done) -> list[Move]:
        """Give one image to the writers; the files that are to be brought, once where targets share a folder."""
        moves: dict[str, Move] = {}

        def move(staged: str, target: str) -> None:
            moves[target] = Move(str(self.staging.staged(number, image.index, staged)), target, True)

        for writer, fragment in zip(self.writers, image.fragments):
            root = f"{self.trees[writer.name]}/"
            final = f"{names.without_suffix(name)}.jpg" if writer.jpeg_only else name
            writer.add(split, final, fragment)
            for staged in image.staged:
                owner, dot, kind = staged.partition(".")
                if owner == writer.name and dot:
                    move(staged, root + writer.blob(kind, split, final))
            target = root + writer.image(split, final)
            # The staged form of the image that has the final name's format, else the source's file itself.
            forms = [form for form in (names.suffix(final)[1:], "image") if form in image.staged]
            if forms:
                move(forms[0], target)
            elif image.path is not None and self.mode != "none":
                moves[target] = Move(image.path, target, False)
        return list(moves.values())

    def _make_folder(self, target: str) -> None:
        folder = target[: target.rindex("/")]
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)


def splits_of(assignments: Sequence[Assignment]) -> list[str]:
    """The splits that have images, in the usual order."""
    there = {split for split, _ in assignments}
    return [split for split in SPLITS if split in there]
