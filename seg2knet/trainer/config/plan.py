"""What a run will do, decided from the options, the data and the machine, each decision with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import BASE_BATCH, SCHEDULES, learning_rate
from seg2knet.trainer.config.backbones import Backbone, backbone
from seg2knet.trainer.options import TrainOptions, image_scale

ENOUGH_IMAGES = 48_000
"""Pictures that a run shows at least, by default, up to 100 epochs: 12 epochs of 400 pictures are too few steps."""
NARROW = "r18-half"
CROP = 512


@dataclass
class Plan:
    """All decisions of a run.

    Attributes:
        options, data: what was asked for, and of what.
        processes: how many train together.
        work_dir: where the run leaves what it makes.
        workers: processes that load pictures, for each one that trains.
        cpu: there is no GPU.
        amp: mixed precision.
        weights: file with the backbone's pretrained weights.
        scratch: the run starts from nothing: neither a backbone's weights nor a checkpoint.
        narrow: the small model.
        feature: the backbone.
        batch: images a step over all processes.
        epochs, steps: epochs, and steps of each.
        lr: learning rate.
        scale: longest and shortest side that pictures are fitted into; semantic: the crop's sides.
        sizes: scales that are drawn from in training.
        judged: the split that is evaluated on while training.
        tested: the split that is judged once at the end.
        notes: lines for the user.
    """

    options: TrainOptions
    data: DataFolder
    processes: int
    work_dir: Path
    workers: int
    cpu: bool
    amp: bool
    weights: Optional[str]
    scratch: bool
    narrow: bool
    feature: Backbone
    batch: int
    epochs: int
    steps: int
    lr: float
    scale: tuple[int, int]
    sizes: list[tuple[int, int]]
    judged: Optional[Split]
    tested: Optional[Split]
    notes: list[str] = field(default_factory=list)

    @property
    def train(self) -> Split:
        """The split that is trained on."""
        return self.data.splits["train"]


def decide(
    options: TrainOptions,
    data: DataFolder,
    processes: int,
    weights: Optional[str],
    work_dir: Path,
    workers: int,
    cpu: bool,
    bfloat16: bool,
) -> Plan:
    """Decide everything that the options leave open; `bfloat16` says whether the processor computes in it.

    Raises:
        UsageError: the options do not fit the data.
    """
    train = _training_split(data)
    scratch = weights is None and options.load_from is None
    name = options.backbone or "r50"
    feature = backbone(name, weights, scratch)
    batch = options.batch_size or 2 * processes
    _check(options, data, name, batch, processes)
    epochs, why_epochs = _epochs(options, train.count)
    lr, why_lr = _learning_rate(options, data.task, name, batch * options.accumulate, scratch)
    judged = next((split for key in ("val", "test") if (split := _with_truth(data, key))), None)
    tested = _with_truth(data, "test")
    long, short = image_scale(options.img_size) if data.task != "semantic" or options.img_size else (CROP, CROP)
    # The last step of an epoch is left out where mmseg's pooling heads would see a single picture.
    steps = train.count // batch if data.task == "semantic" and train.count >= batch else math.ceil(train.count / batch)
    amp, why_amp = _precision(options, name, cpu, bfloat16)
    notes = [f"{feature.title}, {_origin(options, weights)}", why_epochs, why_lr, *why_amp]
    if judged is None:
        notes.append("no val split: nothing to evaluate on (convert with --split 0.8/0.2 to have one)")
    return Plan(
        options=options, data=data, processes=processes, work_dir=work_dir, workers=workers, cpu=cpu, amp=amp,
        weights=weights, scratch=scratch, narrow=name == NARROW, feature=feature, batch=batch, epochs=epochs,
        steps=steps, lr=lr, scale=(long, short), sizes=_sizes(options, long, short), judged=judged,
        tested=tested if tested is not judged else None, notes=notes,
    )  # fmt: skip


def _training_split(data: DataFolder) -> Split:
    train = data.splits.get("train")
    if train is None or not train.has_truth:
        raise UsageError("the data set has no train split", file=data.root, found=", ".join(data.splits) or "nothing")
    if train.count == 0:
        raise UsageError("the train split has no pictures", file=train.annotations)
    return train


def _check(options: TrainOptions, data: DataFolder, name: str, batch: int, processes: int) -> None:
    if batch % processes:
        raise UsageError(
            f"--batch-size {batch} cannot be shared out among {processes} processes",
            hint=f"--batch-size {processes * math.ceil(batch / processes)}",
        )
    if data.task != "semantic":
        if options.head is not None:
            raise UsageError("--head is for semantic segmentation", found=f"a data set for {data.task} segmentation")
        return
    from seg2knet.trainer.openmmlab import semantic

    if name not in semantic.BACKBONES:
        raise UsageError(
            f"--backbone {name} is not there for semantic segmentation", expected=", ".join(semantic.BACKBONES)
        )
    least = semantic.least_batch(options.head or "upernet") * processes
    if batch < least:
        raise UsageError(
            f"this head normalises over a batch: it takes at least {least // processes} images a process",
            found=f"--batch-size {batch}",
            hint=f"--batch-size {least}, or --head fcn",
        )
    if options.balance:
        raise UsageError("--balance goes by objects, which semantic segmentation does not have", hint="leave it away")


def _with_truth(data: DataFolder, name: str) -> Optional[Split]:
    split = data.splits.get(name)
    return split if split is not None and split.has_truth and split.count else None


def _origin(options: TrainOptions, weights: Optional[str]) -> str:
    if options.load_from:
        return f"starts from {options.load_from}"
    if weights:
        return f"backbone pretrained on ImageNet ({Path(weights).name})"
    return "from scratch: nothing is frozen, BatchNorm learns, the backbone learns as fast as the rest"


def _epochs(options: TrainOptions, images: int) -> tuple[int, str]:
    if options.epochs:
        return options.epochs, f"{options.epochs} epoch{'s' if options.epochs > 1 else ''}"
    if options.schedule:
        return SCHEDULES[options.schedule], f"{SCHEDULES[options.schedule]} epochs (schedule {options.schedule})"
    found = max(SCHEDULES["1x"], min(100, math.ceil(ENOUGH_IMAGES / images)))
    if found == SCHEDULES["1x"]:
        return found, f"{found} epochs (schedule 1x)"
    return found, f"{found} epochs (for {images} images; COCO's 12 would be too few steps; --schedule 1x asks for them)"


def _learning_rate(options: TrainOptions, task: str, name: str, batch: int, scratch: bool) -> tuple[float, str]:
    if options.lr:
        return options.lr, f"learning rate {options.lr:g} (given)"
    semantic_swin = task == "semantic" and name.startswith("swin")
    rate = learning_rate(scratch=scratch, narrow=name == NARROW, semantic_swin=semantic_swin)
    lr, formula = float(f"{rate.at(batch):.6g}"), f"{rate.base:g} x {batch}/{BASE_BATCH}"
    if lr == rate.limit:
        return lr, f"learning rate {lr:g}: the limit from scratch ({formula} images a step, at most {rate.limit:g})"
    return lr, f"learning rate {lr:g} = {formula} images a step"


def _precision(options: TrainOptions, name: str, cpu: bool, bfloat16: bool) -> tuple[bool, list[str]]:
    """Whether precision is mixed: as asked, else on processors that compute in bfloat16, where it was measured to win
    (docs/speed.md): not with the narrow model, and on a GPU nothing was measured."""
    if options.amp is not None:
        return options.amp, []
    if not cpu or not bfloat16 or name == NARROW:
        return False, []
    return True, ["mixed precision: this processor computes in bfloat16, which is faster (--no-amp: float32)"]


def _sizes(options: TrainOptions, long: int, short: int) -> list[tuple[int, int]]:
    """One size, or the short side from 0.8 to 1 of what was asked for (640..800 of 800: knet.md's ms-3x)."""
    if not options.multi_scale and options.schedule != "3x":
        return [(long, short)]
    shorts = sorted({round(short * part / 50) for part in range(40, 51, 2)})
    return [(long if long > short else size, size) for size in shorts]
