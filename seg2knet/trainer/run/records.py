"""What a run leaves: its files' names, ``results.csv``, a row an epoch, and ``curves.png`` drawn from it."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

LAST, BEST, RESULTS, CURVES, LOG = "last.pth", "best.pth", "results.csv", "curves.png", "train.log"
BATCHES, SAMPLES, PAGE, SUMMARY = "batches.jpg", "samples.jpg", "best.html", "summary.json"
LABELS, TORCHRUN = "labels.txt", "torchrun.log"
FILES = (LAST, BEST, RESULTS, CURVES, LOG, BATCHES, SAMPLES, PAGE, SUMMARY, LABELS, TORCHRUN)
"""What a run writes into its work dir, beside its config and a folder of mmengine's."""
Row = dict[str, Union[int, float]]
FIRST = ("epoch", "iteration", "loss", "lr", "seconds", "images_per_second", "memory_mb")
"""Columns of every row; the figures of the evaluation follow, then the parts of the loss."""
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
    present = list(dict.fromkeys(key for row in rows for key in row))
    shown = [name for names in FIGURES.values() for name in names if name in present]
    others = [name for name in present if name not in (*FIRST, *shown)]
    columns = [*FIRST, *shown, *sorted(others, key=lambda name: "loss" in name)]
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, path)


def rounded(value: float) -> float:
    """A figure as ``results.csv`` keeps it, so that a resumed run compares what the first one compared."""
    return float(f"{value:.6g}")


def best_row(rows: Sequence[Row], figure: str) -> Optional[Row]:
    """The first row with the highest ``figure``, or ``None`` where none has it."""
    judged = [row for row in rows if figure in row]
    return max(judged, key=lambda row: (row[figure], -row["epoch"])) if judged else None


def draw_curves(rows: Sequence[Row], path: Path, figure: str) -> None:
    """Loss, its parts and the figures over the epochs, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    drawn, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4), dpi=110)
    parts = [name for name in rows[-1] if "loss" in name and name != "loss"]
    best = best_row(rows, figure)
    if best is not None:
        right.axvline(best["epoch"], color="#999999", linewidth=0.8, linestyle=":")
    title = f"{figure} {best[figure]:.3f} at epoch {best['epoch']}" if best is not None else "nothing was evaluated"
    for axes, names, text in ((left, ["loss"], "loss"), (middle, parts, "its parts"), (right, FIGURES[figure], title)):
        for place, name in enumerate(names):
            known = [row for row in rows if name in row]
            epochs, values = [row["epoch"] for row in known], [row[name] for row in known]
            # After ten colours the same ones come again, dashed.
            axes.plot(epochs, values, marker=".", linestyle="-" if place < 10 else "--", linewidth=1.4, label=name)
        axes.set(title=text, xlabel="epoch")
        axes.grid(color="#e5e5e5", linewidth=0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    middle.set(yscale="log")
    middle.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=7)
    right.set(ylim=(0, 1))
    right.legend(loc="upper left", frameon=False)
    drawn.tight_layout()
    drawn.savefig(path)
    pyplot.close(drawn)
