"""What a run will do, decided from the options, the data and the machine, each decision with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.dataset.sides import Sides, find_sides
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import BASE_BATCH, SCHEDULES, SEMANTIC_STEPS, learning_rate
from seg2knet.trainer.config import held_out
from seg2knet.trainer.config.backbones import TIMM, Backbone, default_backbone, find_backbone
from seg2knet.trainer.openmmlab import semantic
from seg2knet.trainer.options import TrainOptions, image_scale

ENOUGH_IMAGES = 48_000
"""Images that a run shows at least, by default, up to 100 epochs: 12 epochs of 400 images are too few steps."""
CROP = 512
LIGHT_IMAGES = 22_000
"""Images that a light model is shown by default: 55 epochs of 400."""
LIGHT_WIDTH, LIGHT_SIDE, LIGHT_BATCH = 128, 288, 4
"""Channels, image side and batch of a light model."""
GIB_AN_IMAGE = 0.9
"""What ResNet-50 takes in training for an image of 800x1344: 1.9 GiB for 2, 14.3 for 16, counted with fake tensors."""


@dataclass(frozen=True)
class Machine:
    """What a run trains on."""

    device: str = "cpu"  # or cuda
    processes: int = 1
    workers: int = 0  # processes that load images, for each one that trains
    bfloat16: bool = False  # the processor has instructions for it
    memory: float = 0.0  # of a GPU, GiB


@dataclass
class RunPlan:
    """All decisions of a run."""

    options: TrainOptions
    data: DataFolder  # as it is trained on: a part of train may be set apart as val
    machine: Machine
    work_dir: Path
    weights: Optional[str]  # file with the backbone's pretrained weights
    backbone: Backbone
    judge: Optional[str]  # the split that the best epoch is chosen by
    files: dict[Path, bytes]  # to be written with the config
    batch: int  # images per step over all processes
    steps: int  # of an epoch
    scale: tuple[int, int]  # longest and shortest side that images are fitted into; semantic: the crop's sides
    light: bool  # a small model on small images, for training without a GPU
    augment: str  # none, light or strong
    epochs: int = 0
    lr: float = 0.0
    amp: bool = False  # mixed precision
    sides: Sides = field(default_factory=Sides)  # classes that are swapped in a mirror image
    notes: list[str] = field(default_factory=list)  # lines for the user: what was decided, and why

    @property
    def train(self) -> Split:
        """The split that is trained on."""
        return self.data.splits["train"]

    @property
    def judged(self) -> Optional[Split]:
        """The split that is evaluated on while training."""
        return self.data.splits[self.judge] if self.judge is not None else None

    @property
    def tested(self) -> Optional[Split]:
        """The split that is evaluated once at the end, where there is one beside :attr:`judged`."""
        return held_out.with_truth(self.data, "test") if self.judge not in (None, "test") else None

    @property
    def scratch(self) -> bool:
        """The run starts from nothing: neither a backbone's weights nor a checkpoint."""
        return self.weights is None and self.options.load_from is None

    @property
    def test_scale(self) -> tuple[int, int]:
        """Longest and shortest side in evaluation: light models see images enlarged by up to 1.5 in training; semantic:
        whole images, the shortest side as in training."""
        long, short = self.scale
        if self.data.task == "semantic":
            return 4 * long, short
        return (round(long * 1.5 / 32) * 32, round(short * 1.5 / 32) * 32) if self.light else self.scale

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Scales that are drawn from in training: one, or short sides from 0.8 to 1 (640..800 of 800: ms-3x)."""
        long, short = self.scale
        if not self.options.multi_scale and self.options.schedule != "3x":
            return [self.scale]
        shorts = sorted({round(short * part / 50) for part in range(40, 51, 2)})
        return [(long if long > short else size, size) for size in shorts]


def decide(
    options: TrainOptions, data: DataFolder, machine: Machine, weights: Optional[str], work_dir: Path
) -> RunPlan:
    """Decide everything that the options leave open. Raises UsageError: the options do not fit the data."""
    train, semantic = data.splits.get("train"), data.task == "semantic"
    if train is None or not train.has_truth:
        raise UsageError("the data set has no train split", file=data.root, found=", ".join(data.splits) or "nothing")
    if train.count == 0:
        raise UsageError("the train split has no images", file=train.annotations)
    backbone = find_backbone(options.backbone or default_backbone(machine.device, data.task))
    light = machine.device == "cpu" and not semantic and (options.backbone or TIMM).startswith(TIMM)
    if light:
        backbone = replace(backbone, width=LIGHT_WIDTH)
    side = LIGHT_SIDE if light else CROP
    scale = image_scale(options.img_size) if options.img_size or not (light or semantic) else (side, side)
    batch = options.batch_size or (LIGHT_BATCH if light else _batch(machine, backbone, scale)) * machine.processes
    _check(options, data, backbone, batch, machine.processes)
    whole = train.count
    data, judge, files = held_out.choose(data, options, work_dir)
    images = data.splits["train"].count
    # The last step of an epoch is left out where mmseg's pooling heads would see a single image.
    steps = images // batch if semantic and images >= batch else math.ceil(images / batch)
    plan = RunPlan(
        options, data, machine, work_dir, weights, backbone, judge, files, batch, steps, scale, light,
        augment=options.augment or ("light" if light or semantic else "none"),
    )  # fmt: skip
    if plan.augment == "strong" and data.task != "instance":
        raise UsageError(
            f"--augment strong pastes objects, which is for instance segmentation, not {data.task}", hint="light"
        )
    if judge is None:
        plan.notes.append(
            "no val split: nothing to evaluate on (convert with --split 0.8/0.2 to have one, or --val 0.1)"
        )
    elif files:
        plan.notes.append(
            f"{whole - images} of {whole} training images are set apart to choose the best epoch by, drawn by --seed "
            f"{options.seed} (--val test: choose it by the test split; --val none: train on all)"
        )
    elif judge != "val":
        plan.notes.append(
            f"the best epoch is chosen by the {judge} split: its figure there is too good (--val {judge})"
        )
    origin = "from scratch: nothing is frozen, BatchNorm learns, the backbone learns as fast as the rest"
    if options.load_from:
        origin = f"starts from {options.load_from}"
    elif weights:
        origin = f"backbone pretrained on ImageNet ({Path(weights).name})"
    plan.notes.append(f"{backbone.title}, {origin}")
    plan.epochs = _epochs(plan, whole)
    plan.lr = _learning_rate(plan)
    plan.amp = _mixed_precision(plan)
    plan.sides = _sides(plan)
    if light:
        plan.notes.append(
            f"light model for training without a GPU: {LIGHT_WIDTH} channels, images of {plan.scale[0]}, --augment "
            f"{plan.augment} (--backbone r50: the large model)"
        )
    return plan


def _batch(machine: Machine, backbone: Backbone, scale: tuple[int, int]) -> int:
    """Images per process and step: what fits into two thirds of a GPU's memory, at most 16 in all; on the CPU 2."""
    if not machine.memory:
        return 2
    needed = GIB_AN_IMAGE * scale[0] * scale[1] / (800 * 1344) * max(1.0, sum(backbone.channels) / 3840)
    return max(1, min(int(machine.memory * 2 / 3 / needed), BASE_BATCH // machine.processes))


def _check(options: TrainOptions, data: DataFolder, backbone: Backbone, batch: int, processes: int) -> None:
    if batch % processes:
        hint = f"--batch-size {processes * math.ceil(batch / processes)}"
        raise UsageError(f"--batch-size {batch} cannot be shared out among {processes} processes", hint=hint)
    if data.task != "semantic":
        if options.schedule in SEMANTIC_STEPS:
            raise UsageError(f"--schedule {options.schedule} is for semantic segmentation", expected="1x, 3x")
        if options.head is not None:
            raise UsageError("--head is for semantic segmentation", found=f"a data set for {data.task} segmentation")
        return
    if backbone.semantic is None:
        expected = ", ".join(semantic.SEMANTIC_BACKBONES)
        raise UsageError(f"--backbone {backbone.name} has no K-Net for semantic segmentation", expected=expected)
    least = semantic.least_batch(options.head or "upernet") * processes
    if batch < least:
        raise UsageError(
            f"this head normalises over a batch: it takes at least {least // processes} images a process",
            found=f"--batch-size {batch}", hint=f"--batch-size {least}, or --head fcn",
        )  # fmt: skip
    if options.balance:
        raise UsageError("--balance goes by objects, which semantic segmentation does not have")


def _epochs(plan: RunPlan, images: int) -> int:
    """As asked, by the schedule, else so that `images` are seen often enough: all of train, whatever is set apart."""
    options, reason = plan.options, ""
    epochs = options.epochs or SCHEDULES["1x"]
    if options.schedule in SEMANTIC_STEPS:
        epochs = math.ceil(SEMANTIC_STEPS[options.schedule] / plan.steps)
        reason = f" ({SEMANTIC_STEPS[options.schedule]:,} steps)"
    elif options.schedule:
        epochs, reason = SCHEDULES[options.schedule], f" (schedule {options.schedule})"
    elif not options.epochs:
        enough = LIGHT_IMAGES if plan.light else ENOUGH_IMAGES
        epochs = max(epochs, min(100, math.ceil(enough / images)))
        reason = " (schedule 1x)"
        if epochs > SCHEDULES["1x"]:
            reason = f" (for {images} images; COCO's 12 would be too few steps; --schedule 1x asks for them)"
    plan.notes.append(f"{epochs} epoch{'s' if epochs > 1 else ''}{reason}")
    return epochs


def _learning_rate(plan: RunPlan) -> float:
    if plan.options.lr:
        plan.notes.append(f"learning rate {plan.options.lr:g} (given)")
        return plan.options.lr
    batch = plan.batch * plan.options.accumulate
    semantic_swin = plan.data.task == "semantic" and plan.backbone.name.startswith("swin")
    rate = learning_rate(
        scratch=plan.scratch, narrow=plan.backbone.narrow, light=plan.light, semantic_swin=semantic_swin
    )
    lr = float(f"{rate.at(batch):.6g}")
    formula = f"{rate.base:g} x {'' if rate.power == 1 else 'root of '}{batch}/{BASE_BATCH}"
    note = f"learning rate {lr:g} = {formula} images a step"
    if lr == rate.limit:
        note = f"learning rate {lr:g}: the limit of this recipe ({formula} images a step, at most {rate.limit:g})"
    plan.notes.append(note)
    return lr


def _sides(plan: RunPlan) -> Sides:
    """The classes that are swapped where an image is flipped, and a note of what a flip does to sided classes."""
    if plan.options.flip == "none":
        return Sides()
    sides = find_sides(plan.data.classes.names, plan.options.mirror)
    pairs = ", ".join(f"{left} and {right}" for left, right in sides.pairs)
    if pairs and plan.options.flip == "plain":
        plan.notes.append(f"images are flipped, and labels that have a side are not swapped (--flip plain): {pairs}")
    elif pairs:
        plan.notes.append(f"labels that are swapped where an image is flipped (--flip plain: none): {pairs}")
    if sides.alone:
        alone = f"images are flipped, and no class is the other side of {', '.join(sides.alone)}"
        plan.notes.append(f"{alone} (--mirror A=B names one; --flip none does not flip)")
    return sides if plan.options.flip == "swap" else Sides()


def _mixed_precision(plan: RunPlan) -> bool:
    """As asked, else on processors that compute in bfloat16, where it was measured to win (docs/speed.md): not with a
    narrow model, and on a GPU nothing was measured."""
    if plan.options.amp is not None:
        return plan.options.amp
    if plan.machine.device != "cpu" or not plan.machine.bfloat16 or plan.backbone.narrow:
        return False
    plan.notes.append("mixed precision: this processor computes in bfloat16, which is faster (--no-amp: float32)")
    return True
