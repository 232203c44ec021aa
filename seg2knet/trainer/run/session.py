"""A whole training run: read the data, check data and machine, write the config, start the processes, sum up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.folder import DataFolder, read_folder
from seg2knet.errors import DataError, EnvironmentProblem, UsageError
from seg2knet.trainer.config import build as configs
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.predict.inference import local_file
from seg2knet.trainer.run import launch, reruns, work_dirs

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        work_dir: where everything is.
        config: the config file.
        best: the best checkpoint, ``None`` where nothing was evaluated.
        last: the last one, from which a run goes on.
        epochs: epochs done.
        interrupted: it was asked to stop before its end.
        figures: of the best epoch: ``AP``, ``AP50``...
        classes: figures by class.
        test: figures of the best checkpoint on the test split, where there is one beside val.
        samples: picture of predictions beside truth.
    """

    work_dir: Path
    config: Path
    best: Optional[Path] = None
    last: Optional[Path] = None
    epochs: int = 0
    interrupted: bool = False
    figures: dict[str, float] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    samples: Optional[Path] = None


def run(options: TrainOptions, say: Say) -> TrainResult:
    """Train as asked.

    Args:
        options: what was asked for.
        say: takes lines for the user.

    Raises:
        Seg2KNetError: the options, the data or the machine do not allow it, or a process failed.
    """
    options = _with_local_checkpoint(with_model(replace(options.check())))  # a copy: the caller's stays as it is
    if options.launcher != "torchrun":
        launch.join(options.launcher)
    if not launch.is_first(options):
        options.validate, say = False, _nothing
    place = launch.find_place(options)
    if options.resume or options.config is not None:
        _check_machine(place, options, options.task, say)
    if options.resume:
        config_file, work_dir, unread = reruns.resumed(options)
        say(f"going on with {work_dir / 'last.pth'}, by {config_file}")
        if unread:
            say(f"not compared with that config: {', '.join(unread)}")
    elif options.config is not None:
        config_file, work_dir = reruns.given(options)
    else:
        config_file, work_dir = _new_config(options, place, say)
    if options.dry_run:
        say(f"config: {config_file} (nothing was trained: --dry-run)")
        return TrainResult(work_dir, config_file)
    if place.note:
        say(place.note)
    launch.start(config_file, work_dir, options, place, options.resume)
    return _result(config_file, work_dir) if launch.is_first(options) else TrainResult(work_dir, config_file)


def _nothing(line: str) -> None:
    """Says nothing: the first process speaks for all."""


def _with_local_checkpoint(options: TrainOptions) -> TrainOptions:
    """``--load-from`` by URL is fetched before anything else, and known by its path from then on.

    Raises:
        DataError: no such file. TransferError: it cannot be downloaded.
    """
    if options.load_from is None:
        return options
    from seg2knet.download import weights

    return replace(options, load_from=str(weights.checkpoint(options.load_from)))


def with_model(options: TrainOptions) -> TrainOptions:
    """``--model NAME`` as the options it stands for.

    Raises:
        UsageError: no such model, or other options contradict it.
    """
    if options.model is None:
        return options
    from seg2knet.trainer.config import models

    spec = models.get(options.model)
    spec.require()
    for name, asked, meant in (
        ("backbone", options.backbone, spec.backbone),
        ("task", options.task, spec.task),
    ):
        if asked is not None and asked != meant:
            raise UsageError(f"--model {options.model} and --{name} {asked} contradict one another", expected=meant)
    schedule = options.schedule
    if schedule is None and options.epochs is None and spec.schedule in ("1x", "3x"):
        schedule = spec.schedule
    size = options.img_size or (str(spec.crop[0]) if spec.crop else None)
    head = options.head or spec.head
    return replace(options, backbone=spec.backbone, task=spec.task, schedule=schedule, head=head, img_size=size)


# -- the config --------------------------------------------------------------------------------------------------------


def _new_config(options: TrainOptions, place: launch.Place, say: Say) -> tuple[Path, Path]:
    data = read_folder(options.data, options.task)
    _describe(data, say)
    if options.validate:
        check_data(data.root, say)
    _check_machine(place, options, data.task, say)
    _check_logger(options, say)
    work_dir = work_dirs.choose(options, data)
    if options.load_from is not None:
        options.load_from = str(local_file(options.load_from))
    weights = _weights(options, data.task)
    workers = _workers(options, place)
    cpu = place.device == "cpu"
    made = configs.build(options, data, place.processes, weights, work_dir, workers, cpu, computes_in_bfloat16())
    for note in made.notes:
        say(note)
    work_dir.mkdir(parents=True, exist_ok=True)
    config_file = work_dir / "config.py"
    if launch.is_first(options):
        config_file.write_text(configs.text(made), encoding="utf-8")
    say(f"config: {config_file}")
    return config_file, work_dir


