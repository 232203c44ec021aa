"""What the tests of the model share: it needs PyTorch and mmdet; without them there is nothing to test here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

collect_ignore_glob: list[str] = []

if find_spec("torch") is None or find_spec("mmdet") is None:
    collect_ignore_glob.append("test_*.py")
else:
    from seg2knet.trainer.openmmlab import operators as mmcv_ops

    mmcv_ops.install()


@pytest.fixture(autouse=True)
def _seed() -> None:
    import torch

    torch.manual_seed(0)
