"""A run from outside, by the command: no PYTHONPATH, Ctrl-C and --resume, two processes, a process that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from classic_drawn import CHECKOUT

SEG2KNET = str(Path(sys.executable).with_name("seg2knet"))
SHORT = (
    "--no-pretrained", "--img-size", "96", "--no-validate", "--workers", "0",
    "--cfg-options", "model.backbone.depth=18", "--cfg-options", "model.neck.in_channels=[64,128,256,512]",
)  # fmt: skip


def start(*words: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.Popen(
        [SEG2KNET, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*words: str) -> tuple[int, str]:
    process = start(*words)
    out, _ = process.communicate(timeout=400)
    return process.returncode, out


def test_ctrl_c_saves_and_resume_goes_on(data: tuple[Path, Path], tmp_path: Path) -> None:
    run = ("train", str(data[0]), "--task", "instance", "--knet", str(CHECKOUT), "--work-dir", str(tmp_path), *SHORT)
    process = start(*run, "--gpus", "0", "--epochs", "3")
    assert process.stdout is not None
    for line in process.stdout:
        if "Epoch(val) [1]" in line:
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "stopped after 1 whole epochs" in out
    assert f"--resume --work-dir {tmp_path}" in out
    assert torch.load(tmp_path / "interrupted.pth")["meta"]["epoch"] == 1
    code, out = finish("train", "--resume", "--work-dir", str(tmp_path), "--gpus", "0")
    assert code == 0, out
    assert "Epoch [1]" not in out
    assert "Epoch [2][3/3]" in out
    assert torch.load(tmp_path / "epoch_3.pth")["meta"]["iter"] == 9


def test_two_processes(data: tuple[Path, Path], tmp_path: Path) -> None:
    run = ("train", str(data[0]), "--task", "instance", "--knet", str(CHECKOUT), "--work-dir", str(tmp_path), *SHORT)
    code, out = finish(*run, "--device", "cpu", "--gpus", "2", "--epochs", "1", "--batch-size", "2")
    assert code == 0, out
    assert "Epoch [1][3/3]" in out
    assert (tmp_path / "epoch_1.pth").is_file()
    assert (tmp_path / "best_AP_epoch_1.pth").is_file()


def test_a_process_that_fails_says_why(data: tuple[Path, Path], tmp_path: Path) -> None:
    run = ("train", str(data[0]), "--task", "instance", "--knet", str(CHECKOUT), "--work-dir", str(tmp_path), *SHORT)
    code, out = finish(
        *run, "--device", "cpu", "--gpus", "2", "--epochs", "1", "--cfg-options", "data.samples_per_gpu=3"
    )
    assert code == 2
    assert "the release fails on three images" in out
    assert "Traceback" not in out


def test_more_gpus_than_there_are(data: tuple[Path, Path], tmp_path: Path) -> None:
    there = torch.cuda.device_count()
    code, out = finish(
        "train", str(data[0]), "--task", "instance", "--knet", str(CHECKOUT), "--work-dir", str(tmp_path), *SHORT,
        "--gpus", str(there + 1),
    )  # fmt: skip
    assert code == 2
    assert f"--gpus {there + 1} asks for more GPUs than this machine has" in out
    assert f"--gpus {there}" in out


@pytest.mark.parametrize("model", ["knet_s3_r50_fpn_1x_coco", "mask_rcnn_r50_fpn_1x_coco"])
def test_without_operators(data: tuple[Path, Path], tmp_path: Path, model: str) -> None:
    """K-Net trains on an mmcv that has none; a model with boxes says what it lacks."""
    words = ["train", str(data[0]), "--knet", str(CHECKOUT), "--config", model, "--work-dir", str(tmp_path), *SHORT]
    program = f"""
import sys
import mmcv
from seg2knet.trainer.openmmlab import operators
sys.modules["mmcv._ext"] = mmcv._ext = operators.StandIn("hidden for this test")
from seg2knet.cli import main
sys.argv[1:] = {[*words, "--gpus", "0", "--epochs", "1"]!r}
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path
    )
    if model.startswith("knet"):
        assert done.returncode == 0, done.stderr
        assert "best checkpoint" in done.stdout
    else:
        assert done.returncode == 2
        assert "calls mmcv's compiled operator" in done.stderr
        assert "mmcv-full==1.3.14" in done.stderr
