"""The authors' own stack: mmdet 2 or mmseg 0 on mmcv 1.3, with a checkout of K-Net or any config of theirs.

``train``, ``evaluate`` and ``predict`` are what the command line calls with ``--stack classic``. Nothing of the
checkout or of the installed packages is changed: a run is a config of its own that inherits from theirs.
Importing this module imports none of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from seg2knet.doctor import environment
from seg2knet.errors import EnvironmentProblem, Seg2KNetError, UsageError
from seg2knet.trainer.classic import stack
from seg2knet.trainer.options import TrainOptions

if TYPE_CHECKING:
    from seg2knet.trainer.classic.inference import ClassicSegmenter
    from seg2knet.trainer.evaluate.evaluation import Evaluation

UNKNOWN_HERE = (
    "model", "backbone", "accumulate", "ema", "balance", "early_stop", "multi_scale", "compile", "channels_last",
)  # fmt: skip
"""Options of the current stack that the classic one cannot carry out: they are refused, not left unread."""


@dataclass
class Prepared:
    """A run that is ready to start.

    Attributes:
        config: the config file in the work dir.
        device: ``cuda`` or ``cpu``.
        processes: how many processes train.
        resume: the checkpoint to go on from, or ``None``.
        notes: lines to print: what was decided.
        task: what it trains.
        data: the data set's folder, to be checked before the first step; ``None`` for a config run again.
    """

    config: Path
    device: str
    processes: int
    resume: Optional[Path]
    task: str
    notes: list[str] = field(default_factory=list)
    data: Optional[Path] = None


def train(
    options: TrainOptions,
    *,
    knet: Optional[Path] = None,
    config: Optional[str] = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Train on the classic stack.

    Args:
        options: what was asked for; ``options.config`` is not read.
        knet: the checkout of K-Net.
        config: name or path of a config: of the checkout, of mmdet, of mmseg; or one that this function wrote.
        say: called with each line of what was decided.

    Returns:
        the work dir.

    Raises:
        EnvironmentProblem: the stack is not installed, or there are fewer GPUs than asked for.
        UsageError: the options do not fit one another, the config or the data.
        DataError: the data cannot be trained on.
        Seg2KNetError: training failed.
    """
    prepared = prepare(options, knet=knet, config=config)
    if options.validate and prepared.data is not None:
        from seg2knet.trainer.run.session import check_data

        check_data(prepared.data, say)
    for line in prepared.notes:
        say(line)
    say(f"config: {prepared.config}")
    environment.check(prepared.task, prepared.device, prepared.config.parent).raise_for_errors()
    if not options.dry_run:
        _start(prepared)
    return prepared.config.parent


def prepare(options: TrainOptions, *, knet: Optional[Path] = None, config: Optional[str] = None) -> Prepared:
    """Decide everything and write the config; see :func:`train`."""
    options.check()
    _refuse_unknown(options)
    stack.require()
    if knet is not None:
        stack.require_for_checkout()
    stack.enter(knet)
    from seg2knet.dataset.folder import read_folder
    from seg2knet.trainer.classic import config as classic_config

    path = _which_config(options, knet, config)
    if knet is None:
        knet = _checkout_of(path)
    stack.enter_checkout_of(path)
    merged = stack.load_config(path)
    device, processes = _where(options)
    if classic_config.RECORD in merged:
        return _again(path, merged, options, device, processes)
    task = classic_config.task_of(merged, path.name)
    if options.task not in (None, task):
        raise UsageError(
            f"this config trains {task} segmentation",
            file=path,
            found=f"--task {options.task}",
            hint="leave --task out",
        )
    stack.require(task)
    if task == "semantic":
        stack.import_mmseg()
    folder = read_folder(options.data, task)
    work_dir = _work_dir(options, path.stem)
    fitted = classic_config.fit(
        merged,
        folder,
        options,
        processes=processes,
        work_dir=work_dir,
        knet=knet,
        signature=stack.signature_of(task),
    )
    written = _write(path, merged, fitted, work_dir)
    resume = _resume_point(work_dir) if options.resume else None
    where = "the CPU" if device == "cpu" else "1 GPU" if processes == 1 else f"{processes} GPUs"
    notes = [f"{task}, {path.stem}, on {where}", *fitted.notes]
    return Prepared(written, device, processes, resume, task, notes, folder.root)


