"""What a data set holds as a table, as JSON, as an HTML page with plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Optional

from seg2knet.errors import printable
from seg2knet.validators.reports.pages import page, source
from seg2knet.validators.reports.plots import plots
from seg2knet.validators.reports.text import printed
from seg2knet.validators.statistics import Split, as_json

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
