"""A training run on the classic stack: which config, fitted to the data and written down, then started."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from seg2knet.dataset.folder import read_folder
from seg2knet.doctor import environment
from seg2knet.download import weights
from seg2knet.errors import EnvironmentProblem, Seg2KNetError, UsageError
from seg2knet.trainer.classic import config as fitting
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import METRICS, RECORD
from seg2knet.trainer.config.source import assignment
from seg2knet.trainer.openmmlab import operators
from seg2knet.trainer.options import TrainOptions, flag
from seg2knet.trainer.run import launch, reruns
from seg2knet.trainer.run.session import TrainResult, check_data

KNOWN_HERE = {
    "data", "task", "epochs", "schedule", "batch_size", "lr", "img_size", "pretrained", "backbone_weights", "load_from",
    "config", "work_dir", "resume", "gpus", "device", "amp", "seed", "workers", "cfg_options", "validate", "dry_run",
    "stack", "knet",
}  # fmt: skip
"""Options that this stack carries out; others are refused, not left unread."""


class Prepared(NamedTuple):
    """A run that is ready to start: its config in the work dir, where it runs, what it trains, what was decided."""

    config: Path
    place: launch.Place
    task: str
    knet: Optional[Path]
    notes: list[str]
    data: Optional[Path] = None  # the folder to check before the first step; none for a config run again


def train(options: TrainOptions, *, knet: Optional[Path] = None, say: Callable[[str], None] = print) -> TrainResult:
    """Train on the classic stack; see :func:`seg2knet.trainer.run.session.run`.

    ``options.config`` is the name or path of a config: of the checkout ``knet``, of mmdet, of mmseg; or one that this
    function wrote. ``say`` is called with each line of what was decided.
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
        hint = "start anew without --resume"
        raise UsageError("there is no run to resume", file=work_dir, found="no latest.pth", hint=hint)
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
    if options.nodes > 1 or options.launcher != "torchrun":
        hint = "write the config with --dry-run and start it with mim (docs/classic.md); or --stack mmengine"
        raise UsageError("the classic stack trains on one machine", hint=hint)
    if options.pretrained == "coco":
        raise UsageError("the classic stack starts from ImageNet weights", hint="from a K-Net: --load-from FILE")
    unknown = [flag(name) for name in options.given() if name not in KNOWN_HERE]
    if unknown:
        hint = "choose a config that does it (--config), or set it there: --cfg-options KEY=VALUE"
        raise UsageError(f"the classic stack does not know {', '.join(unknown)}", hint=hint)
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
    knet = knet or next((folder for folder in path.parents if (folder / "knet").is_dir()), None)
    if knet is not None:
        stack.add_checkout(knet)
    merged = stack.load_config(path)
    task = fitting.task_of(merged, path.name)
    if options.task not in (None, task):
        raise UsageError(f"this config trains {task} segmentation, not {options.task}", file=path)
    data = read_folder(options.data, task)
    if options.load_from is not None:
        options.load_from = str(Path(weights.checkpoint(options.load_from)).resolve())
    work_dir = _work_dir(options, Path("work_dirs") / path.stem)
    config, notes = fitting.fit(
        merged, data, options, name=path.stem, processes=place.processes, work_dir=work_dir, knet=knet,
        signature=stack.signature_of(task),
    )  # fmt: skip
    where = "the CPU" if place.device == "cpu" else f"{place.processes} GPU{'s'[: place.processes != 1]}"
    notes = [f"{task}, {path.stem}, on {where}", *notes]
    return Prepared(_write(config, path, notes), place, task, knet, notes, data.root)


def _again(
    path: Path, record: Mapping[str, Any], options: TrainOptions, place: launch.Place, knet: Optional[Path]
) -> Prepared:
    """A config that was made for a run is run as it is, in a work dir where no other run has left checkpoints."""
    if options.shaping():
        given = ", ".join(map(flag, options.shaping()))
        raise UsageError(f"{given}: this config has its settings already", file=path, hint="change them in the file")
    checkout = stack.recorded_checkout(record, knet)
    config = stack.load_config(path)
    notes = [f"{record['task']}, as {path} says"]
    work_dir = _work_dir(options, Path(config["work_dir"])).resolve()
    if work_dir != path.parent:
        config["work_dir"] = str(work_dir)
        notes.append(f"work dir: {work_dir}")
        path = _write(config, path, notes)
    return Prepared(path, place, record["task"], checkout, notes)


def _work_dir(options: TrainOptions, default: Path) -> Path:
    """The work dir; of a run to resume, else one without another run's checkpoints."""
    return (options.work_dir or default) if options.resume else reruns.choose_work_dir(options, default)


def _write(config: Mapping[str, Any], path: Path, notes: list[str]) -> Path:
    """Write a config into its work dir."""
    file = Path(config["work_dir"]) / "config.py"
    origin = f"Written by seg2knet for the classic stack from {path}."
    heading = [origin, *notes, f"Run it again: seg2knet train --stack classic --config {file}"]
    lines = [f"# {line}" for line in heading] + [assignment(key, value) for key, value in config.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file.resolve()


def _check_model(prepared: Prepared) -> None:
    """Build the model once: what is wrong with it is said before the first step."""
    from seg2knet.trainer.classic import loop

    config = loop.read(prepared.config)
    if (config.model.get("backbone") or {}).get("dcn") and not operators.compiled():
        hint = "seg2knet setup classic   (without --no-ops); or a config without dcn in its name"
        raise EnvironmentProblem("deformable convolutions need mmcv's operators", file=prepared.config, hint=hint)
    loop.build_model(config, prepared.task)


def _start(prepared: Prepared, resume: Optional[Path]) -> None:
    """Train: in this process where one is enough, else in several; failures are in error.log or torchrun.log."""
    place, work_dir = prepared.place, prepared.config.parent
    if place.processes > 1:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={place.local}"]
        command += ["-m", "seg2knet.trainer.classic.loop", str(prepared.config), place.device]
        launch.torchrun([*command, str(resume or ""), str(prepared.knet or "")], work_dir, place.processes, place.local)
        return
    from seg2knet.trainer.classic import loop

    try:
        loop.train(prepared.config, place.device, resume, prepared.knet)
    except Seg2KNetError:
        raise
    except Exception as error:  # whatever a model of mmdet 2 or of the checkout may raise
        log = work_dir / "error.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        found = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        hint = f"the traceback is in {log}"
        raise Seg2KNetError("training failed", file=prepared.config, found=found, hint=hint) from error