def _refuse_unknown(options: TrainOptions) -> None:
    defaults = TrainOptions()
    given = [name for name in UNKNOWN_HERE if getattr(options, name) != getattr(defaults, name)]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(
            f"the classic stack does not know {names}",
            hint="choose a config that does it (--config), or set it there: --cfg-options KEY=VALUE",
        )
    if options.nodes > 1 or options.launcher != "torchrun" or options.max_restarts:
        raise UsageError("the classic stack trains on one machine", hint="for several: --stack mmengine")


def _which_config(options: TrainOptions, knet: Optional[Path], config: Optional[str]) -> Path:
    if config is not None:
        return stack.find_config(config, knet)
    task = options.task
    if task is None:
        from seg2knet.dataset.folder import read_folder

        task = read_folder(options.data).task
    return stack.default_config(task, knet)


def _checkout_of(config: Path) -> Optional[Path]:
    """The checkout that a config lies in, when it was named by its path."""
    for folder in config.parents:
        if (folder / "configs").is_dir() and (folder / "knet").is_dir():
            stack.add_checkout(folder)
            return folder
    return None


def _again(path: Path, merged: dict[str, Any], options: TrainOptions, device: str, processes: int) -> Prepared:
    """A config that was made for a run is run as it stands."""
    shaping = options.shaping()
    if shaping:
        names = ", ".join("--" + name.replace("_", "-") for name in shaping)
        raise UsageError(
            f"{names}: this config has its settings already",
            file=path,
            hint="change them in the file, or name the config it came from",
        )
    resume = _resume_point(Path(merged["work_dir"])) if options.resume else None
    task = merged["seg2knet"]["task"]
    return Prepared(path, device, processes, resume, task, [f"{task}, as {path} says"])


