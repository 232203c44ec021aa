"""How far a download is, for a person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

from seg2knet.download.transfer import Progress


@contextlib.contextmanager
def bar(title: str, verb: str = "downloading") -> Iterator[Progress]:
    """A progress bar on a terminal, one plain line in a log; yields what is to be called with (done, total) bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        told = False

        def say(done: int, total: Optional[int]) -> None:
            nonlocal told
            if not told:
                told = True
                console.print(f"{verb} {title}" + (f", {total / 1e6:,.1f} MB" if total else ""), highlight=False)

        yield say
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(f"{verb} {title}", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
