"""The numbers: those of the authors' release where the golden files are, and our own recorded ones everywhere."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from figures import FOLDER, STUFF, figures


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "golden.py"
    spec = importlib.util.spec_from_file_location("golden_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["instance_0", "panoptic_0"])
def test_the_release_is_reproduced(shared: Path, benchmark: ModuleType, name: str) -> None:
    found = benchmark.compare(shared / "golden" / f"{name}.npz")
    assert set(found) >= {"fpn", "kernels0", "mask_logits", "cls_logits", "losses", "total", "grad_norm", "labels"}
    for group, deviation in found.items():
        assert deviation <= benchmark.LIMITS[group], group


@pytest.mark.parametrize("task", list(STUFF))
def test_recorded_figures(task: str) -> None:
    expected = json.loads((FOLDER / f"{task}.json").read_text())
    assert figures(task) == pytest.approx(expected, rel=2e-3, abs=1e-5)
