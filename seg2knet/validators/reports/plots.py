"""What the plots of the HTML reports show; ``templates/bars.svg.j2`` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from seg2knet.validators.statistics import AREA_EDGES, Split

MOST_CLASSES = 40


class Bars(NamedTuple):
    """Horizontal bars in groups: a label for each group, name and counts of each series, a note on what was cut."""

    labels: Sequence[str]
    series: Sequence[tuple[str, Sequence[int]]]
    note: str = ""

    @property
    def top(self) -> int:
        return max((count for _, counts in self.series for count in counts), default=0) or 1


def plots(splits: Sequence[Split]) -> list[tuple[str, Bars]]:
    counted = [split for split in splits if split.images]
    objects = [split for split in counted if split.kind != "semantic"]
    titled = [
        ("Objects a class" if objects else "Images a class", _class_bars(objects or counted)),
        ("Objects by size (square root of area)", _area_bars(objects)),
        ("Images by number of objects", _per_image_bars(objects)),
        ("Images by width and height", _size_bars(counted)),
    ]
    return [(heading, bars) for heading, bars in titled if bars.labels and bars.series]


def _class_bars(splits: Sequence[Split]) -> Bars:
    """Objects (or, for masks, images) a class, a bar a split; the first 40 classes."""
    names = list(dict.fromkeys(one.name for split in splits for one in split.classes))
    series = []
    for split in splits:
        counts = {one.name: one.images if split.kind == "semantic" else one.objects for one in split.classes}
        series.append([counts.get(name, 0) for name in names[:MOST_CLASSES]])
    cut = f"the first {MOST_CLASSES} of {len(names)} classes" if len(names) > MOST_CLASSES else ""
    return Bars(names[:MOST_CLASSES], _titled(splits, series), cut)


def _area_bars(splits: Sequence[Split]) -> Bars:
    edges = [int(edge) for edge in AREA_EDGES]
    middle = [f"{low}–{high} px" for low, high in zip(edges, edges[1:])]
    labels = [f"< {edges[0]} px", *middle, f"≥ {edges[-1]} px"]
    used = [place for place in range(len(labels)) if any(split.areas[place] for split in splits)] or [0]
    shown = slice(used[0], used[-1] + 1)
    return Bars(labels[shown], _titled(splits, [split.areas[shown] for split in splits]))


def _per_image_bars(splits: Sequence[Split]) -> Bars:
    """Images by the number of objects on them, in at most a dozen groups."""
    most = max((split.most_objects for split in splits), default=0)
    step = max(1, -(-(most + 1) // 12))
    starts = list(range(0, most + 1, step))
    labels = [str(start) if step == 1 else f"{start}–{start + step - 1}" for start in starts]
    series = [[0] * len(starts) for _ in splits]
    for counts, split in zip(series, splits):
        for number, images in split.per_image.items():
            counts[number // step] += images
    return Bars(labels, _titled(splits, series))


def _size_bars(splits: Sequence[Split]) -> Bars:
    """Images by width and height: the most frequent sizes, and all others."""
    sizes = list(dict.fromkeys(size[:2] for split in splits for size in split.sizes))[:12]
    labels = [f"{width}×{height}" if width and height else "not said" for width, height in sizes]
    series = []
    for split in splits:
        counts = {size[:2]: size[2] for size in split.sizes}
        shown = [counts.get(size, 0) for size in sizes]
        series.append([*shown, split.images - sum(shown)])
    if any(counts[-1] for counts in series):
        labels.append("others")
    return Bars(labels, _titled(splits, [counts[: len(labels)] for counts in series]))


def _titled(splits: Sequence[Split], series: Sequence[list[int]]) -> list[tuple[str, list[int]]]:
    """The splits' titles, with the kind of file where there are several kinds, and their counts."""
    several = len({split.kind for split in splits}) > 1
    titles = [f"{split.title}, {split.kind}" if several and split.split else split.title for split in splits]
    return list(zip(titles, series))
