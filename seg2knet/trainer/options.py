"""What a user may ask of a training run: one record, filled by the command line or by :func:`seg2knet.train`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.text import whole_number
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import SCHEDULES

TASKS = ("instance", "panoptic", "semantic")
BACKBONES = ("r18", "r18-half", "r50", "r101", "r101-dcn", "swin-t", "swin-l")
LOGGERS = ("tensorboard", "wandb", "mlflow", "none")
LAUNCHERS = ("torchrun", "slurm", "none")


@dataclass
class TrainOptions:
    """Options of a run. ``None`` means: decided from the data and the machine, and printed.

    Attributes:
        data: folder of the data set; by default ``data/coco`` or ``data/ade``.
        task: one of ``TASKS``; by default what the folder holds.
        model: a name of ``seg2knet models``; sets backbone, schedule and task.
        head: semantic: whose prediction the kernels refine: ``fcn``, ``pspnet``, ``deeplabv3`` or ``upernet``.
        epochs, schedule: how long; ``schedule`` is a key of ``SCHEDULES``.
        batch_size: images a step over all processes.
        lr: learning rate; by default 1e-4 for 16 images a step, in proportion.
        img_size: ``640`` (longest side) or ``1333x800`` (longest, shortest side at most).
        backbone: one of ``BACKBONES``.
        pretrained: start from a backbone trained on ImageNet.
        backbone_weights: a file with the backbone's weights.
        load_from: a checkpoint to start from, by path or URL.
        config: a config file, instead of all that would be decided here.
        resume: go on with the run in the work dir.
        channels_last: images as (H, W, C) in memory; by default on the CPU, where it is faster.
        amp: mixed precision: bfloat16 where the device has it, else float16; by default on processors that compute
            in bfloat16, where it is faster.
        gpus: processes, one a GPU; 0 trains on the CPU.
        device: ``cuda`` or ``cpu``; ``cpu`` with ``gpus=2`` trains in two processes.
        cfg_options: ``key.in.config=value``, applied last.
        early_stop: epochs without a better figure after which a run ends.
        balance: class-balanced sampling: classes on less than this share of the images are shown more often.
        accumulate: steps whose gradients are summed up before the weights change.
    """

    data: Optional[Path] = None
    task: Optional[str] = None
    model: Optional[str] = None
    head: Optional[str] = None
    epochs: Optional[int] = None
    schedule: Optional[str] = None
    batch_size: Optional[int] = None
    lr: Optional[float] = None
    img_size: Optional[str] = None
    backbone: Optional[str] = None
    pretrained: bool = True
    backbone_weights: Optional[Path] = None
    load_from: Optional[str] = None
    config: Optional[Path] = None
    work_dir: Optional[Path] = None
    resume: bool = False
    seed: int = 0
    amp: Optional[bool] = None
    compile: bool = False
    channels_last: Optional[bool] = None
    workers: Optional[int] = None
    gpus: Optional[int] = None
    device: Optional[str] = None
    nodes: int = 1
    node_rank: int = 0
    rdzv: Optional[str] = None
    launcher: str = "torchrun"
    max_restarts: int = 0
    cfg_options: dict[str, Any] = field(default_factory=dict)
    early_stop: int = 0
    ema: bool = False
    accumulate: int = 1
    balance: float = 0.0
    multi_scale: bool = False
    logger: str = "tensorboard"
    validate: bool = True
    dry_run: bool = False

    def check(self) -> TrainOptions:
        """Say what does not fit.

        Raises:
            UsageError: a value out of range, or options that contradict one another.
        """
        for name, choices in (
            ("task", TASKS),
            ("schedule", tuple(SCHEDULES)),
            ("backbone", BACKBONES),
            ("logger", LOGGERS),
            ("launcher", LAUNCHERS),
            ("device", ("cuda", "cpu")),
        ):
            value = getattr(self, name)
            if value is not None and value not in choices:
                expected = ", ".join(choices)
                raise UsageError(f"--{name} {value} is not known", expected=expected, hint=_near(value, choices))
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("workers", 0),
            ("gpus", 0),
            ("nodes", 1),
            ("accumulate", 1),
            ("early_stop", 0),
            ("max_restarts", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {least}", found=str(value))
        if self.lr is not None and not self.lr > 0:
            raise UsageError("--lr must be above 0", found=str(self.lr))
        if not 0 <= self.balance < 1:
            raise UsageError("--balance must be at least 0 and below 1", found=str(self.balance))
        if self.epochs is not None and self.schedule is not None:
            raise UsageError("--epochs and --schedule both say how long to train", hint="give one of them")
        if self.backbone_weights is not None and not self.pretrained:
            raise UsageError("--backbone-weights and --no-pretrained contradict one another", hint="give one of them")
        if not 0 <= self.node_rank < self.nodes:
            raise UsageError(
                "--node-rank must be below --nodes", found=f"--node-rank {self.node_rank} --nodes {self.nodes}"
            )
        if self.nodes > 1 and self.launcher == "torchrun" and not self.rdzv:
            raise UsageError(
                "several machines need a place to meet",
                hint="give the first machine's address to all of them: --rdzv HOST:29500",
            )
        return self

    def shaping(self) -> list[str]:
        """Names of those options that were given and shape the config, for ``--resume`` and ``--config``."""
        running = {
            "data", "config", "work_dir", "resume", "gpus", "device", "nodes", "node_rank", "rdzv", "launcher",
            "max_restarts", "validate", "dry_run", "workers",
        }  # fmt: skip
        defaults = TrainOptions()
        return [
            each.name
            for each in fields(self)
            if each.name not in running and getattr(self, each.name) != getattr(defaults, each.name)
        ]


def image_scale(text: Optional[str]) -> tuple[int, int]:
    """``--img-size`` as (longest side, shortest side), both at most; pictures keep their proportions.

    Raises:
        UsageError: neither ``640`` nor ``1333x800``.
    """
    if text is None:
        return (1333, 800)
    parts = text.lower().replace(",", "x").split("x")
    sides = [side for side in map(whole_number, parts) if side is not None]
    if len(sides) < len(parts) or len(parts) > 2:
        raise UsageError("--img-size is a number or two", found=text, expected="640 or 1333x800")
    if min(sides) < 32:
        raise UsageError("--img-size must be at least 32 pixels", found=text)
    return max(sides), min(sides)


def _near(value: str, choices: tuple[str, ...]) -> Optional[str]:
    close = difflib.get_close_matches(value, choices, 1, 0.4)
    return f"did you mean {close[0]}?" if close else None
