"""Where the work runs: this machine's processes, or a cluster. All engines give the same results in the same order."""

from seg2knet.engines.base import Engine, engine

__all__ = ["Engine", "engine"]
