"""Processes that somebody else starts: where they stand, and how many threads each may take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")

import torch

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.run import launch

SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_NODELIST": "a[1-2]"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment of eight cores that no launcher has touched, put back afterwards."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that what join() sets is taken back
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("more", "threads"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, "4"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1,4(x2)"}, "2"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_CPU_BIND_TYPE": "mask_cpu:"}, None),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "OMP_NUM_THREADS": "3"}, "3"),
    ],
)
def test_slurm_says_where_a_process_stands(environment: pytest.MonkeyPatch, more: dict, threads: str | None) -> None:
    for name, value in {**SLURM, **more}.items():
        environment.setenv(name, value)
    launch.join("slurm")
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"]) == ("3", "4", "1")
    assert os.environ["MASTER_ADDR"] == "a1"
    assert os.environ.get("OMP_NUM_THREADS") == threads
    place = launch.find_place(TrainOptions(launcher="slurm", device="cpu"))
    assert place.processes == 4
    assert not launch.is_first(TrainOptions(launcher="slurm"))


def test_slurm_without_srun_is_refused(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="srun"):
        launch.join("slurm")


def test_processes_of_another_launcher(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="launcher none"):
        launch.join("none")
    for name, value in {"RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        environment.setenv(name, value)
    launch.join("none")
    assert os.environ["LOCAL_RANK"] == "0"
    assert os.environ["OMP_NUM_THREADS"] == "4"


def test_a_gpu_that_is_asked_for_by_device_is_spoken_of_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "count_gpus", lambda: 0)
    with pytest.raises(EnvironmentProblem) as error:
        launch.find_place(TrainOptions(device="cuda"))
    assert "--device cuda" in str(error.value)
    assert "--gpus" not in str(error.value)
    with pytest.raises(UsageError, match="--device cuda and --gpus 0"):
        TrainOptions(device="cuda", gpus=0).check()


def test_processes_are_ended_where_there_are_no_signals_for_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.sys, "platform", "win32")
    monkeypatch.delattr(os, "killpg")
    monkeypatch.delattr(signal, "SIGKILL")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    launch._kill(process)
    assert process.poll() is not None
