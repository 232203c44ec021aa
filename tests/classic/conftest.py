"""Tests that need mmdet 2: run by ``make test-classic`` in an environment of its own, not collected elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from classic_drawn import SMALL, draw

from seg2knet.trainer import classic

if not classic.available():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of the drawn set: coco and ade."""
    return draw(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def options() -> dict[str, Any]:
    """What makes a run short: small images, a small backbone, the CPU, no workers."""
    return {
        "epochs": 1,
        "img_size": "96",
        "pretrained": "none",
        "gpus": 0,
        "workers": 0,
        "batch_size": 2,
        "cfg_options": dict(SMALL),
    }
