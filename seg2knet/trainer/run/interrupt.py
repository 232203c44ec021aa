"""Ctrl-C, SIGTERM and the launcher's stop file, turned into one question that all processes answer alike."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Optional

import torch
import torch.distributed as dist

STOP_FILE = "SEG2KNET_STOP_FILE"
"""Environment variable: a file whose appearance asks the run to stop (the launcher makes it on Ctrl-C)."""


class Interrupted(Exception):
    """The run was asked to stop; what it has is saved."""


class StopRequest:
    """Whether someone asked this run to stop. A context manager that catches the signals while it is entered.

    A second signal is not caught: it ends the process at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}
        self._file = os.environ.get(STOP_FILE)
        self._group: Optional[Any] = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        self.asked = True
        if self._file is None:  # under the launcher several signals of one Ctrl-C may arrive
            self.__exit__()

    def agreed(self) -> bool:
        """Whether to stop now: the same answer in all processes, who must all ask at the same step."""
        if self._file is not None and not self.asked:
            self.asked = Path(self._file).exists()
        if not (dist.is_available() and dist.is_initialized()):
            return self.asked
        if self._group is None:  # gloo, on the host: asking does not wait for the GPU
            self._group = dist.new_group(backend="gloo")
        answer = torch.tensor([int(self.asked)])
        dist.all_reduce(answer, op=dist.ReduceOp.MAX, group=self._group)
        return bool(answer.item())
