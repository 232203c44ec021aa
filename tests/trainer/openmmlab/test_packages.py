"""mmdet is imported without scikit-learn and imgaug, and has them where it uses them."""

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
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
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
