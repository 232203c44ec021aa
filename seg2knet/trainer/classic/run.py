"""A training run on the classic stack: which config, fitted to the data and written down, then started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from seg2knet.dataset.folder import read_folder
from seg2knet.doctor import environment
from seg2knet.errors import EnvironmentProblem, Seg2KNetError, UsageError
from seg2knet.trainer.classic import config as fitting
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import METRICS, RECORD
from seg2knet.trainer.config.source import assignment
from seg2knet.trainer.options import TrainOptions, flag
from seg2knet.trainer.run import interrupt, launch
from seg2knet.trainer.run.session import TrainResult, check_data

KNOWN_HERE = {
    "data", "task", "epochs", "schedule", "batch_size", "lr", "img_size", "pretrained", "backbone_weights", "load_from",
    "config", "work_dir", "resume", "gpus", "device", "amp", "seed", "workers", "cfg_options", "validate", "dry_run",
    "stack", "knet",
}  # fmt: skip
"""Options that this stack carries out; others are refused, not left unread."""


@dataclass
class Prepared:
    """A run that is ready to start.

    Attributes:
        config: the config file in the work dir.
        place: device and number of processes.
        task: what it trains.
        knet: the checkout, or ``None``.
        notes: lines to print: what was decided.
        data: the data set's folder, to be checked before the first step; ``None`` for a config run again.
    """

    config: Path
    place: launch.Place
    task: str
    knet: Optional[Path]
    notes: list[str] = field(default_factory=list)
    data: Optional[Path] = None


def train(options: TrainOptions, *, knet: Optional[Path] = None, say: Callable[[str], None] = print) -> TrainResult:
    """Train on the classic stack.

    Args:
        options: what was asked for; ``options.config`` is the name or path of a config: of the checkout, of mmdet, of
            mmseg; or one that this function wrote.
        knet: the checkout of K-Net.
        say: called with each line of what was decided.

    Raises:
        EnvironmentProblem: the stack is not installed, or there are fewer GPUs than asked for.
        UsageError: the options do not fit one another, the config or the data.
        DataError: the data cannot be trained on.
        Seg2KNetError: training failed.
    """
    prepared = prepare(options, knet=knet)
    work_dir = prepared.config.parent
    if options.validate and prepared.data is not None:
        check_data(prepared.data, say)
    for line in [*prepared.notes, f"config: {prepared.config}"]:
        say(line)
    environment.check(prepared.task, prepared.place.device, work_dir).raise_for_errors()
    _check_model(prepared)
    latest = work_dir / "latest.pth"
    if options.resume and not latest.exists():
        raise UsageError(
            "there is no run to resume", file=work_dir, found="no latest.pth", hint="start anew without --resume"
        )
    if options.dry_run:
        return TrainResult(work_dir, prepared.config)
    _start(prepared, latest.resolve() if options.resume else None)
    return _result(prepared)


def _result(prepared: Prepared) -> TrainResult:
    import torch

    from seg2knet.trainer.classic.loop import INTERRUPTED, LATEST

    work_dir = prepared.config.parent
    last = (work_dir / LATEST).resolve()
    epochs = torch.load(str(last), map_location="cpu")["meta"]["epoch"]
    best = max(work_dir.glob("best_*.pth"), key=lambda file: file.stat().st_mtime, default=None)
    figures = {}
    if best is not None:
        score = torch.load(str(best), map_location="cpu")["meta"]["hook_msgs"]["best_score"]
        figures[METRICS[prepared.task]["save_best"]] = float(score)
    return TrainResult(work_dir, prepared.config, best, last, epochs, last.name == INTERRUPTED, figures)


def prepare(options: TrainOptions, *, knet: Optional[Path] = None) -> Prepared:
    """Decide everything and write the config; see :func:`train`."""
    options.check()
    _refuse_unknown(options)
    stack.enter(knet)
    if options.resume and options.config is None and options.work_dir is not None:
        path = options.work_dir / "config.py"
    elif options.config is not None:
        path = stack.find_config(str(options.config), knet)
    else:
        path = stack.default_config(options.task or read_folder(options.data).task, knet)
    place = launch.find_place(options)
    if options.amp and place.device == "cpu":
        raise UsageError("--amp needs a GPU on the classic stack", hint="leave --amp out")
    record = stack.load_config(path, run_imports=False).get(RECORD)
    if record is not None:
        return _again(path, record, options, place, knet)
    knet = knet or stack.checkout_around(path)
    if knet is not None:
        stack.add_checkout(knet)
    merged = stack.load_config(path)
    task = fitting.task_of(merged, path.name)
    if options.task not in (None, task):
        raise UsageError(
            f"this config trains {task} segmentation",
            file=path,
            found=f"--task {options.task}",
            hint="leave --task out",
        )
    data = read_folder(options.data, task)
    if options.load_from is not None:
        from seg2knet.download import weights

        options.load_from = str(Path(weights.checkpoint(options.load_from)).resolve())
    config, notes = fitting.fit(
        merged,
        data,
        options,
        name=path.stem,
        processes=place.processes,
        work_dir=_work_dir(options.work_dir, Path("work_dirs") / path.stem, options.resume),
        knet=knet,
        signature=stack.signature_of(task),
    )
    where = "the CPU" if place.device == "cpu" else f"{place.processes} GPU{'s'[: place.processes != 1]}"
    notes = [f"{task}, {path.stem}, on {where}", *notes]
    return Prepared(_write(config, path, notes), place, task, knet, notes, data.root)


def _refuse_unknown(options: TrainOptions) -> None:
    if options.nodes > 1 or options.launcher != "torchrun":
        raise UsageError(
            "the classic stack trains on one machine",
            hint="write the config with --dry-run and start it with mim (docs/classic.md); or --stack mmengine",
        )
    if options.pretrained == "coco":
        raise UsageError("the classic stack starts from ImageNet weights", hint="from a K-Net: --load-from FILE")
    unknown = [flag(name) for name in options.given() if name not in KNOWN_HERE]
    if unknown:
        raise UsageError(
            f"the classic stack does not know {', '.join(unknown)}",
            hint="choose a config that does it (--config), or set it there: --cfg-options KEY=VALUE",
        )


def _again(
    path: Path, record: Mapping[str, Any], options: TrainOptions, place: launch.Place, knet: Optional[Path]
) -> Prepared:
    """A config that was made for a run is run as it is, in a work dir where no other run has left checkpoints."""
    if options.shaping():
        raise UsageError(
            f"{', '.join(map(flag, options.shaping()))}: this config has its settings already",
            file=path,
            hint="change them in the file, or name the config it came from",
        )
    checkout = stack.recorded_checkout(record, knet)
    config = stack.load_config(path)
    notes = [f"{record['task']}, as {path} says"]
    work_dir = _work_dir(options.work_dir, Path(config["work_dir"]), options.resume).resolve()
    if work_dir != path.parent:
        config["work_dir"] = str(work_dir)
        notes.append(f"work dir: {work_dir}")
        path = _write(config, path, notes)
    return Prepared(path, place, record["task"], checkout, notes)


def _work_dir(asked: Optional[Path], default: Path, resume: bool) -> Path:
    """The folder asked for, else the first of ``NAME``, ``NAME-2``, ... without another run's checkpoints.

    Raises:
        UsageError: the folder asked for holds another run's checkpoints.
    """
    if asked is not None and not resume and any(asked.glob("*.pth")):
        raise UsageError(
            "the work dir holds another run's checkpoints",
            file=asked,
            hint="--resume resumes it; another --work-dir starts anew",
        )
    number, folder = 1, asked or default
    while not resume and any(folder.glob("*.pth")):
        number += 1
        folder = default.with_name(f"{default.name}-{number}")
    return folder


def _write(config: Mapping[str, Any], path: Path, notes: list[str]) -> Path:
    """Write a config into its work dir."""
    file = Path(config["work_dir"]) / "config.py"
    heading = [
        f"Written by seg2knet for the classic stack from {path}.",
        *notes,
        f"Run it again: seg2knet train --stack classic --config {file}",
    ]
    lines = [f"# {line}" for line in heading] + [assignment(key, value) for key, value in config.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file.resolve()


def _check_model(prepared: Prepared) -> None:
    """
    Raises:
        Seg2KNetError: the model cannot be built.
        EnvironmentProblem: it needs an operator that this mmcv lacks.
    """
    from mmcv import Config

    from seg2knet.trainer.classic import loop
    from seg2knet.trainer.openmmlab.operators import compiled

    with stack.silent():
        config = Config.fromfile(str(prepared.config))
    if (config.model.get("backbone") or {}).get("dcn") and not compiled():
        raise EnvironmentProblem(
            "this model has deformable convolutions, and mmcv is installed without operators",
            file=prepared.config,
            expected="mmcv-full",
            hint="seg2knet setup classic   (without --no-ops); or a config without dcn in its name",
        )
    loop.build_model(config, prepared.task)


def _start(prepared: Prepared, resume: Optional[Path]) -> None:
    """Train: in this process where one is enough, else in as many as wanted.

    Raises:
        Seg2KNetError: training failed; the traceback is in ``error.log`` or ``processes.log`` in the work dir.
    """
    if prepared.place.processes > 1:
        _launch(prepared, resume)
        return
    from seg2knet.trainer.classic import loop

    try:
        loop.train(prepared.config, prepared.place.device, resume, prepared.knet)
    except Seg2KNetError:
        raise
    except Exception as error:  # whatever a model of mmdet 2 or of the checkout may raise
        log = prepared.config.parent / "error.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        text = str(error).strip().splitlines()
        raise Seg2KNetError(
            "training failed",
            file=prepared.config,
            found=f"{type(error).__name__}: {text[0] if text else ''}",
            hint=f"the traceback is in {log}",
        ) from error


def _launch(prepared: Prepared, resume: Optional[Path]) -> None:
    """Several processes, by torch.distributed.launch."""
    from seg2knet.trainer.classic.loop import ERROR_FILE

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.launch", "--use_env",
        f"--nproc_per_node={prepared.place.processes}", f"--master_port={port}",
        "-m", "seg2knet.trainer.classic.loop", str(prepared.config), "--device", prepared.place.device,
        *(["--resume", str(resume)] if resume else []), *(["--knet", str(prepared.knet)] if prepared.knet else []),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="seg2knet-") as folder:
        stop, failed = Path(folder) / "stop", Path(folder) / "error"
        variables = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
        variables.update({interrupt.STOP_FILE: str(stop), ERROR_FILE: str(failed)})
        # a session of its own: Ctrl-C reaches this process alone, which asks the others to stop and waits for them
        with open(prepared.config.parent / "processes.log", "wb") as log:
            process = subprocess.Popen(command, env=variables, stderr=log, start_new_session=True)
            code = _wait(process, stop)
        if code:
            lines = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it printed nothing"
            said = (
                failed.read_text(encoding="utf-8") if failed.is_file() else f"a process ended with code {code}: {last}"
            )
            raise Seg2KNetError(said, hint=f"the whole output is in {log.name}")


def _wait(process: subprocess.Popen, stop: Path) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            if stop.exists():  # asked twice: now
                process.terminate()
                return process.wait()
            stop.touch()
