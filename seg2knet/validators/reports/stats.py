"""What a data set holds as a table, as JSON, as an HTML page with plots."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Optional

from seg2knet.errors import printable
from seg2knet.validators.reports.plots import plots, title
from seg2knet.validators.statistics import Split, as_json

Rows = list[list[str]]


def table(splits: Sequence[Split], *, width: Optional[int] = None, colour: bool = False) -> str:
    """For a terminal: a table of splits, one of classes a split, one of areas and of sizes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width or 120, force_terminal=colour, no_color=not colour, highlight=False)
    for caption, (head, rows) in _tables(splits):
        grid = Table(title=printable(caption), title_justify="left", box=None, pad_edge=False, title_style="bold")
        for place, word in enumerate(head):
            grid.add_column(word, justify="left" if place < 2 else "right", overflow="fold")
        for row in rows:
            grid.add_row(*(Text(printable(cell)) for cell in row))  # no markup of the data is obeyed
        console.print(grid)
        console.print()
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip() + "\n"


def as_json_text(splits: Sequence[Split]) -> str:
    """For a program."""
    return json.dumps(as_json(splits), indent=2, ensure_ascii=False) + "\n"


def html(splits: Sequence[Split], path: str) -> str:
    """One page, without network."""
    from seg2knet.validators.reports.pages import page, source

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


def _tables(splits: Sequence[Split]) -> list[tuple[str, tuple[list[str], Rows]]]:
    found = [("splits", _split_table(splits))]
    found += [(f"classes: {_name(split)}", _class_table(split)) for split in splits if split.classes]
    return [*found, ("sizes of images", _size_table(splits))]


def _name(split: Split) -> str:
    return f"{title(split)} ({split.kind})" if split.split else split.source


def _split_table(splits: Sequence[Split]) -> tuple[list[str], Rows]:
    if all(split.kind == "semantic" for split in splits):
        head = ["split", "folder", "masks", "without a class", "classes"]
        return head, [
            [title(each), each.source, _n(each.images), _n(each.empty_images), _n(each.used_classes)] for each in splits
        ]
    head = ["split", "file", "images", "empty", "objects", "crowds", "an image", "most", "classes"]
    head += ["small", "medium", "large"]
    rows = []
    for each in splits:
        numbers = [each.images, each.empty_images, each.objects, each.crowds]
        middle = [f"{each.mean_objects:.1f}", _n(each.most_objects), f"{each.used_classes} of {len(each.classes)}"]
        sizes = [_share(count, each.objects) for count in each.by_size()]
        rows.append([title(each), each.source, *map(_n, numbers), *middle, *sizes])
    return head, rows


def _class_table(split: Split) -> tuple[list[str], Rows]:
    if split.kind == "semantic":
        total = sum(each.pixels for each in split.classes)
        rows = [[each.name, "", _n(each.images), _n(each.pixels), _share(each.pixels, total)] for each in split.classes]
        return ["class", "", "masks", "pixels", "share"], rows
    head = ["class", "kind", "objects", "share", "crowds", "images", "small", "medium", "large", "median area"]
    rows = []
    for each in split.classes:
        area = "" if each.median_area is None else f"{each.median_area:,.0f}"
        numbers = [_n(count) for count in (each.crowds, each.images, each.small, each.medium, each.large)]
        rows.append([each.name, each.kind, _n(each.objects), _share(each.objects, split.objects), *numbers, area])
    return head, rows


def _size_table(splits: Sequence[Split]) -> tuple[list[str], Rows]:
    rows = []
    for split in splits:
        for width, height, count in split.sizes:
            rows.append([_name(split), f"{width}x{height}", _n(count), _share(count, split.images)])
        if split.other_sizes:
            rows.append([_name(split), "others", _n(split.other_sizes), _share(split.other_sizes, split.images)])
    return ["split", "size", "images", "share"], rows


def _n(count: int) -> str:
    return f"{count:,}"


def _share(count: int, total: int) -> str:
    return f"{count / total:.0%}" if total else ""