def _describe(data: DataFolder, say: Say) -> None:
    counts = ", ".join(f"{split.count} {name}" for name, split in data.splits.items())
    say(f"{data.root}: {data.task} segmentation, {_count(len(data.classes), 'class', 'classes')}, images: {counts}")
    if data.also:
        say(f"  (--task {data.also} trains on the same folder's instances)")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def check_data(root: Path, say: Say) -> None:
    """Run the validator; its errors end the run.

    Raises:
        DataError: the validator found errors; they are named.
    """
    from seg2knet.validators import validate
    from seg2knet.validators.reports import text

    # CP004: mmdet derives a panoptic PNG's name from the picture's; our data set reads it from the file.
    report = validate(root, ignore=["CP004"])
    errors = list(report.errors)
    if not errors:
        others = len(report.findings)
        say(f"validated: no errors{f', {others} other findings (seg2knet validate {root})' if others else ''}")
        return
    shown = "\n    ".join(text.line(finding) for finding in errors[:10])
    more = f"\n    and {len(errors) - 10} more" if len(errors) > 10 else ""
    raise DataError(
        f"the data have {len(errors)} error{'s' if len(errors) != 1 else ''} that training would trip over",
        file=root,
        found=f"\n    {shown}{more}",
        hint=f"seg2knet validate {root} shows all, --fix mends what can be; --no-validate trains in spite of it",
    )


def _weights(options: TrainOptions, task: str) -> Optional[str]:
    """The file with the backbone's weights, fetched where it must be; ``None`` where there shall be none."""
    if not options.pretrained or options.load_from is not None:
        return None
    from seg2knet.trainer.openmmlab import pretrained

    found = pretrained.backbone(options.backbone or "r50", options.backbone_weights, deep_stem=task == "semantic")
    return str(found) if found is not None else None


def _workers(options: TrainOptions, place: launch.Place) -> int:
    if options.workers is not None:
        return options.workers
    share = launch.threads_each(launch.sharing(options.launcher, place.local))
    if place.device == "cpu":
        return 1 if share > 1 else 0  # the cores are the model's; one process keeps pictures coming
    return max(1, min(8, share))


def computes_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 (AVX512-BF16; with others nothing was measured)."""
    import torch

    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


# -- machine and end -------------------------------------------------------------------------------------------------


def _check_machine(place: launch.Place, options: TrainOptions, task: Optional[str], say: Say) -> None:
    """
    Raises:
        EnvironmentProblem: something that training needs is missing.
    """
    from seg2knet.doctor import environment

    report = environment.check(task, device=place.device, work_dir=options.work_dir or Path())
    report.raise_for_errors()
    for line in report.warnings:
        say(f"{line.name}: {line.problem}" + (f"; mend it: {line.command}" if line.command else ""))


def _check_logger(options: TrainOptions, say: Say) -> None:
    """
    Raises:
        EnvironmentProblem: the logger asked for is not installed.
    """
    from importlib.util import find_spec

    if options.logger == "none" or find_spec(options.logger) is not None:
        return
    hint = f"pip install {options.logger}"
    if options.logger != "tensorboard":
        raise EnvironmentProblem(f"--logger {options.logger} is not installed", hint=hint)
    options.logger = "none"
    say(f"TensorBoard is not installed, so nothing is written for it ({hint})")


def _result(config_file: Path, work_dir: Path) -> TrainResult:
    from seg2knet.trainer.run.worker import read_summary

    found = read_summary(work_dir)
    if found is None:
        raise EnvironmentProblem("the run ended without a summary", file=work_dir, hint="see the log in the work dir")
    return TrainResult(
        work_dir=work_dir,
        config=config_file,
        best=Path(found["best"]) if found["best"] else None,
        last=Path(found["last"]),
        epochs=found["epochs"],
        interrupted=found["interrupted"],
        figures=found.get("figures", {}),
        classes=found.get("classes", []),
        test=found.get("test", {}),
        samples=Path(found["samples"]) if found.get("samples") else None,
    )


def ask_again(options: TrainOptions, result: TrainResult) -> list[str]:
    """The command that goes on with an interrupted run."""
    command = ["seg2knet", "train", "--resume", "--work-dir", str(result.work_dir)]
    if options.gpus is not None:
        command += ["--gpus", str(options.gpus)]
    if options.device is not None:
        command += ["--device", options.device]
    if options.workers is not None:
        command += ["--workers", str(options.workers)]
    return command
