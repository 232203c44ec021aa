"""Plots as SVG for the HTML reports; colours come from the page's style sheet, so that they fit light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from seg2knet.validators.statistics import AREA_EDGES, Split

MOST_CLASSES = 40
_ROW, _BAR, _NAME, _WIDTH = 22, 7, 150, 620


def class_bars(splits: Sequence[Split]) -> Markup:
    """Objects (or, for masks, images) a class, a bar a split; the first 40 classes."""
    names = list(dict.fromkeys(each.name for split in splits for each in split.classes))
    series = []
    for own, split in zip(titles(splits), splits):
        counts = {each.name: each.images if split.kind == "semantic" else each.objects for each in split.classes}
        series.append((own, [counts.get(name, 0) for name in names[:MOST_CLASSES]]))
    cut = f"the first {MOST_CLASSES} of {len(names)} classes" if len(names) > MOST_CLASSES else ""
    return _bars(names[:MOST_CLASSES], series, cut)


def area_bars(splits: Sequence[Split]) -> Markup:
    """Objects by the square root of their area."""
    edges = [int(edge) for edge in AREA_EDGES]
    labels = [f"< {edges[0]} px"]
    labels += [f"{low}–{high} px" for low, high in zip(edges, edges[1:])] + [f"≥ {edges[-1]} px"]
    series = [(name, split.areas) for name, split in zip(titles(splits), splits) if split.areas]
    used = [place for place in range(len(labels)) if any(counts[place] for _, counts in series)] or [0]
    shown = slice(used[0], used[-1] + 1)
    return _bars(labels[shown], [(name, counts[shown]) for name, counts in series])


def per_image_bars(splits: Sequence[Split]) -> Markup:
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
    return _bars(labels, series)


def size_bars(splits: Sequence[Split]) -> Markup:
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
    return _bars(labels, [(name, counts[: len(labels)]) for name, counts in series])


def title(split: Split) -> str:
    """``train``, or the file's name where no split is known."""
    return split.split or split.source


def titles(splits: Sequence[Split]) -> list[str]:
    """The same for several, with the kind of file where a split has more than one."""
    several = len({split.kind for split in splits}) > 1
    return [f"{title(split)}, {split.kind}" if several and split.split else title(split) for split in splits]


def _bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], note: str = "") -> Markup:
    """Horizontal bars in groups, one colour a series, numbers at their ends."""
    if not labels or not series:
        return Markup("")
    row = max(_ROW, len(series) * (_BAR + 2) + 8)
    top = max((count for _, counts in series for count in counts), default=0) or 1
    space = _WIDTH - _NAME - 60
    out = [f'<svg class="plot" viewBox="0 0 {_WIDTH} {row * len(labels) + 4}" role="img">']
    for place, label in enumerate(labels):
        y = place * row + 2
        short = label if len(label) <= 22 else label[:21] + "…"
        middle = y + row / 2 + 4
        out.append(
            f'<text class="label" x="{_NAME - 8}" y="{middle}">{escape(short)}<title>{escape(label)}</title></text>'
        )
        thick = (row - 6) / len(series)
        for number, (name, counts) in enumerate(series):
            count = counts[place] if place < len(counts) else 0
            written = f"{count:,}" if count or len(series) == 1 else ""
            length = max(space * count / top, 1.5 if count else 0)
            at = y + 3 + number * thick
            hint = f"{escape(label)}, {escape(name)}: {count:,}"
            out.append(
                f'<g><title>{hint}</title><rect class="s{number % 6}" x="{_NAME}" y="{at:.1f}" width="{length:.1f}"'
                f' height="{max(thick - 1.5, 2):.1f}" rx="1.5"/>'
            )
            out.append(
                f'<text class="count" x="{_NAME + length + 5:.1f}" y="{at + thick / 2 + 3:.1f}">{written}</text></g>'
            )
    out.append("</svg>")
    legend = "".join(
        f'<span><i class="s{place % 6}"></i>{escape(name)}</span>' for place, (name, _) in enumerate(series)
    )
    return Markup(f'<div class="legend">{legend}<em>{escape(note)}</em></div>' + "".join(out))
