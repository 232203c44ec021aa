"""A whole training run: read the data, check data and machine, write the config, start the processes, sum up."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.folder import read_folder
from seg2knet.doctor import environment
from seg2knet.download import weights
from seg2knet.errors import DataError, EnvironmentProblem, UsageError
from seg2knet.trainer.config import models
from seg2knet.trainer.config.backbones import BACKBONES, default_backbone, find_backbone
from seg2knet.trainer.config.build import build
from seg2knet.trainer.config.plan import Machine, decide
from seg2knet.trainer.options import TrainOptions, flag
from seg2knet.trainer.run import launch, reruns
from seg2knet.trainer.run.progress import log
from seg2knet.trainer.run.records import LABELS, SUMMARY
from seg2knet.validators import validate
from seg2knet.validators.reports import stats, text
from seg2knet.validators.statistics import statistics
from seg2knet.validators.subjects.data import find

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """What came of a run."""

    work_dir: Path
    config: Path
    best: Optional[Path] = None  # the best checkpoint; None where nothing was evaluated
    last: Optional[Path] = None  # the last one, from which a run is resumed
    epochs: int = 0
    interrupted: bool = False  # it was asked to stop before its end
    figures: dict[str, float] = field(default_factory=dict)  # of the best epoch: AP, AP50...
    classes: list[dict[str, Any]] = field(default_factory=list)  # the same by class
    test: dict[str, float] = field(default_factory=dict)  # of the best checkpoint on the test split, beside val
    samples: Optional[Path] = None  # image of predictions beside truth
    page: Optional[Path] = None  # what seg2knet test leaves, of the best epoch


def run(options: TrainOptions, say: Say) -> TrainResult:
    """Train as asked; `say` takes lines for the user.

    Raises Seg2KNetError: the options, the data or the machine do not allow it, or a process failed.
    """
    options = with_local_checkpoint(with_model(replace(options.check())))  # a copy: the caller's stays as it is
    if options.launcher != "torchrun":
        launch.join(options.launcher)
    if not launch.is_first(options):
        options.validate, say = False, lambda line: None  # the first process speaks for all
    lines: list[str] = []

    def tell(line: str) -> None:
        say(line)
        lines.append(line)

    place = launch.find_place(options)
    if options.resume or options.config is not None:
        _check_machine(place, options, options.task, tell)
    if options.resume:
        config_file, work_dir, unread = reruns.resumed(options)
        tell(f"resuming from {work_dir / 'last.pth'}, by {config_file}")
        if unread:
            tell(f"not compared with that config: {', '.join(unread)}")
    elif options.config is not None:
        config_file, work_dir = reruns.given(options)
    else:
        config_file, work_dir = _new_config(options, place, tell)
    if options.dry_run:
        tell(f"config: {config_file} (nothing was trained: --dry-run)")
        return TrainResult(work_dir, config_file)
    tell(f"config: {config_file}")
    if place.note:
        tell(place.note)
    if launch.is_first(options):
        log(work_dir, lines)
    launch.start(config_file, work_dir, options, place, options.resume)
    return _result(config_file, work_dir) if launch.is_first(options) else TrainResult(work_dir, config_file)


def with_local_checkpoint(options: TrainOptions) -> TrainOptions:
    """``--load-from`` by URL is fetched before anything else, and known by its path from then on.

    Raises DataError: no such file. TransferError: it cannot be downloaded.
    """
    if options.load_from is None:
        return options
    return replace(options, load_from=str(weights.checkpoint(options.load_from)))


def with_model(options: TrainOptions) -> TrainOptions:
    """``--model NAME`` as the options it stands for.

    Raises UsageError: no such model, or other options contradict it.
    """
    if options.model is None:
        return options
    spec = models.get(options.model)
    spec.require()
    for name in ("backbone", "task"):
        asked, meant = getattr(options, name), getattr(spec, name)
        if asked is not None and asked != meant:
            raise UsageError(f"--model {options.model} and {flag(name)} {asked} contradict one another", expected=meant)
    return replace(
        options,
        backbone=spec.backbone,
        task=spec.task,
        schedule=options.schedule or (spec.schedule if options.epochs is None else None),
        head=options.head or spec.head,
        img_size=options.img_size or (str(spec.crop[0]) if spec.crop else None),
    )


def _new_config(options: TrainOptions, place: launch.Place, say: Say) -> tuple[Path, Path]:
    import torch

    data = read_folder(options.data, options.task)
    counts = ", ".join(f"{split.count} {name}" for name, split in data.splits.items())
    classes = f"{len(data.classes)} class{'es' if len(data.classes) != 1 else ''}"
    say(f"{data.root}: {data.task} segmentation, {classes}, images: {counts}")
    if data.also:
        say(f"  (--task {data.also} trains on the same folder's instances)")
    labels = None
    if options.validate:
        check_data(data.root, say)
        labels = stats.table(statistics(find(data.root)), width=140)
    _check_machine(place, options, data.task, say)
    if options.logger != "none" and importlib.util.find_spec(options.logger) is None:
        hint = f"pip install {options.logger}"
        if options.logger != "tensorboard":
            raise EnvironmentProblem(f"--logger {options.logger} is not installed", hint=hint)
        options.logger = "none"
        say(f"TensorBoard is not installed, so nothing is written for it ({hint})")
    name = (options.backbone or default_backbone(place.device, data.task)).rpartition("/")[2]
    work_dir = reruns.choose_work_dir(options, Path("work_dirs") / f"{data.root.resolve().name}-{name}")
    gpus = range(torch.cuda.device_count() if place.device == "cuda" else 0)
    memory = min((torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus), default=0.0) / 2**30
    share = launch.threads_each(launch.sharing(options.launcher, place.local))
    # On the CPU the cores are the model's; one process keeps images coming.
    workers = max(1, min(8, share)) if place.device == "cuda" else int(share > 1)
    workers = workers if options.workers is None else options.workers
    machine = Machine(place.device, place.processes, workers, computes_in_bfloat16(), memory)
    options, backbone_weights = start_from(options, data.task, say, place.device)
    plan = decide(options, data, machine, backbone_weights, work_dir)
    for note in plan.notes:
        say(note)
    config_file = work_dir / "config.py"
    files = {**plan.files, config_file: build(plan).encode()}
    if labels is not None:
        files[work_dir / LABELS] = labels.encode("utf-8", "replace")
    reruns.start_over(work_dir, options)
    work_dir.mkdir(parents=True, exist_ok=True)
    if launch.is_first(options):
        for file, content in files.items():
            file.write_bytes(content)
    return config_file, work_dir


def check_data(root: Path, say: Say) -> None:
    """Run the validator; its errors end the run. Raises DataError: the validator found errors; they are named."""
    # CP004: mmdet derives a panoptic PNG's name from the image's; our data set reads it from the file.
    report = validate(root, ignore=["CP004"])
    errors = list(report.errors)
    if not errors:
        others = len(report.findings)
        rest = f", {others} other finding{'s'[: others != 1]} (seg2knet validate {root})" if others else ""
        say(f"validated: no errors{rest}")
        return
    shown = "\n    ".join(text.line(finding) for finding in errors[:10])
    more = f"\n    and {len(errors) - 10} more" if len(errors) > 10 else ""
    raise DataError(
        f"the data have {len(errors)} error{'s' if len(errors) != 1 else ''} that would stop training",
        file=root,
        found=f"\n    {shown}{more}",
        hint=f"seg2knet validate {root} shows all, --fix repairs what can be; --no-validate trains in spite of it",
    )


def start_from(options: TrainOptions, task: str, say: Say, device: str = "cuda") -> tuple[TrainOptions, Optional[str]]:
    """What the run starts from: a checkpoint as ``load_from``, a file with the backbone's weights, or nothing.

    By default the first of these that is published.

    Raises UsageError: no such weights are published. TransferError: they cannot be downloaded; DataError: the file of
    weights cannot be read or holds another backbone.
    """
    backbone = find_backbone(options.backbone or default_backbone(device, task))
    source = backbone.semantic_weights if task == "semantic" else backbone.weights
    wanted = options.pretrained
    if options.load_from is not None or wanted == "none":
        return options, None
    if options.backbone_weights is None and wanted in (None, "coco"):
        spec = models.trained(task, backbone.name, options.head, options.model)
        if spec is not None and spec.checkpoint is not None:
            say(f"K-Net trained before: {spec.name}, {spec.figures[-1] if spec.figures else 'no figure published'}")
            others = "or start from the backbone's weights: --pretrained imagenet; or from nothing: --pretrained none"
            file = weights.published(spec.checkpoint, f"or --load-from PATH of that file; {others}")
            return replace(options, load_from=str(file)), None
        if wanted == "coco":
            known = ", ".join(name for name in BACKBONES if models.trained(task, name) is not None)
            hint = f"--pretrained imagenet; or --backbone with one of: {known}"
            raise UsageError(f"no K-Net with --backbone {backbone.name} is published for {task}", hint=hint)
    if backbone.hub:
        from seg2knet.trainer.openmmlab import timm_backbone

        return options, str(options.backbone_weights or timm_backbone.HUB)
    if source is None and wanted is None and options.backbone_weights is None:
        return options, None
    if source is None:
        raise UsageError(f"no weights are published for --backbone {backbone.name}", hint="--pretrained none")
    from seg2knet.trainer.openmmlab import pretrained

    return options, str(pretrained.backbone(source, options.backbone_weights))


def _check_machine(place: launch.Place, options: TrainOptions, task: Optional[str], say: Say) -> None:
    report = environment.check(task, device=place.device, work_dir=options.work_dir or Path())
    report.raise_for_errors()
    for line in report.warnings:
        say(f"{line.name}: {line.problem}" + (f"; to fix it: {line.command}" if line.command else ""))


def _result(config_file: Path, work_dir: Path) -> TrainResult:
    if not (work_dir / SUMMARY).is_file():
        raise EnvironmentProblem("the run ended without a summary", file=work_dir, hint="see the log in the work dir")
    summary = json.loads((work_dir / SUMMARY).read_text())
    names = [name for name in ("best", "last", "samples", "page") if name in summary]
    paths: dict[str, Any] = {name: Path(summary.pop(name)) for name in names}
    return TrainResult(work_dir, config_file, **paths, **summary)


def computes_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 (AVX512-BF16; with others nothing was measured)."""
    import torch

    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
