"""The images of a split as its files name them: which file each name means, and what that file is."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Optional, Union
from urllib.parse import unquote

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.validators.subjects.data import Part, listed
from seg2knet.validators.subjects.files import CocoFile, PanopticFile, once
from seg2knet.validators.subjects.image_files import Gallery, survey

AnyFile = Union[CocoFile, PanopticFile]

ODD = re.compile(r"\\|^/|^[A-Za-z]:|^file:|(^|/)\.\.(/|$)")
"""Names that mean another file elsewhere: back-slashes, absolute, with a drive, going up."""


@dataclass(frozen=True)
class Meaning:
    path: Optional[str]  # the file, where there is one
    # the name it should have been, relative to the folder of images; ``None`` where nobody can say
    proper: Optional[str]
    odd: bool  # it has back-slashes, is absolute or leaves the folder
    # ``named`` (the file is where the name says), ``case``, ``quoted`` (``%20`` or white space at the ends), ``suffix``
    # or ``elsewhere`` (what differs from the only file it can mean), ``missing``, or ``ambiguous`` (several files may
    # be meant)
    how: str


class Album:
    """The images of a split.

    Attributes:
        folder: where the images are, ending in a separator; empty where there is no such folder.
        files: annotation files that name images; none in an ADE folder.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        there = part.images_dir is not None and part.images_dir.is_dir()
        self.folder = os.path.join(str(part.images_dir), "") if there else ""
        self.files: list[AnyFile] = part.json_files
        self._meanings: dict[str, Meaning] = {}
        self._files_read: dict[int, tuple[list[Optional[str]], list[tuple[int, str, Meaning]]]] = {}

    @cached_property
    def listing(self) -> dict[str, str]:
        """Every image in the folder: name relative to it, with forward slashes -> path; sorted folder by folder."""
        return listed(Path(self.folder)) if self.folder else {}

    @cached_property
    def _alike(self) -> dict[tuple[str, str], list[str]]:
        """The images by their names without case, by stem, and by the last step of their names."""
        return grouped((key, name) for name in self.listing for key in _keys(name))

    @cached_property
    def names(self) -> set[str]:
        return {name for file in self.files for name in file.images.names if name is not None}

    def meaning(self, name: str) -> Meaning:
        if name not in self._meanings:
            self._meanings[name] = self._search(name)
        return self._meanings[name]

    def _search(self, name: str) -> Meaning:
        if name in self.listing:
            return Meaning(self.listing[name], name, False, "named")
        odd = bool(ODD.search(name))
        if "\0" in name or not self.folder:
            return Meaning(None, None, odd, "missing")
        # Relative to the folder, with forward slashes, without ``.`` and ``..`` where they lead back.
        plain = re.sub(r"^file:/*(?=/|[A-Za-z]:)", "", name).replace("\\", "/")
        joined = os.path.normpath(os.path.join(self.folder, plain))
        inside = joined.startswith(self.folder)
        proper = (joined[len(self.folder) :] if inside else os.path.normpath(plain)).replace(os.sep, "/")
        if proper in self.listing:
            return Meaning(self.listing[proper], proper, odd, "named")
        place = self.part.image_path(proper)
        if proper and place is not None and os.path.isfile(place):
            return Meaning(str(place), proper, odd, "named")
        return self._outside(name, proper) if odd else self._resembling(proper)

    def _outside(self, name: str, proper: str) -> Meaning:
        """A name from another machine: the longest end of it that is an image here."""
        steps = [step for step in proper.split("/") if step not in ("", "..", ".")]
        for start in range(len(steps)):
            ending = "/".join(steps[start:])
            same = [ending] if ending in self.listing else self._alike.get(next(_keys(ending)), [])
            if len(same) == 1:
                return Meaning(self.listing[same[0]], same[0], True, "named")
        # A file outside the folder works on this machine; it is not opened, for the name may be hostile.
        there = os.path.isfile(os.path.join(self.folder, name))
        return Meaning(None, None, True, "named" if there else "missing")

    def _resembling(self, name: str) -> Meaning:
        """The only image that no file names and whose name differs in case, in ``%20`` or white space at its ends, in
        its suffix or in its folder."""
        plain = unquote(name).strip()
        if plain != name and plain in self.listing and plain not in self.names:
            return Meaning(self.listing[plain], plain, False, "quoted")
        for key in _keys(name):
            free = [other for other in self._alike.get(key, ()) if other not in self.names]
            if len(free) == 1:
                return Meaning(self.listing[free[0]], free[0], False, key[0])
            if free:
                return Meaning(None, None, False, "ambiguous")
        return Meaning(None, None, False, "missing")

    def unusual(self, file: AnyFile) -> list[tuple[int, str, Meaning]]:
        """Row, name and meaning of each image whose name is not simply that of a file in the folder."""
        return self._read(file)[1]

    def _read(self, file: AnyFile) -> tuple[list[Optional[str]], list[tuple[int, str, Meaning]]]:
        """The path of each image of a file, ``None`` for none; and the unusual ones."""
        if id(file) not in self._files_read:
            names = file.images.names
            paths = list(map(self.listing.get, names))  # type: ignore[arg-type]  # None is no image's name
            unusual = []
            for row, name in enumerate(names) if not all(paths) else ():
                # Without a folder every image is missing: only odd names are worth a word.
                if name and paths[row] is None and (self.folder or ODD.search(name)):
                    meaning = self.meaning(name)
                    unusual.append((row, name, meaning))
                    paths[row] = meaning.path
            self._files_read[id(file)] = (paths, unusual)
        return self._files_read[id(file)]

    @cached_property
    def paths(self) -> list[str]:
        """The images that are meant, each once, in the order of the files; in an ADE folder all there are."""
        if not self.files or not self.folder:
            return list(self.listing.values())
        return list(filter(None, dict.fromkeys(chain.from_iterable(self._read(file)[0] for file in self.files))))

    @cached_property
    def gallery(self) -> Gallery:
        return survey(self.paths, self.part.dataset.jobs)

    @cached_property
    def index(self) -> dict[Optional[str], int]:
        return {None: -1, **{path: place for place, path in enumerate(self.paths)}}

    def places(self, file: AnyFile) -> np.ndarray:
        """For each image of a file its index in ``paths``, ``(N,)`` int64, -1 for none."""
        paths = self._read(file)[0]
        if paths == self.paths:
            return np.arange(len(paths))
        return np.fromiter(map(self.index.__getitem__, paths), np.int64, len(paths))

    def rows_of(self, file: AnyFile, path: str) -> list[int]:
        """The rows of a file's images that mean an image."""
        return np.flatnonzero(self.places(file) == self.index[path]).tolist()

    @cached_property
    def owners(self) -> dict[str, tuple[AnyFile, int]]:
        """Path -> the first annotation file and row that mean it."""
        owners: dict[str, tuple[AnyFile, int]] = {}
        for file in self.files:
            for row, path in enumerate(self._read(file)[0]):
                if path is not None:
                    owners.setdefault(path, (file, row))
        return owners

    def of(self, path: str) -> dict[str, object]:
        """``image_id`` and ``image_name`` of an image, as a ``Hit`` takes them."""
        if path not in self.owners:
            return {"image_name": self.name_of(path)}
        file, row = self.owners[path]
        shown_id = file.shown_id(file.images.ids, file.images.has_id, row)
        return {"image_id": shown_id, "image_name": file.images.names[row]}

    def name_of(self, path: str) -> str:
        return path[len(self.folder) :].replace(os.sep, "/") if path.startswith(self.folder) else Path(path).name


def album(part: Part) -> Album:
    return once(part, Album)


def stem(name: str) -> str:
    """A name without its suffix, folders kept."""
    return str(PurePosixPath(name).with_suffix("")) if name.strip("./") else name


def _keys(name: str) -> Iterator[tuple[str, str]]:
    """What names that may mean the same file have in common: all but case, all but the suffix, the last step."""
    yield "case", unicodedata.normalize("NFC", name).casefold()
    yield "suffix", stem(name)
    yield "elsewhere", name.rpartition("/")[2]
