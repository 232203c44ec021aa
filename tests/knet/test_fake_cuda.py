"""A training step on a GPU, checked where there is none: on fake CUDA tensors, in float32 and both half precisions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    command = [sys.executable, str(HERE / "fake_cuda.py")]
    if not torch.backends.cuda.is_built():
        command.append(_lent_cuda(tmp_path_factory.mktemp("lent")))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _lent_cuda(folder: Path) -> str:
    compiler, installed = shutil.which("g++"), Path(torch.__file__).parent
    if compiler is None or not (installed / "include").is_dir():
        pytest.skip("a CPU build of PyTorch needs g++ and PyTorch's headers for CUDA tensors without values")
    library = folder / "lent_cuda.so"
    source = [f"-I{installed / 'include'}", str(HERE / "lent_cuda.cpp")]
    linked = [f"-L{installed / 'lib'}", f"-Wl,-rpath,{installed / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [compiler, "-shared", "-fPIC", "-std=c++20", *source, *linked, "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"lent_cuda.cpp does not compile against this PyTorch: {done.stderr[-500:]}")
    return str(library)


def test_mixed_devices_and_reading_values_are_noticed(cases: list[dict]) -> None:
    """What the other tests rely on; reading a value is a synchronisation with the device."""
    assert cases[0] == {"noticed": [True, True]}


@pytest.mark.parametrize("stuff", [0, 2], ids=["instance", "panoptic"])
@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16", "torch.float16"])
def test_losses_and_gradients_stay_on_the_gpu(cases: list[dict], stuff: int, dtype: str) -> None:
    (found,) = [case for case in cases if case.get("stuff") == stuff and case.get("dtype") == dtype]
    assert found["logits"] == dtype
    assert found["losses"] == ["cuda torch.float32"]
    assert found["gradients"] == ["cuda torch.float32"]
