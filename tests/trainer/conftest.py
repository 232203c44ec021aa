"""Small runs that several tests look at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawn_sets
import pytest
from drawn_sets import SMALL

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four validation images, with empty ones, a crowd, sub-folders and two suffixes."""
    return drawn_sets.coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def train_small() -> Callable[..., Any]:
    """``train_small(data, work_dir, **options)``: two epochs of a small model on the CPU, in this process."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("mmdet")
    torch.set_num_threads(1)

    def run(data: Path, work_dir: Path, **options: Any) -> Any:
        import seg2knet

        asked: dict[str, Any] = {
            "epochs": 2, "batch_size": 2, "img_size": 64, "backbone": "r18", "pretrained": False, "gpus": 0,
            "workers": 0, "cfg_options": SMALL, "amp": False,
        }  # fmt: skip
        asked.update(options)
        said: list[str] = []
        result = seg2knet.train(data, work_dir=work_dir, say=said.append, **asked)
        return result, said

    return run


@pytest.fixture(scope="session")
def trained(coco_root: Path, train_small: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run: its ``TrainResult``."""
    result, _ = train_small(coco_root, tmp_path_factory.mktemp("runs") / "whole")
    return result
