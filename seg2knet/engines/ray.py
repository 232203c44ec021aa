"""A Ray cluster (https://docs.ray.io): the same work on many machines, to which source and target must be one folder.

Ray does a part again when its worker dies. Results come in the tasks' order: the bytes are the local engine's.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from seg2knet.engines.base import Engine, Setup
from seg2knet.errors import EnvironmentProblem, extra

_AHEAD = 4
"""Tasks in work or waiting, for each worker."""
_RETRIES = 2

_functions: dict[str, Callable[[Any], Any]] = {}
"""In a worker: what each map's ``setup`` made here."""


class RayEngine(Engine):
    """Workers of a cluster: ``jobs`` tasks at a time, by default one for each of its CPUs. ``address`` is
    ``ray://host:10001``, ``host:6379`` or ``auto``; by default a cluster is started on this machine and ended with the
    engine."""

    def __init__(self, jobs: Optional[int] = None, address: Optional[str] = None) -> None:
        try:
            import ray
        except ImportError:
            hint = f"{extra('ray')}, or leave out --engine ray"
            raise EnvironmentProblem("Ray is not installed", hint=hint) from None
        self._ray: Any = ray
        self._started = not self._ray.is_initialized()
        if self._started:
            self._connect(jobs, address)
        self.jobs = jobs or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _connect(self, jobs: Optional[int], address: Optional[str]) -> None:
        # The client says so itself when it goes out to a network; ours is not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        where = {"address": address} if address is not None else {"num_cpus": jobs, "include_dashboard": False}
        try:
            self._ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=True, **where)
        except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and its own
            raise EnvironmentProblem(
                "the Ray cluster is not to be reached",
                found=str(error).splitlines()[0] if str(error) else type(error).__name__,
                expected="the address that `ray start --head` printed",
                hint="check --ray-address, or leave it out to start a cluster on this machine",
            ) from None

    def map(self, setup: Setup, tasks: Iterable[Any]) -> Iterator[Any]:
        remote = self._ray.remote(max_retries=_RETRIES)(_run)
        key, shared = uuid.uuid4().hex, self._ray.put(setup)
        waiting, pending = iter(tasks), deque[Any]()
        try:
            while True:
                for task in waiting:
                    pending.append(remote.remote(key, shared, task))
                    if len(pending) >= _AHEAD * self.jobs:
                        break
                if not pending:
                    return
                yield self._result(pending.popleft())
        finally:
            for reference in pending:
                self._ray.cancel(reference)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise EnvironmentProblem(
                "a worker of the Ray cluster died, and so did those that took over its part",
                found=str(error).splitlines()[0],
                hint="if memory ran out use fewer workers (--jobs 1); the cluster's logs say more",
            ) from None

    def close(self) -> None:
        if self._started and self._ray.is_initialized():
            self._ray.shutdown()


def _run(key: str, setup: Setup, task: Any) -> Any:
    """In a worker: make the function once, then use it for every task of the same map."""
    if key not in _functions:
        _functions.clear()
        _functions[key] = setup()
    return _functions[key](task)
