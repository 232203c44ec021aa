"""The last step but checking: the targets' files, part after part in the scan's order, and the images into place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

from seg2knet.converters.base import Writer
from seg2knet.converters.output.staging import Mode, Staging, place
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.division import Assignment
from seg2knet.converters.work import Done, read_part
from seg2knet.dataset.layout import SPLITS

_THREADS = 4
Target = tuple[Writer, Path]
"""A writer, open, and its folder."""
Move = tuple[str, str, Mode]
"""From where a file comes, to where, and how."""


def join(
    parts: int, targets: Sequence[Target], assignments: Sequence[Assignment], staging: Staging, mode: Mode
) -> Iterator[int]:
    """Give the parts in ``staging`` to the writers, one after another, and bring the images to each target's folder;
    yields how many images are done.

    Raises OSError: something cannot be written.
    """
    make_folder = lru_cache(None)(partial(os.makedirs, exist_ok=True))
    if mode != "none":
        for split in splits_of(assignments):
            for writer, tree in targets:
                make_folder(os.path.dirname(f"{tree}/{writer.image(split, 'x')}"))
    remaining = iter(assignments)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = []
        for number in range(parts):
            moves: list[Move] = []
            finished = read_part(staging.part(number)).images
            for image, (split, name) in zip(finished, remaining):
                if name is not None:
                    staged = {form: str(staging.staged(number, image.index, form)) for form in image.staged}
                    moves += _add(image, split, name, staged, targets, mode)
            for _, target, _ in moves:
                make_folder(os.path.dirname(target))
            waiting.append(pool.submit(_bring, moves, len(finished)))
            yield from (future.result() for future in waiting[: -2 * _THREADS])
            del waiting[: -2 * _THREADS]
        yield from (future.result() for future in waiting)


def _bring(moves: list[Move], images: int) -> int:
    for move in moves:
        place(*move)
    return images


def _add(
    image: Done, split: str, name: str, staged: Mapping[str, str], targets: Sequence[Target], mode: Mode
) -> list[Move]:
    """Give one image to the writers; the files that are to be brought, once where targets share a folder."""
    moves: dict[str, Move] = {}
    for (writer, tree), fragment in zip(targets, image.fragments):
        root = f"{tree}/"
        final = f"{names.without_suffix(name)}.jpg" if writer.jpeg_only else name
        writer.add(split, final, fragment)
        for form, source in staged.items():
            owner, dot, kind = form.partition(".")
            if owner == writer.name and dot:
                target = root + writer.blob(kind, split, final)
                moves[target] = source, target, "link"
        target = root + writer.image(split, final)
        # The staged form of the image that has the final name's format, else the source's file itself.
        own = staged.get(names.suffix(final)[1:]) or staged.get("image")
        if own is not None:
            moves[target] = own, target, "link"
        elif image.path is not None and mode != "none":
            moves[target] = image.path, target, mode
    return list(moves.values())


def splits_of(assignments: Sequence[Assignment]) -> list[str]:
    """The splits that have images, in the usual order."""
    there = {split for split, _ in assignments}
    return [split for split in SPLITS if split in there]
