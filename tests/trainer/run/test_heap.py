"""The reserve for the tensors of a step. malloc's settings are a process's, so each test has one of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from seg2knet.trainer.run import heap

STEPS = """
import torch
from seg2knet.trainer.run.heap import Heap, resident
heap = Heap()
heap.begin()
torch.ones(64 << 18).sum()  # 64 MiB for a while
reserve = heap.settle()
before = resident("VmRSS")
again = heap.settle()
kept = [torch.ones(1 << 18) for _ in range(16)]  # 16 MiB within the reserve
large = torch.ones(128 << 18)  # does not fit
with_large = resident("VmRSS")
del large
total = sum(float(t.sum()) for t in kept)
print(reserve >> 20, again, with_large - before >> 20, resident("VmRSS") - before >> 20, total)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_reserve_is_as_large_as_the_first_step_and_large_blocks_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    reserve, again, with_large, after, total = (float(word) for word in done.stdout.split())
    assert 40 < reserve < 90
    assert again == 0
    assert with_large > 130
    assert after < 40
    assert total == 16 << 18


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_libc", lambda: None)
    quiet = heap.Heap()
    quiet.begin()
    assert quiet.settle() == 0
