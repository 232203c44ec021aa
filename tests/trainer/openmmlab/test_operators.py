"""mmdet and mmseg import without mmcv's compiled operators, and a missing operator says what it is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytest.importorskip("mmcv")

from seg2knet.errors import Seg2KNetError
from seg2knet.trainer.openmmlab import operators as mmcv_ops

FRESH = """
import sys, types
{before}
from seg2knet.trainer.openmmlab import operators as mmcv_ops
first = mmcv_ops.install()
module = sys.modules["mmcv._ext"]
assert mmcv_ops.install() == first and sys.modules["mmcv._ext"] is module
import mmcv
assert mmcv._ext is module
{after}
"""


def fresh(after: str, before: str = "") -> None:
    """Run in a process of its own, since imports cannot be undone in this one."""
    code = FRESH.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_mmdet_and_mmseg_import() -> None:
    pytest.importorskip("mmengine")
    fresh("import mmdet.models, mmdet.datasets, mmdet.evaluation, mmseg.models; from mmcv.ops import nms")


def test_a_compiled_module_is_left_alone() -> None:
    fresh(
        "assert first is False and mmcv_ops.compiled() and module is real",
        before="import mmcv; real = types.ModuleType('mmcv._ext'); sys.modules['mmcv._ext'] = mmcv._ext = real",
    )


def test_the_stand_in_raises_only_when_called() -> None:
    stand_in = mmcv_ops.StandIn("built without")
    operator = stand_in.nms
    assert operator is stand_in.nms
    assert operator.__name__ == "nms"
    with pytest.raises(Seg2KNetError, match="nms") as caught:
        operator(1, scores=2)
    assert "built without" in str(caught.value)
    assert "pip install" in str(caught.value)


def test_dunder_names_stay_absent() -> None:
    with pytest.raises(AttributeError):
        _ = mmcv_ops.StandIn("").__wrapped__


def test_torchvision_imports_beside_a_torch_that_it_was_not_built_for() -> None:
    pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    fresh("import torchvision.ops, mmseg.models")


def test_no_operator_is_declared_where_torchvision_is_absent() -> None:
    fresh(
        "assert not mmcv_ops.declare_torchvision()",
        before="sys.modules['torchvision'] = None  # as if it were not installed",
    )
