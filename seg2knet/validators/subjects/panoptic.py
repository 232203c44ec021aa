"""A split's panoptic PNGs beside its JSON: what is there, and which segment is which region."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.label_image import AREA, ID, X
from seg2knet.validators.subjects.album import ODD, album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.files import PanopticFile
from seg2knet.validators.subjects.pictures import Gallery, scan, survey

TOP = 1 << 24
"""Ids from here on do not fit into a PNG's 24 bits."""


class Pngs:
    """The PNGs of one panoptic file.

    Attributes:
        part, file: the split and its panoptic file.
        folder: where the PNGs are; ``None`` where there is no such folder.
    """

    def __init__(self, part: Part, file: PanopticFile) -> None:
        self.part, self.file = part, file
        self.folder = part.pngs_dir if part.pngs_dir is not None and part.pngs_dir.is_dir() else None

    def derived(self, entry: int) -> Optional[str]:
        """The PNG's name as mmdet makes it of the image's; ``None`` where the image is not known."""
        name = self.file.image_name(int(self.file.image_rows[entry]))
        return name.replace(".jpg", ".png") if name else None

    def place(self, name: Optional[str]) -> Optional[Path]:
        """Where a PNG of that name would be; ``None`` for a name that leaves the folder."""
        if not name or self.folder is None or "\0" in name or ODD.search(name):
            return None
        return self.folder / name

    @cached_property
    def _listing(self) -> set[str]:
        found: set[str] = set()
        for folder, _, names in os.walk(self.folder or ""):
            found.update(os.path.join(folder, name) for name in names)
        return found

    def exists(self, path: Optional[Path]) -> bool:
        return path is not None and (str(path) in self._listing or os.path.isfile(path))

    @cached_property
    def paths(self) -> list[Optional[str]]:
        """For each entry the PNG that its name means, or that mmdet's name means; ``None`` where there is neither."""
        found: list[Optional[str]] = []
        for entry, name in enumerate(self.file.entries.names):
            choices = (self.place(name), self.place(self.derived(entry)))
            found.append(next((str(path) for path in choices if self.exists(path)), None))
        return found

    @cached_property
    def _unique(self) -> dict[str, int]:
        return {path: place for place, path in enumerate(dict.fromkeys(path for path in self.paths if path))}

    @cached_property
    def gallery(self) -> Gallery:
        """The PNGs there are, each once."""
        return survey(self._unique, self.part.dataset.jobs)

    @cached_property
    def where(self) -> np.ndarray:
        """For each entry its place in the gallery, ``(E,)`` int64, -1 where there is no whole PNG."""
        places = np.array([-1 if path is None else self._unique[path] for path in self.paths], np.int64)
        broken = self.gallery.broken()
        return np.array([place if place >= 0 and not broken[place] else -1 for place in places.tolist()], np.int64)

    def kind(self, entry: int) -> tuple[str, str]:
        """Format and mode of an entry's PNG."""
        return self.gallery.kind(int(self.where[entry]))

    @cached_property
    def plain(self) -> np.ndarray:
        """Whether an entry has a whole RGB PNG of 8 bits, ``(E,)`` bool."""
        kind = self.gallery.kind
        return np.array([place >= 0 and kind(place) == ("PNG", "RGB") for place in self.where.tolist()], bool)

    def size(self, entry: int) -> tuple[int, int]:
        """Width and height of an entry's PNG."""
        width, height = self.gallery.stored()
        place = int(self.where[entry])
        return int(width[place]), int(height[place])

    @cached_property
    def image_sizes(self) -> list[set[tuple[int, int]]]:
        """For each entry the sizes its PNG may have: the image's, shown and stored; without an image the JSON's."""
        book, file = album(self.part), self.file
        places = book.places(file)
        shown, stored = book.gallery.shown(), book.gallery.stored()
        broken = book.gallery.broken()
        sizes: list[set[tuple[int, int]]] = []
        for row in file.image_rows.tolist():
            place = int(places[row]) if row >= 0 else -1
            if place >= 0 and not broken[place]:
                sizes.append({(int(w[place]), int(h[place])) for w, h in (shown, stored)})
            elif row >= 0 and file.images.widths[row] > 0 and file.images.heights[row] > 0:
                sizes.append({(int(file.images.widths[row]), int(file.images.heights[row]))})
            else:
                sizes.append(set())
        return sizes

    @cached_property
    def fits(self) -> np.ndarray:
        """Whether an entry's PNG is plain and of its image's size, as far as that is known; ``(E,)`` bool."""
        return np.array(
            [
                bool(plain) and (not sizes or self.size(entry) in sizes)
                for entry, (plain, sizes) in enumerate(zip(self.plain.tolist(), self.image_sizes))
            ],
            bool,
        )

    @cached_property
    def regions(self) -> list[Optional[np.ndarray]]:
        """For each entry with a fitting PNG its regions (``regions.regions``), else ``None``."""
        usable = [path for entry, path in enumerate(self.paths) if path and self.fits[entry]]
        found = dict(zip(usable, scan(usable, self.part.dataset.jobs)))
        return [found[path] if path and self.fits[entry] else None for entry, path in enumerate(self.paths)]

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """All regions, ``(R, 6)``, sorted by entry and id, and the entry of each, ``(R,)``."""
        tables = [np.zeros((0, 6), np.int64) if each is None else each for each in self.regions]
        entry = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        return (np.concatenate(tables) if tables else np.zeros((0, 6), np.int64)), entry

    @property
    def all_regions(self) -> np.ndarray:
        return self._rows[0]

    @property
    def region_entry(self) -> np.ndarray:
        return self._rows[1]

    @cached_property
    def checked(self) -> np.ndarray:
        """Segments with an id whose PNG can be looked at, ``(S,)`` bool."""
        segments = self.file.segments
        seen = np.array([table is not None for table in self.regions], bool)
        return segments.has_id & (seen[segments.entry] if len(seen) else False)

    @cached_property
    def impossible(self) -> np.ndarray:
        """Segments whose id is 0, negative or does not fit into 24 bits, ``(S,)`` bool."""
        segments = self.file.segments
        return segments.has_id & ((segments.ids <= 0) | (segments.ids >= TOP))

    @cached_property
    def match(self) -> np.ndarray:
        """For each segment its row in ``all_regions``, ``(S,)`` int64, -1 where the PNG lacks its id."""
        segments, (rows, entry) = self.file.segments, self._rows
        keys = entry * TOP + rows[:, ID]
        usable = self.checked & ~self.impossible
        wanted = np.where(usable, segments.entry * TOP + segments.ids, -1)
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(usable & (keys[places] == wanted), places, -1)

    @cached_property
    def repeated(self) -> np.ndarray:
        """Segments whose id another segment of the entry has too, ``(S,)`` bool."""
        segments = self.file.segments
        keys = np.stack([segments.entry, segments.ids, segments.has_id.astype(np.int64)], axis=1)
        _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        return segments.has_id & (counts[inverse.reshape(-1)] > 1) if len(keys) else np.zeros(0, bool)

    @cached_property
    def unclaimed(self) -> dict[int, list[int]]:
        """Entry -> rows of ``all_regions`` that no segment has and that are not 0 (void)."""
        rows, entry = self._rows
        taken = np.zeros(len(rows), bool)
        taken[self.match[self.match >= 0]] = True
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(~taken & (rows[:, ID] != 0)).tolist():
            found.setdefault(int(entry[row]), []).append(row)
        return found

    @cached_property
    def lost(self) -> dict[int, int]:
        """Segment -> the unclaimed region that is surely its own: of the same 24 bits, or alone of its area and box."""
        segments, rows = self.file.segments, self.all_regions
        orphans = np.flatnonzero(self.checked & (self.match < 0)).tolist()
        found: dict[int, int] = {}
        taken: set[int] = set()
        for segment in orphans:
            free = [row for row in self.unclaimed.get(int(segments.entry[segment]), []) if row not in taken]
            short = int(segments.ids[segment]) & (TOP - 1) if self.impossible[segment] else -1
            alike = [row for row in free if rows[row, ID] == short] or [
                row for row in free if self._alike(segment, row)
            ]
            if len(alike) == 1:
                found[segment] = alike[0]
                taken.add(alike[0])
        return found

    def _alike(self, segment: int, row: int) -> bool:
        segments, region = self.file.segments, self.all_regions[row]
        box = segments.boxes[segment]
        return segments.areas[segment] == region[AREA] and bool(np.isnan(box).any() or (box == region[X:]).all())

    @cached_property
    def thing(self) -> np.ndarray:
        """For each segment 1 for a thing, 0 for stuff, -1 where its category does not say; ``(S,)`` int64."""
        said = {category.id: category.isthing for category in self.file.categories if category.id is not None}
        ids = self.file.segments.category_ids.tolist()
        return np.array([_flag(said.get(each)) for each in ids], np.int64)


def _flag(value: Optional[int]) -> int:
    return -1 if value is None or int(value) not in (0, 1) else int(value)


def pngs(part: Part) -> Optional[Pngs]:
    """The split's panoptic PNGs, looked at once; ``None`` where it has no panoptic file."""
    if part.panoptic is None:
        return None
    kept = vars(part)
    if "_pngs" not in kept:
        kept["_pngs"] = Pngs(part, part.panoptic)
    return kept["_pngs"]
