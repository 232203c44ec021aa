"""What a run leaves to read: ``results.csv``, a row an epoch, and ``curves.png`` drawn from it."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

Row = dict[str, Union[int, float]]
FIRST = ("epoch", "iteration", "loss", "lr", "seconds", "images_per_second", "memory_mb")
"""Columns of every row; the figures of the evaluation follow."""
FIGURES = {"AP": ("AP", "AP50", "AP75"), "PQ": ("PQ", "PQ_things", "PQ_stuff"), "mIoU": ("mIoU", "mAcc", "aAcc")}
"""The figure that decides which epoch is best -> those that are shown."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``results.csv``; none where there is no file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return [
            {key: int(value) if key in ("epoch", "iteration") else float(value) for key, value in row.items() if value}
            for row in csv.DictReader(stream)
        ]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write ``results.csv`` whole; a reader never sees half a file."""
    shown = [name for names in FIGURES.values() for name in names]
    present = {key for row in rows for key in row}
    columns = [*FIRST, *(name for name in shown if name in present), *sorted(present - {*FIRST, *shown})]
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, path)


def rounded(value: float) -> float:
    """A figure as ``results.csv`` keeps it, so that a run that goes on compares what the first one compared."""
    return float(f"{value:.6g}")


def best_row(rows: Sequence[Row], figure: str) -> Optional[Row]:
    """The first row with the highest ``figure``, or ``None`` where none has it."""
    judged = [row for row in rows if figure in row]
    return max(judged, key=lambda row: (row[figure], -row["epoch"])) if judged else None


def draw_curves(rows: Sequence[Row], path: Path, figure: str) -> None:
    """Loss and figures over the epochs, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    drawn, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), dpi=110)
    left.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], color="#3a78c8", marker=".", linewidth=1.6)
    left.set(title="loss", xlabel="epoch")
    for place, name in enumerate(FIGURES[figure]):
        judged = [row for row in rows if name in row]
        right.plot(
            [row["epoch"] for row in judged], [row[name] for row in judged], marker=".", linewidth=1.6, label=name,
            color=("#d64541", "#e8a33d", "#3caa6e", "#965abe")[place % 4],
        )  # fmt: skip
    best = best_row(rows, figure)
    if best is not None:
        right.axvline(best["epoch"], color="#999999", linewidth=0.8, linestyle=":")
        right.set(title=f"{figure} {best[figure]:.3f} at epoch {best['epoch']}", xlabel="epoch", ylim=(0, 1))
        right.legend(loc="upper left", frameon=False)
    for axes in (left, right):
        axes.grid(color="#e5e5e5", linewidth=0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    drawn.tight_layout()
    drawn.savefig(path)
    pyplot.close(drawn)
