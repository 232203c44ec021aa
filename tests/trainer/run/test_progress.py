"""What is shown of a run, and kept in train.log."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from seg2knet.trainer.run.progress import RunView, class_table, duration


def row(epoch: int) -> dict[str, float]:
    return {
        "epoch": epoch, "loss": 1.5, "AP": 0.25, "lr": 1e-4, "images_per_second": 3.2, "memory_mb": 300, "seconds": 41,
    }  # fmt: skip


def test_lines_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    view = RunView("AP", 2, 20, tmp_path, out)
    view.start(0, None)
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 60)
    assert view.wants_step()
    view.step(1, 2, 2.0, 2048)
    assert not view.wants_step()
    view.step(1, 10, 1.75, 2048)
    view.epoch(row(1), ("AP", "AP50"), True)
    view.epoch(row(2), ("AP",), False)
    view.stop()
    lines = out.getvalue().splitlines()
    assert lines == (tmp_path / "train.log").read_text().splitlines()
    assert lines[0] == "epoch 1/2  2/20  loss 2.000  2.0 GB", "nothing is known of the time left yet"
    assert lines[1] == "epoch 1/2  10/20  loss 1.750  2.0 GB  3:00 left"
    assert lines[2] == "epoch 1/2  loss 1.500  AP 0.250  lr 0.0001  3.2 img/s  300 MB  41 s  1:00 left  best so far"
    assert lines[3].endswith("41 s"), "no time is left at the end"


def test_classes_without_objects_are_left_out() -> None:
    out = io.StringIO()
    report = [
        {"name": "disc", "AP": 0.5, "objects": 3},
        {"name": "box", "AP": None, "objects": 0},
        {"name": "star", "AP": None, "objects": 2},
    ]
    Console(file=out, width=60).print(class_table(report))
    assert "disc" in out.getvalue()
    assert "star" in out.getvalue()
    assert "box" not in out.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(41, "41 s"), (307, "5:07"), (7390, "2:03:10")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
