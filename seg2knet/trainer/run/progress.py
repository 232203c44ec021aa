"""What a person sees of a run: a live line on a terminal, plain lines elsewhere, and train.log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from seg2knet.errors import printable, printable_lines
from seg2knet.trainer.run.records import LOG

PLAIN_SECONDS = 30.0
"""Without a terminal, a line within an epoch at most this often."""
LIVE_SECONDS = 0.25


def log(work_dir: Path, lines: Sequence[str]) -> None:
    """Append lines to the run's train.log."""
    with open(work_dir / LOG, "a", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in lines)


class RunView:
    """Shows a run. On a terminal a bar with the current figures stays at the foot; each epoch leaves a line, in
    the work dir's train.log too. ``figure`` decides which epoch is best; ``steps`` are those of an epoch.
    """

    def __init__(
        self, figure: str, epochs: int, steps: int, work_dir: Optional[Path] = None, stream: Optional[TextIO] = None
    ) -> None:
        self.figure, self.epochs, self.steps, self.work_dir = figure, epochs, steps, work_dir
        console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[text]}"))
        self.bar = Progress(
            *columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal
        )
        self._task = self.bar.add_task("", total=steps, text="loading the first images")
        self._interval = LIVE_SECONDS if console.is_terminal else PLAIN_SECONDS
        self._shown = self._started = time.monotonic()
        self._done_before = 0
        self._best: Optional[float] = None

    def start(self, done: int, best: Optional[float]) -> None:
        """Begin, with ``done`` steps behind an earlier run."""
        self._started, self._done_before, self._best = time.monotonic(), done, best
        self.bar.start()

    def stop(self) -> None:
        """Remove the bar."""
        self.bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.bar.console.print(printable_lines(text), markup=False)
        if self.work_dir is not None:
            log(self.work_dir, [text])

    def wants_step(self) -> bool:
        """Whether it is time to show a step; a loss need not leave the GPU for nothing."""
        return time.monotonic() - self._shown > self._interval

    def step(self, epoch: int, step: int, loss: float, memory: float) -> None:
        """Show a training step; ``epoch`` and ``step`` from 1, ``memory`` in MB."""
        self._shown = time.monotonic()
        best = f"  best {self.figure} {self._best:.3f}" if self._best is not None else ""
        left = self._left((epoch - 1) * self.steps + step)
        text = f"{step}/{self.steps}  loss {loss:.3f}{best}  {_memory(memory)}{left}"
        if self.bar.disable:
            self.say(f"{self._epoch(epoch)}  {text}")
        else:
            self.bar.update(self._task, completed=step, total=self.steps, description=self._epoch(epoch), text=text)

    def judging(self, epoch: int, done: int, total: int) -> None:
        """Show how far an evaluation is."""
        text = f"{done}/{total}  evaluating"
        self.bar.update(self._task, completed=done, total=total, description=self._epoch(epoch), text=text)

    def epoch(self, row: Mapping[str, float], figures: Sequence[str], is_best: bool) -> None:
        """A line for an epoch that is over."""
        self._shown = time.monotonic()
        if is_best:
            self._best = row[self.figure]
        parts = [
            self._epoch(int(row["epoch"])),
            f"loss {row['loss']:.3f}",
            *[f"{name} {row[name]:.3f}" for name in figures if name in row],
            f"lr {row['lr']:.2g}",
            f"{row['images_per_second']:.3g} img/s",
            _memory(row["memory_mb"]),
            duration(row["seconds"]) + self._left(int(row["epoch"]) * self.steps),
        ]
        self.say("  ".join(parts) + ("  best so far" if is_best else ""))

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"

    def _left(self, done: int) -> str:
        """The time that the rest takes at the pace so far, evaluations included; nothing in the first ten steps, which
        wait for the loaders, and at the end."""
        here, left = done - self._done_before, self.epochs * self.steps - done
        if left <= 0 or here < min(10, self.steps):
            return ""
        return f"  {duration((time.monotonic() - self._started) / here * left)} left"


def class_table(report: Sequence[Mapping[str, Any]]) -> Table:
    """Figures by class, as a table for a terminal, without classes that the split has no objects of."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    columns = [key for key in (report[0] if report else {}) if key != "name"]
    columns.sort(key=lambda key: key == "objects")
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    for row in report:
        if row.get("objects") != 0 and any(row.get(column) is not None for column in columns):
            cells = [row.get(column, "-") for column in columns]
            cells = [f"{cell:.3f}" if isinstance(cell, float) else "-" if cell is None else str(cell) for cell in cells]
            table.add_row(Text(printable(row["name"])), *cells)
    return table


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def duration(seconds: float) -> str:
    """``41 s``, ``5:07``, ``2:03:10``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return str(timedelta(seconds=whole)) if whole >= 3600 else f"{whole // 60}:{whole % 60:02d}"
