"""What an engine is."""

from __future__ import annotations

import contextlib
import gc
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Callable

Setup = Callable[[], Callable[[Any], Any]]
"""Called once in each worker; what it returns is then called with each task. Both and the results are picklable."""


class Engine(ABC):
    """Runs a function over tasks. ``with engine(...) as e: for result in e.map(setup, tasks): ...``."""

    @abstractmethod
    def map(self, setup: Setup, tasks: Iterable[Any]) -> Iterator[Any]:
        """The results of ``setup()(task)`` for each task, in the tasks' order, as they become ready.

        Takes no more tasks from the iterable than are needed to keep the workers busy. The part of a worker that
        died is done again by another.

        Raises Seg2KNetError: whatever the function raised; a task that kills every worker it is given to.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the workers."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector, which would go through millions of new objects again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
