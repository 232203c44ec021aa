"""What a person sees of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

PLAIN_SECONDS = 30.0
"""In a log, a line within an epoch at most this often."""


class RunView:
    """Shows a run. On a terminal a bar with the moment's figures stays at the foot; each epoch leaves a line.

    Args:
        figure: the name of the figure that counts: ``AP``, ``PQ``, ``mIoU``.
        epochs, steps: of the whole run, and steps of an epoch.
        stream: where to; standard output by default.
    """

    def __init__(self, figure: str, epochs: int, steps: int, stream: Optional[TextIO] = None) -> None:
        self.figure = figure
        self.epochs = epochs
        self.steps = steps
        self.console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._bar: Optional[Progress] = None
        self._task: Any = None
        self._shown = time.monotonic()
        self._started = time.monotonic()
        self._done_before = 0
        self._best: Optional[float] = None

    def start(self, done: int, best: Optional[float]) -> None:
        """Begin, with ``done`` steps behind an earlier run."""
        self._started, self._done_before, self._best = time.monotonic(), done, best
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[epoch]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[text]}"),
                console=self.console,
                transient=True,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("", total=self.steps, epoch="", text="loading the first pictures")
            self._bar.start()

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """A line that stays."""
        (self._bar.console if self._bar is not None else self.console).print(text, markup=False)

    def step(self, epoch: int, step: int, loss: float, memory: float) -> None:
        """After a training step; ``epoch`` and ``step`` from 1, ``memory`` in MB."""
        done = (epoch - 1) * self.steps + step
        text = f"{step}/{self.steps}  loss {loss:.3f}{self._best_text()}  {_memory(memory)}  "
        if done - self._done_before >= 10:  # the first steps wait for the loaders and say little of the rest
            text += f"{duration(self._left(done))} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, total=self.steps, epoch=self._epoch(epoch), text=text)
        elif time.monotonic() - self._shown > PLAIN_SECONDS:
            self._shown = time.monotonic()
            self.say(f"{self._epoch(epoch)}  {text}")

    def judging(self, epoch: int, done: int, total: int) -> None:
        """While evaluating."""
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=total, epoch=self._epoch(epoch), text=f"{done}/{total}  evaluating"
            )

    def wants_step(self) -> bool:
        """Whether :meth:`step` would show something now: a loss need not leave the GPU for nothing."""
        now = time.monotonic()
        if self._bar is None:
            return now - self._shown > PLAIN_SECONDS
        if now - self._shown > 0.25:
            self._shown = now
            return True
        return False

    def epoch(self, row: Mapping[str, float], figures: Sequence[str], is_best: bool) -> None:
        """A line for an epoch that is over."""
        self._shown = time.monotonic()
        if self.figure in row and (self._best is None or row[self.figure] > self._best):
            self._best = row[self.figure]
        parts = [
            self._epoch(int(row["epoch"])),
            f"loss {row['loss']:.3f}",
            *[f"{name} {row[name]:.3f}" for name in figures if name in row],
            f"lr {row['lr']:.2g}",
            f"{row['images_per_second']:.3g} img/s",
            _memory(row["memory_mb"]),
            f"{duration(row['seconds'])}",
            f"{duration(self._left(int(row['epoch']) * self.steps))} left",
        ]
        self.say("  ".join(parts) + ("  best so far" if is_best else ""))

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"

    def _best_text(self) -> str:
        return f"  best {self.figure} {self._best:.3f}" if self._best is not None else ""

    def _left(self, done: int) -> float:
        """Seconds that the rest will take if it goes on as so far, evaluations counted in."""
        fresh = done - self._done_before
        if fresh <= 0:
            return 0.0
        return (time.monotonic() - self._started) / fresh * (self.epochs * self.steps - done)


def class_table(report: Sequence[Mapping[str, Any]]) -> Table:
    """Figures by class, as a table for a terminal; a class that does not occur has dashes."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    columns = [key for key in (report[0] if report else {}) if key != "name"]
    columns.sort(key=lambda key: key == "objects")
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    for row in report:
        table.add_row(str(row["name"]), *[_cell(row.get(column)) for column in columns])
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def duration(seconds: float) -> str:
    """``41 s``, ``5:07``, ``2:03:10``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
