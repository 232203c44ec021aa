"""A run that is killed leaves the old target as it was, and is gone on with to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trees
from drawn import mask_shape, polygon

import seg2knet

Make = Callable[..., Path]


def drawn(labelme: Make, count: int) -> Path:
    import numpy as np

    for index in range(count):
        shapes = [polygon("car", index % 7, 1, 30, 2, 20.5, 25), mask_shape("disc", np.ones((5, 6)), index % 20, 3)]
        root = labelme(f"img{index}.{'png' if index % 4 else 'jpg'}", shapes)
    return root


def convert(root: Path, out: Path, **options: object) -> None:
    seg2knet.convert("labelme", root, out=out, to="coco,panoptic,ade", jobs=2, validate=False, **options)


def killed_after(seconds: float, root: Path, out: Path) -> bool:
    """Convert in a process of its own and kill that; whether it was still at work."""
    pid = os.fork()
    if pid == 0:
        try:
            convert(root, out)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def run_and_kill(labelme: Make, tmp_path: Path, images: int, times: int) -> None:
    root = drawn(labelme, images)
    out, whole = tmp_path / "out", tmp_path / "whole"
    started = time.monotonic()
    convert(root, whole)
    length = time.monotonic() - started
    seg2knet.convert("labelme", root, out=out, split="val", validate=False, jobs=1)
    old = trees.contents(out)
    rng = random.Random(images)
    at_work = 0
    for _ in range(times):
        at_work += killed_after(rng.uniform(0.02, length), root, out)
        now = trees.contents(out)
        if now == trees.contents(whole):  # it was quicker than the signal: put the old one back
            seg2knet.convert("labelme", root, out=out, split="val", validate=False, jobs=1, overwrite=True)
            now = trees.contents(out)
        assert now == old
    assert at_work
    convert(root, out, resume=True)
    assert trees.contents(out) == trees.contents(whole)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_killed_a_few_times(labelme: Make, tmp_path: Path) -> None:
    run_and_kill(labelme, tmp_path, images=40, times=3)


@pytest.mark.slow
def test_killed_at_thirty_random_moments(labelme: Make, tmp_path: Path) -> None:
    run_and_kill(labelme, tmp_path, images=300, times=30)


def test_resumed_after_each_kill(labelme: Make, tmp_path: Path) -> None:
    """What a killed run leaves is used, not done again."""
    root = drawn(labelme, 60)
    out, whole = tmp_path / "out", tmp_path / "whole"
    convert(root, whole)
    for seconds in (0.05, 0.1, 0.15):
        if not out.exists():
            killed_after(seconds, root, out)
    result = seg2knet.convert(
        "labelme", root, out=out, to="coco,panoptic,ade", jobs=1, validate=False, resume=True, overwrite=True
    )
    assert trees.contents(out) == trees.contents(whole)
    assert result.ledger.imbalance() is None