def _where(options: TrainOptions) -> tuple[str, int]:
    """Device and number of processes.

    Raises:
        EnvironmentProblem: fewer GPUs than asked for.
        UsageError: an option that the device cannot do.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    asked = options.gpus
    if options.device == "cpu" or asked == 0 or (asked is None and there == 0 and options.device is None):
        if options.amp:
            raise UsageError("--amp needs a GPU on the classic stack", hint="leave --amp out")
        return "cpu", max(1, asked or 1)
    wanted = there if asked is None else asked
    if wanted > there or there == 0:
        raise EnvironmentProblem(
            f"{wanted or 1} GPUs were asked for, and there {'is' if there == 1 else 'are'} {there or 'none'}",
            hint=f"--gpus {there}" if there else "--gpus 0   trains on the CPU",
        )
    return "cuda", wanted


def _work_dir(options: TrainOptions, name: str) -> Path:
    """``--work-dir``, or a new folder in ``work_dirs`` named after the config; the last one to ``--resume`` it.

    Raises:
        UsageError: the folder named holds another run's checkpoints.
    """
    first = options.work_dir or Path("work_dirs") / name
    if options.resume:
        return first
    if options.work_dir is not None and any(first.glob("*.pth")):
        raise UsageError(
            "the work dir holds another run's checkpoints",
            file=first,
            hint="--resume goes on with it; another --work-dir starts anew",
        )
    number, folder = 1, first
    while any(folder.glob("*.pth")):
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def _write(path: Path, merged: dict[str, Any], fitted: Any, work_dir: Path) -> Path:
    """Write the config into the work dir, and see that it reads back as it was meant."""
    from seg2knet.trainer.classic.text import difference, render
    from seg2knet.trainer.classic.text import merged as merge

    said = difference(merged, fitted.config)
    heading = (
        f"Written by seg2knet for the classic stack. Inherits from\n{path}\nand says what these data need.\n"
        f"Run it again: seg2knet train --stack classic --config {work_dir / 'config.py'}"
    )
    work_dir.mkdir(parents=True, exist_ok=True)
    file = work_dir / "config.py"
    part = work_dir / ".config.part.py"
    part.write_text(render(str(path), said, fitted.comments, heading), encoding="utf-8")
    read_back = stack.load_config(part)
    if difference(merge(merged, said), read_back) or difference(read_back, merge(merged, said)):
        raise Seg2KNetError(
            "the written config does not read back as it was meant",
            file=part,
            found=", ".join(difference(read_back, fitted.config)),
            hint="please report this with the file",
        )
    os.replace(part, file)
    return file.resolve()


def _resume_point(work_dir: Path) -> Path:
    latest = work_dir / "latest.pth"
    if not latest.exists():
        raise UsageError(
            "there is no run to go on with",
            file=work_dir,
            found="no latest.pth",
            hint="leave --resume out to start anew",
        )
    return latest.resolve()


def _start(prepared: Prepared) -> None:
    """Train: here where it is one process, else in as many as wanted."""
    if prepared.processes == 1:
        _run_here(prepared)
        return
    command = [
        sys.executable, "-m", "torch.distributed.launch", "--use_env",
        f"--nproc_per_node={prepared.processes}", f"--master_port={_free_port()}",
        "-m", "seg2knet.trainer.classic.worker", str(prepared.config), prepared.device,
        *([str(prepared.resume)] if prepared.resume else []),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="seg2knet-") as folder:
        stop, failed = Path(folder) / "stop", Path(folder) / "error"
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            "SEG2KNET_STOP_FILE": str(stop),
            "SEG2KNET_ERROR_FILE": str(failed),
        }
        # a session of its own: Ctrl-C reaches this process alone, which asks the others to stop and waits for them
        with open(prepared.config.parent / "processes.log", "wb") as log:
            process = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)
            code = _wait(process, stop)
        if code:
            raise _failure(failed, Path(log.name), code)


def _run_here(prepared: Prepared) -> None:
    """
    Raises:
        Seg2KNetError: training failed; the traceback is in ``error.log`` in the work dir.
    """
    from seg2knet.trainer.classic.loop import train as run

    try:
        run(prepared.config, prepared.device, prepared.resume)
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
            hint=f"where it failed stands in {log}",
        ) from error


def _wait(process: subprocess.Popen, stop: Path) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            if stop.exists():  # asked twice: now
                process.terminate()
                return process.wait()
            stop.touch()


def _failure(failed: Path, log: Path, code: int) -> Seg2KNetError:
    """What a worker died of: its own words where it could still say them."""
    if failed.is_file():
        return Seg2KNetError(failed.read_text(encoding="utf-8"))
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Seg2KNetError(
        f"a training process ended with code {code}",
        file=log,
        found=lines[-1] if lines else "nothing was said",
        hint=f"all that they said: {log}",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def evaluate(
    checkpoint: Path,
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    device: Optional[str] = None,
    knet: Optional[Path] = None,
) -> Evaluation:
    """Figures of a checkpoint that the classic stack wrote; see :func:`seg2knet.trainer.classic.inference.evaluate`."""
    stack.require()
    stack.enter(knet)
    from seg2knet.trainer.classic import inference

    return inference.evaluate(checkpoint, data, split, device=device, knet=knet)


def segmenter(checkpoint: Path, device: Optional[str] = None, *, knet: Optional[Path] = None) -> ClassicSegmenter:
    """A model that the classic stack trained, ready to segment pictures."""
    stack.require()
    stack.enter(knet)
    from seg2knet.trainer.classic.inference import ClassicSegmenter

    return ClassicSegmenter(checkpoint, device, knet)
