"""mmdet is imported without what it needs for other things than K-Net, and has it where it uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmdet")


def fresh(code: str, tmp_path: Path) -> None:
    """Run in a process of its own, where the packages in `tmp_path` are the installed ones."""
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_slow_packages_are_imported_when_mmdet_uses_them(tmp_path: Path) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("")
    (tmp_path / "sklearn" / "mixture.py").write_text("class GaussianMixture:\n    ours = True\n")
    code = """
import importlib.util, sys
from seg2knet.trainer.openmmlab import packages
packages.load()
assert not {"sklearn", "sklearn.mixture", "imgaug"} & set(sys.modules)
from mmdet.models.dense_heads import paa_head
assert paa_head.skm.GaussianMixture().ours
import sklearn.mixture
assert sklearn.mixture.GaussianMixture.ours
"""
    fresh(code, tmp_path)


def test_other_packages_may_ask_for_them_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "transformers.py").write_text(
        "import importlib.util\nimportlib.util.find_spec('sklearn')\nAutoConfig = None\n"
    )
    fresh("from seg2knet.trainer.openmmlab import packages; packages.load()", tmp_path)


def test_a_start_imports_neither_compiler_nor_plots_nor_scipy(tmp_path: Path) -> None:
    code = """
import sys
from seg2knet.trainer.openmmlab import packages
packages.load()
import seg2knet.knet.detector
import torch
from seg2knet.trainer.openmmlab.optimizer import FewGroups
from seg2knet.trainer.run.loop import Scalars
net = torch.nn.Linear(2, 1)
for kind in "AdamW", "Adam", "SGD":
    optimizer = FewGroups({"type": "OptimWrapper", "optimizer": {"type": kind, "lr": 0.1}})(net)
    before = net.weight.tolist()
    optimizer.update_params(net(torch.ones(1, 2)).sum())
    assert net.weight.tolist() != before
    optimizer.load_state_dict(optimizer.state_dict())
Scalars(vis_backends=[{"type": "LocalVisBackend"}], save_dir="out").add_scalar("loss", 1.0)
heavy = "torch._dynamo", "torch.distributed.fsdp", "sympy", "matplotlib", "scipy.optimize", "shapely", "numba"
assert not (found := [name for name in heavy if name in sys.modules]), found
"""
    fresh(code, tmp_path)


def test_mmdet_has_what_it_uses(tmp_path: Path) -> None:
    code = """
import numpy as np
from seg2knet.trainer.openmmlab import packages
packages.load()
from mmdet.structures.mask import PolygonMasks
corners = np.array([2, 2, 10, 2, 10, 10, 2, 10], float)
(part,), = PolygonMasks([[corners]], 20, 20).crop(np.array([0, 0, 6, 6])).masks
assert part.reshape(-1, 2).max() == 6
from mmdet.models.task_modules.assigners import hungarian_assigner
assert hungarian_assigner.linear_sum_assignment([[1, 0], [0, 1]])[1].tolist() == [1, 0]
from mmdet.visualization.local_visualizer import mcolors
assert mcolors.to_rgb("red") == (1, 0, 0)
import matplotlib.colors
from mmdet.visualization import local_visualizer
assert local_visualizer.mcolors.CSS4_COLORS["red"] == "#FF0000"
"""
    fresh(code, tmp_path)
