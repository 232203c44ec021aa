"""Starts training processes: this one, or several by torchrun; on one machine or more.

Ctrl-C reaches the processes as a stop file, so that they end a step, save, and agree on it; a process that dies ends
the others, and its own error is what the user reads.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from seg2knet.engines import cores
from seg2knet.errors import EnvironmentProblem, Seg2KNetError, UsageError, extra
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.run.records import TORCHRUN


@dataclass(frozen=True)
class Place:
    """Where a run trains."""

    device: str  # cuda or cpu
    local: int  # processes on this machine
    nodes: int = 1  # machines
    note: Optional[str] = None  # a line for the user, where something was decided

    @property
    def processes(self) -> int:
        """Processes on all machines."""
        return self.local * self.nodes


def find_place(options: TrainOptions) -> Place:
    """Decide device and number of processes. Raises EnvironmentProblem: fewer GPUs than asked for."""
    there = count_gpus()
    if options.device == "cuda" and not there:
        hint = "--device cpu trains on the CPU; seg2knet doctor says why no GPU is found"
        raise EnvironmentProblem("--device cuda needs a GPU", found="no GPU", hint=hint)
    if options.launcher != "torchrun":
        # Someone else starts the processes; how many there are is in the environment.
        world = os.environ.get("SLURM_NTASKS" if options.launcher == "slurm" else "WORLD_SIZE", "1")
        return Place(options.device or ("cuda" if there else "cpu"), int(world))
    if options.device == "cpu" or options.gpus == 0:
        return Place("cpu", options.gpus or 1, options.nodes, None if options.gpus else "training on the CPU")
    if options.gpus is None and not there:
        return Place("cpu", 1, options.nodes, "no GPU here: training on the CPU (--gpus 0 says so without asking)")
    wanted = there if options.gpus is None else options.gpus
    if wanted > there:
        found, hint = f"{there} GPU{'s'[: there != 1]}", f"--gpus {there}"
        if not there:
            found, hint = "no GPU", "--gpus 0 trains on the CPU; seg2knet doctor says why no GPU is found"
        raise EnvironmentProblem(f"--gpus {wanted} asks for more GPUs than this machine has", found=found, hint=hint)
    return Place("cuda", wanted, options.nodes, f"training on {wanted} GPU{'s'[: wanted != 1]}")


def count_gpus() -> int:
    """GPUs that PyTorch can use. Raises EnvironmentProblem: PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        raise EnvironmentProblem("PyTorch is not installed", hint=extra("train")) from None
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def start(config: Path, work_dir: Path, options: TrainOptions, place: Place, resume: bool) -> None:
    """Train; returns when the processes have ended well or stopped as asked. Raises Seg2KNetError: a process failed."""
    from seg2knet.trainer.run import worker

    if options.launcher != "torchrun" or place.processes == 1:
        worker.run(config, place.device, resume)
        return
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={place.local}"]
    if place.nodes > 1:
        # Without restarts the machines' ranks are as asked, so that the first one shows the run. Restarts need a
        # meeting place that gives ranks out anew.
        backend = "c10d" if options.max_restarts else "static"
        command += [f"--nnodes={place.nodes}", f"--node-rank={options.node_rank}", f"--rdzv-backend={backend}"]
        command += [f"--rdzv-endpoint={options.rdzv}", "--rdzv-id=seg2knet"]
    else:
        command += ["--standalone"]
    command += [f"--max-restarts={options.max_restarts}", "-m", "seg2knet.trainer.run.worker", str(config)]
    command += ["--device", place.device, *(["--resume"] if resume else [])]
    torchrun(command, work_dir, place.processes, place.local)


def is_first(options: TrainOptions) -> bool:
    """Whether this process speaks, checks the data and writes the config; the others follow it."""
    return options.node_rank == 0 and (options.launcher == "torchrun" or os.environ.get("RANK", "0") == "0")


def join(launcher: str) -> None:
    """Set what torch.distributed wants to know where SLURM or the user started the processes.

    Raises UsageError: the environment does not say which process this is.
    """
    if launcher == "slurm":
        wanted = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
        missing = [name for name in wanted.values() if name not in os.environ]
        if missing:
            hint = "srun --ntasks-per-node=GPUS seg2knet train ... --launcher slurm"
            raise UsageError("--launcher slurm reads what srun sets", found=f"no {', '.join(missing)}", hint=hint)
        for name, source in wanted.items():
            os.environ[name] = os.environ[source]
        if os.environ["WORLD_SIZE"] != "1":
            os.environ.setdefault("MASTER_ADDR", _first_host(os.environ.get("SLURM_NODELIST", "127.0.0.1")))
            os.environ.setdefault("MASTER_PORT", str(20000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 20000))
    elif int(os.environ.get("WORLD_SIZE", 1)) > 1:
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            found = f"no {', '.join(missing)} in the environment"
            raise UsageError("--launcher none with WORLD_SIZE above 1", found=found)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        os.environ.setdefault("LOCAL_RANK", str(int(os.environ["RANK"]) % local))
    beside = sharing(launcher, 1)
    if beside > 1 and "OMP_NUM_THREADS" not in os.environ:
        import torch

        os.environ["OMP_NUM_THREADS"] = str(threads_each(beside))  # for what is not loaded yet
        torch.set_num_threads(threads_each(beside))


