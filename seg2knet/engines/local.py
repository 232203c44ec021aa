"""Processes of this machine.

A pool of its own rather than ``concurrent.futures``: it knows which task a worker that died was at, does that one
again, and names it when it kills every worker; it holds no threads, so that workers can be forked, which starts them
in milliseconds; and it takes tasks only as fast as results are taken from it, so that memory stays flat.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import signal
import sys
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, Optional

from seg2knet.engines.base import Engine, Setup, uncollected
from seg2knet.errors import EnvironmentProblem

_AHEAD = 4
"""Tasks in work or waiting to be taken, for each worker."""
_TRIES = 3
_SMALL = 32 * 1024
"""Bytes of a task that surely fit a pipe: such a one is sent to a worker that is still busy with another."""


class LocalEngine(Engine):
    """``jobs`` processes; with one, or with a single task, this very process. ``parents``: they may have processes of
    their own."""

    def __init__(self, jobs: int, parents: bool = False) -> None:
        self.jobs = jobs
        self.parents = parents
        self._workers: list[_Worker] = []

    def map(self, setup: Setup, tasks: Iterable[Any]) -> Iterator[Any]:
        waiting = iter(tasks)
        first = list(itertools.islice(waiting, 2))
        waiting = itertools.chain(first, waiting)
        if self.jobs > 1 and len(first) == 2:
            yield from self.started(setup, waiting)
            return
        function = setup()
        for task in waiting:
            with uncollected():
                result = function(task)
            yield result

    def started(self, setup: Setup, tasks: Iterator[Any]) -> Iterator[Any]:
        """As ``map``, in processes however few there is to do."""
        for _ in range(self.jobs):
            self._workers.append(_Worker(setup, self._workers, self.parents))
        try:
            yield from self._results(setup, _Queue(tasks, _AHEAD * self.jobs))
        finally:
            self.close()

    def _results(self, setup: Setup, queue: _Queue) -> Iterator[Any]:
        while not queue.done:
            for worker in self._workers:
                queue.feed(worker)
            busy = [worker.pipe for worker in self._workers if worker.tasks]
            ready = connection.wait(busy) if busy else []
            for worker in [worker for worker in self._workers if worker.pipe in ready]:
                self._receive(worker, setup, queue)
            for ok, result in queue.ready():
                if not ok:  # raised in the tasks' order, whichever worker was first
                    error, where = result
                    raise error from _InWorker(f"\n{where}")
                yield result

    def _receive(self, worker: _Worker, setup: Setup, queue: _Queue) -> None:
        try:
            outcome = worker.pipe.recv()
        except (EOFError, OSError):
            queue.again(worker)
            worker.end()
            self._workers.remove(worker)
            self._workers.append(_Worker(setup, self._workers, self.parents))
            return
        index = worker.tasks.popleft()
        queue.feed(worker)
        queue.put(index, outcome)

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []


def apart(setup: Setup, task: Any) -> Any:
    """The result of one task that a process of its own worked out: its memory is given back when that ends; raises what
    ``Engine.map`` raises."""
    (result,) = LocalEngine(1, parents=True).started(setup, iter([task]))
    return result


class _Queue:
    """Tasks by number: those to be given out, those that came back before their turn."""

    def __init__(self, tasks: Iterator[Any], window: int) -> None:
        self.tasks = tasks
        self.window = window
        self.open: dict[int, Any] = {}
        self.to_do: deque[int] = deque()
        self.tries: Counter[int] = Counter()
        self.results: dict[int, Any] = {}
        self.taken = 0
        self.given = 0

    @property
    def done(self) -> bool:
        self._fill()
        return self.given == self.taken

    def ready(self) -> Iterator[Any]:
        """Results whose turn it is."""
        while self.given in self.results:
            self.given += 1
            yield self.results.pop(self.given - 1)

    def put(self, index: int, result: Any) -> None:
        del self.open[index]
        self.results[index] = result

    def feed(self, worker: _Worker) -> None:
        """Give a worker its next task, and one more to begin at once when that is done."""
        while len(worker.tasks) < 2:
            self._fill()
            if not self.to_do:
                return
            index = self.to_do[0]
            message = ForkingPickler.dumps(self.open[index])
            if worker.tasks and (len(message) > _SMALL or self.tries[index]):
                return
            self.to_do.popleft()
            worker.tasks.append(index)
            # The worker may be dead already; then its pipe is at its end, which is seen where results are received.
            with contextlib.suppress(OSError):
                worker.pipe.send_bytes(message)

    def again(self, worker: _Worker) -> None:
        """Take back the tasks of a worker that died. The first is the one it was at."""
        for index in list(worker.tasks)[:1]:
            self.tries[index] += 1
            if self.tries[index] >= _TRIES:
                task = self.open[index]
                raise EnvironmentProblem(
                    "a worker process died, and so did those that took over its part",
                    found=f"{worker.epitaph()}, at {task.describe() if hasattr(task, 'describe') else 'its part'}",
                    hint="if memory ran out use fewer workers (--jobs 1); else look at the files named above",
                )
        self.to_do.extendleft(reversed(worker.tasks))
        worker.tasks.clear()

    def _fill(self) -> None:
        for task in itertools.islice(self.tasks, self.window - (self.taken - self.given)):
            self.open[self.taken] = task
            self.to_do.append(self.taken)
            self.taken += 1


class _Worker:
    """A process and the pipe to it, with the numbers of the tasks it was given, in order."""

    def __init__(self, setup: Setup, others: Sequence[_Worker], parent: bool) -> None:
        # Forking is safe here, for nothing of ours starts threads before; elsewhere the platform's own way is taken.
        forks = sys.platform == "linux"
        context = multiprocessing.get_context("fork" if forks else None)
        self.tasks: deque[int] = deque()
        self.pipe, theirs = context.Pipe()
        # A forked child has the parent's ends of all pipes; while it keeps them open nobody sees that the parent died.
        inherited = [self.pipe, *(other.pipe for other in others)] if forks else []
        self.process = context.Process(target=_work, args=(setup, theirs, inherited), daemon=not parent)
        self.process.start()
        theirs.close()

    def epitaph(self) -> str:
        self.process.join(5)
        code = self.process.exitcode
        return f"ended with code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(10)


class _InWorker(Exception):
    """The traceback of an error in its own process; what crosses a pipe has lost it."""


def _work(setup: Setup, pipe: Connection, inherited: Sequence[Connection]) -> None:
    """A worker's life: build the function once, then task after task until the pipe closes."""
    for other in inherited:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()
    function: Optional[Any] = None
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if function is None:
                function = setup()
            with uncollected():
                answer: tuple[bool, Any] = (True, function(task))
        except BaseException as error:
            answer = (False, (_portable(error), traceback.format_exc()))
        try:
            pipe.send(answer)
        except OSError:
            return


def _portable(error: BaseException) -> BaseException:
    """The error, or one that says the same where it cannot be pickled."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # whatever a foreign exception's pickling raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
