"""A split's panoptic PNGs beside its JSON: what is there, and which segment is which region.

Columns over the file's entries are ``(E,)``, over its segments ``(S,)``, over the regions in the PNGs ``(R,)``.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.label_image import AREA, ID, X
from seg2knet.validators.subjects.album import ODD, album
from seg2knet.validators.subjects.data import Part, listed
from seg2knet.validators.subjects.files import once
from seg2knet.validators.subjects.image_files import Gallery, scan, survey

TOP = 1 << 24
"""Ids from here on do not fit into a PNG's 24 bits."""


class Pngs:
    """The PNGs of one panoptic file; ``folder`` is ``None`` where there is no such folder."""

    def __init__(self, part: Part) -> None:
        assert part.panoptic is not None
        self.part, self.file = part, part.panoptic
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
        return set(listed(self.folder).values())

    def exists(self, path: Optional[Path]) -> bool:
        return path is not None and (str(path) in self._listing or os.path.isfile(path))

    @cached_property
    def paths(self) -> list[Optional[str]]:
        """For each entry the PNG that its name means, or that mmdet's name means; ``None`` where there is neither."""
        names = ((name, self.derived(entry)) for entry, name in enumerate(self.file.entries.names))
        return [next((str(path) for path in map(self.place, pair) if self.exists(path)), None) for pair in names]

    @cached_property
    def _unique(self) -> dict[str, int]:
        return {path: place for place, path in enumerate(dict.fromkeys(path for path in self.paths if path))}

    @cached_property
    def gallery(self) -> Gallery:
        return survey(self._unique, self.part.dataset.jobs)

    @cached_property
    def where(self) -> np.ndarray:
        """For each entry its place in the gallery, int64, -1 where there is no whole PNG."""
        whole = {path: place for path, place in self._unique.items() if not self.gallery.facts[place].problem}
        return np.array([whole.get(path or "", -1) for path in self.paths], np.int64)

    @cached_property
    def plain(self) -> np.ndarray:
        """Whether an entry has a whole RGB PNG of 8 bits, bool."""
        kind = self.gallery.kind
        return np.array([place >= 0 and kind(place) == ("PNG", "RGB") for place in self.where.tolist()], bool)

    def size(self, entry: int) -> tuple[int, int]:
        facts = self.gallery.facts[int(self.where[entry])]
        return facts.width, facts.height

    @cached_property
    def image_sizes(self) -> list[set[tuple[int, int]]]:
        """For each entry the sizes its PNG may have: the image's, shown and stored; without an image the JSON's."""
        book, images = album(self.part), self.file.images
        places, broken = np.append(book.places(self.file), -1), np.append(book.gallery.broken(), True)
        shown, stored = (list(zip(*np.array(of).tolist())) for of in (book.gallery.shown(), book.gallery.stored()))
        sizes: list[set[tuple[int, int]]] = []
        for row in self.file.image_rows.tolist():
            place, known = places[row], row >= 0 and images.widths[row] > 0 and images.heights[row] > 0
            stated = {(int(images.widths[row]), int(images.heights[row]))} if known else set()
            sizes.append(stated if broken[place] else {shown[place], stored[place]})
        return sizes

    @cached_property
    def fits(self) -> np.ndarray:
        """Whether an entry's PNG is plain and of its image's size, as far as that is known; bool."""
        fits = self.plain.copy()
        for entry in np.flatnonzero(fits).tolist():
            sizes = self.image_sizes[entry]
            fits[entry] = not sizes or self.size(entry) in sizes
        return fits

    @cached_property
    def regions(self) -> list[Optional[np.ndarray]]:
        """For each entry with a fitting PNG its regions (``Runs.table``), else ``None``."""
        fitting = [path if fits else None for path, fits in zip(self.paths, self.fits)]
        usable = list(dict.fromkeys(filter(None, fitting)))
        tables = dict(zip(usable, scan(usable, self.part.dataset.jobs)))
        return [tables[path] if path else None for path in fitting]

    @cached_property
    def all_regions(self) -> np.ndarray:
        """All regions, ``(R, 6)``, sorted by entry and id."""
        tables = [table for table in self.regions if table is not None]
        return np.concatenate([np.zeros((0, 6), np.int64), *tables])

    @cached_property
    def region_entry(self) -> np.ndarray:
        counts = [0 if table is None else len(table) for table in self.regions]
        return np.repeat(np.arange(len(counts)), np.array(counts, np.int64))

    @cached_property
    def checked(self) -> np.ndarray:
        """Segments with an id whose PNG can be looked at, bool."""
        seen = np.array([table is not None for table in self.regions], bool)
        return self.file.segments.has_id & seen[self.file.segments.entry]

    @cached_property
    def impossible(self) -> np.ndarray:
        """Segments whose id is 0, negative or does not fit into 24 bits, bool."""
        segments = self.file.segments
        return segments.has_id & ((segments.ids <= 0) | (segments.ids >= TOP))

    @cached_property
    def match(self) -> np.ndarray:
        """For each segment its row in ``all_regions``, int64, -1 where the PNG lacks its id."""
        segments = self.file.segments
        keys = np.append(self.region_entry * TOP + self.all_regions[:, ID], np.iinfo(np.int64).max)
        usable = self.checked & ~self.impossible
        wanted = np.where(usable, segments.entry * TOP + segments.ids, -1)
        places = np.searchsorted(keys, wanted)
        return np.where(usable & (keys[places] == wanted), places, -1)

    @cached_property
    def repeated(self) -> np.ndarray:
        """Segments whose id another segment of the entry has too, bool."""
        segments = self.file.segments
        keys = np.stack([segments.entry, segments.ids, segments.has_id.astype(np.int64)], axis=1)
        _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        return segments.has_id & (counts[inverse.reshape(-1)] > 1) if len(keys) else np.zeros(0, bool)

    @cached_property
    def unclaimed(self) -> dict[int, list[int]]:
        """Entry -> rows of ``all_regions`` that no segment has and that are not 0 (void)."""
        free = self.all_regions[:, ID] != 0
        free[self.match[self.match >= 0]] = False
        return grouped((int(self.region_entry[row]), row) for row in np.flatnonzero(free).tolist())

    @cached_property
    def lost(self) -> dict[int, int]:
        """Segment -> the unclaimed region that is surely its own: of the same 24 bits, or alone of its area and box."""
        segments, rows = self.file.segments, self.all_regions
        lost: dict[int, int] = {}
        taken: set[int] = set()
        for segment in np.flatnonzero(self.checked & (self.match < 0)).tolist():
            free = [row for row in self.unclaimed.get(int(segments.entry[segment]), []) if row not in taken]
            short = int(segments.ids[segment]) & (TOP - 1) if self.impossible[segment] else -1
            same = [row for row in free if rows[row, ID] == short]
            same = same or [row for row in free if self._alike(segment, rows[row])]
            if len(same) == 1:
                lost[segment] = same[0]
                taken.add(same[0])
        return lost

    def _alike(self, segment: int, region: np.ndarray) -> bool:
        box = self.file.segments.boxes[segment]
        same_box = np.isnan(box).any() or (box == region[X:]).all()
        return bool(self.file.segments.areas[segment] == region[AREA] and same_box)

    @cached_property
    def thing(self) -> np.ndarray:
        """For each segment 1 for a thing, 0 for stuff, -1 where its category does not say; int64."""
        kinds = {category.id: category.isthing for category in self.file.categories if category.isthing in (0, 1)}
        return np.array([kinds.get(number, -1) for number in self.file.segments.category_ids.tolist()], np.int64)


def pngs(part: Part) -> Optional[Pngs]:
    """The split's panoptic PNGs, looked at once; ``None`` where it has no panoptic file."""
    return once(part, Pngs) if part.panoptic is not None else None