def threads_each(local: int) -> int:
    """Threads for each of several processes on this machine, so that together they have one for each core."""
    return max(1, cores() // local)


def sharing(launcher: str, started: int) -> int:
    """Processes that share this one's cores: those on its machine, unless srun bound each to cores of its own.

    `started` is how many there are on this machine, as far as this tool started them."""
    if launcher != "slurm":
        return int(os.environ.get("LOCAL_WORLD_SIZE", started)) if launcher == "none" else started
    if os.environ.get("SLURM_CPU_BIND_TYPE", "").startswith(("mask", "map", "rank")):
        return 1
    # "2(x3),1": so many tasks on each node; the most of any
    return max(int(part.split("(")[0]) for part in os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","))


def _first_host(nodes: str) -> str:
    """The first of SLURM's list of hosts: ``gpu[03-05,9]`` -> ``gpu03``."""
    scontrol = shutil.which("scontrol")  # in a container there often is none
    if scontrol is not None:
        found = subprocess.run([scontrol, "show", "hostnames", nodes], capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.split():
            return found.stdout.split()[0]
    head, _, rest = nodes.partition("[")
    return head.split(",")[0] + rest.split(",")[0].split("-")[0].rstrip("]")


def torchrun(command: list[str], work_dir: Path, processes: int, local: int) -> None:
    """Run a command of torch.distributed.run, log into ``torchrun.log``, and wait for its processes, `local` of them on
    this machine; Ctrl-C reaches them as a stop file.

    Raises Seg2KNetError: a process failed.
    """
    from seg2knet.trainer.run import interrupt, worker

    with tempfile.TemporaryDirectory(prefix="seg2knet-") as scratch:
        stop_file = Path(scratch, "stop")
        environment = {**os.environ, interrupt.STOP_FILE: str(stop_file), worker.ERRORS: scratch}
        # Each attempt meets in a store of its own. In one shared with the attempt before, processes that start again
        # find the addresses of those that died and, where they are quicker than the new ones, connect to nobody.
        environment.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
        environment.setdefault("OMP_NUM_THREADS", str(threads_each(local)))
        if sys.platform == "win32":
            environment.setdefault("USE_LIBUV", "0")  # PyTorch's wheels for Windows are built without
        log = work_dir / TORCHRUN
        with open(log, "ab") as stream:
            # The terminal's Ctrl-C comes to this process alone, which passes it on as a file.
            apart: dict[str, Any] = {"start_new_session": True}
            if sys.platform == "win32":
                apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=stream, **apart)
            with _stop_by_file(stop_file, process):
                code = process.wait()
        if code != 0:
            raise _failure(Path(scratch), log, processes, code)


@contextmanager
def _stop_by_file(stop_file: Path, process: subprocess.Popen) -> Iterator[None]:
    """While entered, the first Ctrl-C asks the processes to stop, the second ends them and raises KeyboardInterrupt."""

    def note(number: int, frame: Any) -> None:
        if stop_file.exists():
            raise KeyboardInterrupt
        stop_file.touch()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """End torchrun and the processes that it started; Windows has no signal for a group, so torchrun ends its own."""
    for ask in ("SIGTERM", "SIGKILL"):
        if sys.platform == "win32":
            process.terminate()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.Signals[ask])
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def _failure(folder: Path, log: Path, processes: int, code: int) -> Seg2KNetError:
    """The error of the process that failed first."""
    files = sorted(folder.glob("error-*.json"), key=lambda file: file.stat().st_mtime_ns)
    if not files:
        text = log.read_text(errors="replace")
        found, hint = f"torchrun ended with {code}", f"the log is {log}"
        if "SIGKILL" in text.rsplit("exitcode", 1)[-1] or "exitcode: -9" in text:
            found = "killed by the system"
            hint = f"most often it was out of memory: try a smaller --batch-size or --img-size; {hint}"
        return Seg2KNetError(f"a training process ended without a word (of {processes})", found=found, hint=hint)
    first: Mapping[str, Any] = json.loads(files[0].read_text())
    with open(log, "a") as stream:
        stream.write(first["text"] + "\n")
    stopped = f"training process {first['rank']} of {processes} stopped:"
    if first["known"]:
        return Seg2KNetError(f"{stopped}\n{first['short']}")
    return Seg2KNetError(f"{stopped} {first['short']}", hint=f"the whole trace is in {log}")
