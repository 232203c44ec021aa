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
        """The largest count, at least 1."""
        return max((count for _, counts in self.series for count in counts), default=0) or 1


def plots(splits: Sequence[Split]) -> list[tuple[str, Bars]]:
    """Title and bars of a data set's distributions."""
    counted = [split for split in splits if split.images]
    objects = [split for split in counted if split.kind != "semantic"]
    masks = [split for split in counted if split.kind == "semantic"]
    titled = [
        ("Objects a class" if objects else "Images a class", class_bars(objects or masks)),
        ("Objects by size (square root of area)", area_bars(objects)),
        ("Images by number of objects", per_image_bars(objects)),
        ("Images by width and height", size_bars(counted)),
    ]
    return [(heading, bars) for heading, bars in titled if bars.labels and bars.series]


def class_bars(splits: Sequence[Split]) -> Bars:
    """Objects (or, for masks, images) a class, a bar a split; the first 40 classes."""
    names = list(dict.fromkeys(each.name for split in splits for each in split.classes))
    series = []
    for own, split in zip(titles(splits), splits):
        counts = {each.name: each.images if split.kind == "semantic" else each.objects for each in split.classes}
        series.append((own, [counts.get(name, 0) for name in names[:MOST_CLASSES]]))
    cut = f"the first {MOST_CLASSES} of {len(names)} classes" if len(names) > MOST_CLASSES else ""
    return Bars(names[:MOST_CLASSES], series, cut)


def area_bars(splits: Sequence[Split]) -> Bars:
    """Objects by the square root of their area."""
    edges = [int(edge) for edge in AREA_EDGES]
    labels = [f"< {edges[0]} px"]
    labels += [f"{low}–{high} px" for low, high in zip(edges, edges[1:])] + [f"≥ {edges[-1]} px"]
    series = [(name, split.areas) for name, split in zip(titles(splits), splits) if split.areas]
    used = [place for place in range(len(labels)) if any(counts[place] for _, counts in series)] or [0]
    shown = slice(used[0], used[-1] + 1)
    return Bars(labels[shown], [(name, counts[shown]) for name, counts in series])


def per_image_bars(splits: Sequence[Split]) -> Bars:
    """Images by the number of objects on them, in at most a dozen groups."""
    most = max((split.most_objects for split in splits), default=0)
    step = max(1, -(-(most + 1) // 12))
    starts = list(range(0, most + 1, step))
    labels = [str(start) if step == 1 else f"{start}–{start + step - 1}" for start in starts]
    series = []
    for own, split in zip(titles(splits), splits):
        counts = [0] * len(starts)
        for number, images in split.per_image.items():
            counts[number // step] += images
        series.append((own, counts))
    return Bars(labels, series)


def size_bars(splits: Sequence[Split]) -> Bars:
    """Images by width and height: the most frequent sizes, and all others."""
    sizes = list(dict.fromkeys(size[:2] for split in splits for size in split.sizes))[:12]
    labels = [f"{width}×{height}" if width and height else "not said" for width, height in sizes]
    series = []
    for own, split in zip(titles(splits), splits):
        counts = {size[:2]: size[2] for size in split.sizes}
        shown = [counts.get(size, 0) for size in sizes]
        series.append((own, [*shown, split.images - sum(shown)]))
    if any(counts[-1] for _, counts in series):
        labels.append("others")
    return Bars(labels, [(name, counts[: len(labels)]) for name, counts in series])


def title(split: Split) -> str:
    """``train``, or the file's name where no split is known."""
    return split.split or split.source


def titles(splits: Sequence[Split]) -> list[str]:
    """The same for several, with the kind of file where a split has more than one."""
    several = len({split.kind for split in splits}) > 1
    return [f"{title(split)}, {split.kind}" if several and split.split else title(split) for split in splits]
