"""Where the work runs: this machine's processes, or a cluster. All engines give the same results in the same order."""

from __future__ import annotations

from typing import Optional

from seg2knet.engines.base import Engine, cores, uncollected
from seg2knet.errors import UsageError

__all__ = ["Engine", "cores", "engine", "uncollected"]


def engine(name: str = "local", jobs: Optional[int] = None, address: Optional[str] = None) -> Engine:
    """An engine by name, ``local`` or ``ray``, with so many workers, by default as many as this process may use cores;
    ``address`` is that of the Ray cluster.

    Raises UsageError: no engine of that name, or fewer than one worker; EnvironmentProblem: Ray is not installed or not
    to be reached.
    """
    if jobs is not None and jobs < 1:
        raise UsageError("there must be a worker", found=f"--jobs {jobs}", expected="--jobs 1 or more")
    if name == "local":
        from seg2knet.engines.local import LocalEngine

        return LocalEngine(jobs or cores())
    if name == "ray":
        from seg2knet.engines.ray import RayEngine

        return RayEngine(jobs, address)
    raise UsageError(f"no engine is called {name!r}", expected="local, ray")
