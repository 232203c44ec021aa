"""What a data set holds as a table, as JSON, as an HTML page with plots, which ``templates/bars.svg.j2`` draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from seg2knet.errors import printable
from seg2knet.validators.reports.pages import page, source
from seg2knet.validators.reports.text import printed
from seg2knet.validators.statistics import AREA_EDGES, Split, as_json

Rows = list[list[str]]


def table(splits: Sequence[Split], *, width: Optional[int] = None, colour: bool = False) -> str:
    """For a terminal: a table of splits, one of classes a split, one of areas and of sizes."""
    from rich.table import Table
    from rich.text import Text

    tables = [("splits", *_split_table(splits))]
    tables += [(f"classes: {_name(split)}", *_class_table(split)) for split in splits if split.classes]
    tables.append(("sizes of images", ["split", "size", "images", "share"], _size_rows(splits)))
    parts: list[Any] = []
    for caption, head, rows in tables:
        grid = Table(title=printable(caption), title_justify="left", box=None, pad_edge=False, title_style="bold")
        for place, word in enumerate(head):
            grid.add_column(word, justify="left" if place < 2 else "right", overflow="fold")
        for row in rows:
            grid.add_row(*(Text(printable(cell)) for cell in row))  # no markup of the data is obeyed
        parts += [grid, ""]
    return printed(parts, colour, width).rstrip() + "\n"


def as_json_text(splits: Sequence[Split]) -> str:
    return json.dumps(as_json(splits), indent=2, ensure_ascii=False) + "\n"


def html(splits: Sequence[Split], path: str) -> str:
    head, rows = _split_table(splits)
    return page(
        "stats.html.j2",
        css=source("page.css"),
        path=path,
        split_head=head,
        split_rows=rows,
        plots=plots(splits),
        class_tables=[(_name(split), *_class_table(split)) for split in splits if split.classes],
    )


def _name(split: Split) -> str:
    return f"{split.title} ({split.kind})" if split.split else split.source


def _split_table(splits: Sequence[Split]) -> tuple[list[str], Rows]:
    masks = all(split.kind == "semantic" for split in splits)
    head = ["split", "folder", "masks", "without a class", "classes"]
    if not masks:
        head = ["split", "file", "images", "empty", "objects", "crowds", "an image", "most", "classes"]
        head += ["small", "medium", "large"]
    rows = []
    for split in splits:
        used = sum(bool(one.objects or one.pixels) for one in split.classes)
        row = [split.title, split.source, _n(split.images), _n(split.empty_images)]
        if masks:
            rows.append([*row, _n(used)])
            continue
        row += [_n(split.objects), _n(split.crowds), f"{split.mean_objects:.1f}", _n(split.most_objects)]
        sizes = (sum(getattr(one, word) for one in split.classes) for word in head[-3:])
        rows.append([*row, f"{used} of {len(split.classes)}", *(_share(count, split.objects) for count in sizes)])
    return head, rows


def _class_table(split: Split) -> tuple[list[str], Rows]:
    if split.kind == "semantic":
        total = sum(one.pixels for one in split.classes)
        rows = [[one.name, "", _n(one.images), _n(one.pixels), _share(one.pixels, total)] for one in split.classes]
        return ["class", "", "masks", "pixels", "share"], rows
    head = ["class", "kind", "objects", "share", "crowds", "images", "small", "medium", "large", "median area"]
    rows = []
    for one in split.classes:
        area = "" if one.median_area is None else f"{one.median_area:,.0f}"
        numbers = [_n(getattr(one, word)) for word in head[4:9]]
        rows.append([one.name, one.kind, _n(one.objects), _share(one.objects, split.objects), *numbers, area])
    return head, rows


def _size_rows(splits: Sequence[Split]) -> Rows:
    rows = []
    for split in splits:
        sizes = [(f"{width}x{height}", count) for width, height, count in split.sizes]
        sizes += [("others", split.other_sizes)] if split.other_sizes else []
        rows += [[_name(split), size, _n(count), _share(count, split.images)] for size, count in sizes]
    return rows


def _n(count: int) -> str:
    return f"{count:,}"


def _share(count: int, total: int) -> str:
    return f"{count / total:.0%}" if total else ""


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
