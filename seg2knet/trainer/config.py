"""The config of a run: one whole file, made from data and options, that a person can read, change and run again.

Each section is a list of entries (name, value, comment); :func:`build` makes them, :func:`text` writes them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from seg2knet._version import __version__
from seg2knet.errors import UsageError
from seg2knet.trainer.backbones import Backbone, backbone
from seg2knet.trainer.folder import DataFolder, Split
from seg2knet.trainer.options import SCHEDULES, TrainOptions, image_scale
from seg2knet.trainer.pytext import Ref, render

MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]
"""ImageNet's, RGB, 0..255: what pretrained backbones were trained with."""

BASE_LR, BASE_BATCH = 1e-4, 16
SCRATCH_LR = 4e-4
ENOUGH_IMAGES = 48_000
"""Pictures that a run shows at least, by default, up to 100 epochs: 12 epochs of 400 pictures are too few steps."""


@dataclass(frozen=True)
class Entry:
    name: str
    value: Any
    comment: str = ""


@dataclass
class RunConfig:
    """A run's config, and what to tell the user of how it came about.

    Attributes:
        heading: comment lines at the top of the file.
        sections: title -> entries, in the file's order.
        notes: lines for the user: what was decided, and why.
    """

    heading: list[str]
    sections: dict[str, list[Entry]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """All entries by name."""
        return {entry.name: entry.value for entries in self.sections.values() for entry in entries}

    def get(self, name: str) -> Any:
        """The value of an entry."""
        return self.as_dict()[name]

    def override(self, options: Mapping[str, Any]) -> None:
        """Set values by path: ``model.num_kernels=50``, ``train_pipeline.2.prob=0``.

        Raises:
            UsageError: a path that leads nowhere.
        """
        content = self.as_dict()
        for path, value in options.items():
            _set(content, path, value)
        for title, entries in self.sections.items():
            self.sections[title] = [Entry(each.name, content.pop(each.name), each.comment) for each in entries]
        if content:
            self.sections["Given by --cfg-options"] = [Entry(name, value) for name, value in content.items()]


def text(config: RunConfig) -> str:
    """The config as a Python file."""
    lines = [f"# {line}".rstrip() for line in config.heading]
    for title, entries in config.sections.items():
        lines += ["", f"# --- {title} " + "-" * max(0, 90 - len(title))]
        for entry in entries:
            lines += [f"# {line}" for line in entry.comment.splitlines()]
            lines.append(f"{entry.name} = {render(entry.value, taken=len(entry.name) + 3)}")
    return "\n".join(lines) + "\n"


def build(
    options: TrainOptions, data: DataFolder, processes: int, weights: Optional[str], work_dir: Path, workers: int
) -> RunConfig:
    """Decide everything that the options leave open.

    Args:
        options: checked.
        data: the data set.
        processes: how many train together.
        weights: file with the backbone's pretrained weights, or ``None`` to start from nothing.
        work_dir: where the run leaves what it makes.
        workers: processes that load pictures, for each one that trains.

    Raises:
        UsageError: the options do not fit the data.
    """
    if "train" not in data.splits or not data.splits["train"].has_truth:
        raise UsageError("the data set has no train split", file=data.root, found=", ".join(data.splits) or "nothing")
    if data.splits["train"].count == 0:
        raise UsageError("the train split has no pictures", file=data.splits["train"].annotations)
    scratch = weights is None and options.load_from is None
    feature = backbone(options.backbone or "r50", weights, scratch)
    batch = options.batch_size or 2 * processes
    if batch % processes:
        raise UsageError(
            f"--batch-size {batch} cannot be shared out among {processes} processes",
            hint=f"--batch-size {processes * math.ceil(batch / processes)}",
        )
    epochs, why_epochs = _epochs(options, data.splits["train"].count)
    steps = math.ceil(data.splits["train"].count / batch)
    lr, why_lr = _learning_rate(options, batch * options.accumulate, scratch)
    evaluated = _evaluated(data)

    config = RunConfig(_heading(data, feature, work_dir))
    config.notes += [f"{feature.title}, {_origin(options, weights)}", why_epochs, why_lr]
    if evaluated is None:
        config.notes.append("no val split: nothing to evaluate on (convert with --split 0.8/0.2 to have one)")
    config.sections["What is trained"] = _what(data, feature, work_dir)
    config.sections["Data"] = _data(options, data, evaluated, batch, workers)
    config.sections["Model"] = [Entry("model", _model(data, feature), "the only place where class counts stand")]
    config.sections["Schedule"] = _schedule(options, epochs, steps, lr, scratch)
    config.sections["Evaluation"] = _evaluation(data, evaluated)
    config.sections["Run"] = _run(options, data, scratch)
    config.override(options.cfg_options)
    return config


def _heading(data: DataFolder, feature: Backbone, work_dir: Path) -> list[str]:
    counts = ", ".join(f"{split.count} {name} images" for name, split in data.splits.items())
    return [
        f"K-Net, {data.task} segmentation, {feature.title}, on {data.root}: {len(data.classes)} classes, {counts}.",
        f"Written by seg2knet {__version__} from the data and the options. It is the whole config: change what you",
        f"like, then run it again: seg2knet train --config {work_dir / 'config.py'}",
    ]


def _origin(options: TrainOptions, weights: Optional[str]) -> str:
    if options.load_from:
        return f"starts from {options.load_from}"
    if weights:
        return f"backbone pretrained on ImageNet ({Path(weights).name})"
    return "from scratch: nothing frozen, BatchNorm learns, the backbone at the full learning rate"


def _epochs(options: TrainOptions, images: int) -> tuple[int, str]:
    if options.epochs:
        return options.epochs, f"{options.epochs} epochs"
    if options.schedule:
        return SCHEDULES[options.schedule], f"{SCHEDULES[options.schedule]} epochs (schedule {options.schedule})"
    found = max(SCHEDULES["1x"], min(100, math.ceil(ENOUGH_IMAGES / images)))
    if found == SCHEDULES["1x"]:
        return found, f"{found} epochs (schedule 1x)"
    return found, f"{found} epochs (for {images} images; COCO's 12 would be too few steps; --schedule 1x asks for them)"


def _learning_rate(options: TrainOptions, batch: int, scratch: bool) -> tuple[float, str]:
    if options.lr:
        return options.lr, f"learning rate {options.lr:g} (given)"
    base = SCRATCH_LR if scratch else BASE_LR
    lr = base * batch / BASE_BATCH
    return lr, f"learning rate {lr:g} = {base:g} x {batch}/{BASE_BATCH} images a step"


def _evaluated(data: DataFolder) -> Optional[Split]:
    """The split that is evaluated on while training: val, else test."""
    for name in ("val", "test"):
        split = data.splits.get(name)
        if split is not None and split.has_truth and split.count:
            return split
    return None


def _what(data: DataFolder, feature: Backbone, work_dir: Path) -> list[Entry]:
    imports = [
        "seg2knet.trainer.datasets",
        "seg2knet.trainer.sampling",
        "seg2knet.trainer.metrics",
        "seg2knet.knet.detector",
        *feature.imports,
    ]
    entries = [
        Entry("task", data.task),
        Entry("classes", data.classes.names, "as the data name them; their places are the labels"),
    ]
    if data.task == "panoptic":
        entries.append(Entry("thing_classes", data.classes.things, "things come first"))
        entries.append(Entry("stuff_classes", data.classes.stuff))
    return [
        *entries,
        Entry("palette", [data.classes.color(index) for index in range(len(data.classes))]),
        Entry("data_root", str(data.root.resolve())),
        Entry("work_dir", str(work_dir)),
        Entry("default_scope", "mmdet"),
        Entry("custom_imports", {"imports": imports, "allow_failed_imports": False}),
    ]


def meta(data: DataFolder) -> dict[str, Any]:
    """What a data set says of itself (mmengine's ``metainfo``)."""
    found: dict[str, Any] = {"classes": Ref("classes"), "palette": Ref("palette")}
    if data.task == "panoptic":
        found["thing_classes"], found["stuff_classes"] = Ref("thing_classes"), Ref("stuff_classes")
    return found


def _data(options: TrainOptions, data: DataFolder, evaluated: Optional[Split], batch: int, workers: int) -> list[Entry]:
    scale = image_scale(options.img_size)
    train = data.splits["train"]
    sampler = {"type": "EpochSampler", "seed": options.seed, "balance": options.balance}
    entries = [
        Entry("metainfo", meta(data)),
        Entry("train_pipeline", train_pipeline(data.task, scale, _sizes(options, scale))),
        Entry("test_pipeline", test_pipeline(data.task, scale)),
        Entry("total_batch_size", batch, "images a step, over all processes"),
        Entry(
            "train_dataloader",
            {
                "batch_size": Ref("total_batch_size"),
                "num_workers": workers,
                "persistent_workers": workers > 0,
                "sampler": sampler,
                "dataset": dataset(data, train, "train", options.seed),
            },
            "batch_size is shared out among the processes when they start",
        ),
    ]
    if evaluated is not None:
        loader = loader_for(data, evaluated, workers)
        entries.append(Entry("val_dataloader", loader, f"the {evaluated.name} split"))
        last = data.splits.get("test")
        if last is evaluated or last is None or not last.has_truth or not last.count:
            entries.append(Entry("test_dataloader", Ref("val_dataloader")))
        else:
            after = loader_for(data, last, workers)
            entries.append(Entry("test_dataloader", after, "judged once, when training is over"))
    return entries


def dataset(data: DataFolder, split: Split, use: str, seed: int = 0) -> dict[str, Any]:
    """A split as a data set of mmdet's or mmseg's registry; ``use`` is ``train`` or ``test``."""
    prefix: dict[str, str] = {"img": str(split.images.resolve())}
    found: dict[str, Any] = {
        "type": {"instance": "InstanceData", "panoptic": "PanopticData", "semantic": "SemanticData"}[data.task]
    }
    if data.task == "semantic":
        prefix = {"img_path": str(split.images.resolve()), "seg_map_path": str(split.annotations.resolve())}
    else:
        found["ann_file"] = str(split.annotations.resolve())
    if split.pngs is not None:
        prefix["seg"] = str(split.pngs.resolve())
    found["data_prefix"] = prefix
    found["metainfo"] = Ref("metainfo")
    found["pipeline"] = Ref("train_pipeline" if use == "train" else "test_pipeline")
    found["test_mode"] = use != "train"
    if use == "train":
        found["seed"] = seed
    return found


def loader_for(data: DataFolder, split: Split, workers: int) -> dict[str, Any]:
    """A split's loader for evaluation: one picture at a time, in order."""
    return {
        "batch_size": 1,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "drop_last": False,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": dataset(data, split, "test"),
    }


def _sizes(options: TrainOptions, scale: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes that are drawn from for each picture: one, or the short side from 0.8 to 1 (640..800 of 800)."""
    if not options.multi_scale and options.schedule != "3x":
        return [scale]
    long, short = scale
    shorts = sorted({round(short * part / 50) for part in range(40, 51, 2)})
    return [(long if long > short else size, size) for size in shorts]


def train_pipeline(task: str, scale: tuple[int, int], sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """What is done to a picture before it is learned from."""
    load: dict[str, Any] = {"type": "LoadPanoptic"}
    if task == "instance":
        load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True, "poly2mask": True}
    resize: dict[str, Any] = {"type": "Resize", "scale": scale, "keep_ratio": True}
    if len(sizes) > 1:
        resize = {"type": "RandomChoiceResize", "scales": sizes, "keep_ratio": True}
    return [
        {"type": "LoadImageFromFile"},
        load,
        resize,
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PackDetInputs"},
    ]


def test_pipeline(task: str, scale: tuple[int, int]) -> list[dict[str, Any]]:
    """What is done to a picture before it is judged."""
    keys: tuple[str, ...] = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    if task == "panoptic":
        keys += ("seg_map_path", "segments_info")
    return [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": scale, "keep_ratio": True},
        {"type": "PackDetInputs", "meta_keys": keys},
    ]


def _model(data: DataFolder, feature: Backbone) -> dict[str, Any]:
    panoptic = data.task == "panoptic"
    return {
        "type": "KNet",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": MEAN,
            "std": STD,
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
            "pad_mask": False,
            "pad_seg": panoptic,
        },
        "backbone": feature.config,
        "neck": {"type": "FPN", "in_channels": list(feature.channels), "out_channels": 256, "num_outs": 4},
        "num_things": len(data.classes.things),
        "num_stuff": len(data.classes.stuff) if panoptic else 0,
        "num_kernels": 100,
        "num_stages": 3,
        "channels": 256,
        "feedforward_channels": 2048,
        "num_heads": 8,
        "test_cfg": {"max_per_img": 100, "mask_thr": 0.5, "instance_score_thr": 0.3, "overlap_thr": 0.6},
    }


def _schedule(options: TrainOptions, epochs: int, steps: int, lr: float, scratch: bool) -> list[Entry]:
    total = epochs * steps
    warmup = max(2, min(1000, total // 10))
    milestones = sorted({max(1, round(epochs * 8 / 12)), max(1, round(epochs * 11 / 12))} - {epochs})
    if options.schedule == "3x" or epochs == SCHEDULES["3x"]:
        milestones = [round(epochs * 9 / 12), round(epochs * 11 / 12)]
    optimizer: dict[str, Any] = {
        "type": "AmpOptimWrapper" if options.amp else "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": lr, "weight_decay": 0.05},
        "clip_grad": {"max_norm": 1.0, "norm_type": 2},
    }
    if not scratch:
        optimizer["paramwise_cfg"] = {"custom_keys": {"backbone": {"lr_mult": 0.25}}}
    if options.accumulate > 1:
        optimizer["accumulative_counts"] = options.accumulate
    if options.amp:
        optimizer["dtype"] = "auto"
    return [
        Entry("max_epochs", epochs),
        Entry("train_cfg", {"type": "ResumableLoop", "max_epochs": Ref("max_epochs"), "val_interval": 1}),
        Entry("optim_wrapper", optimizer),
        Entry(
            "param_scheduler",
            [
                {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": warmup},
                {"type": "MultiStepLR", "by_epoch": True, "milestones": milestones, "gamma": 0.1},
            ],
            f"warm-up over {warmup} of {total} steps, then a tenth after the epochs named",
        ),
    ]


def _evaluation(data: DataFolder, evaluated: Optional[Split]) -> list[Entry]:
    if evaluated is None:
        return []
    last = data.splits.get("test")
    return [
        Entry("val_cfg", {}),
        Entry("val_evaluator", evaluator_for(data, evaluated)),
        Entry("test_cfg", {}),
        Entry("test_evaluator", evaluator_for(data, last if last and last.has_truth and last.count else evaluated)),
    ]


def evaluator_for(data: DataFolder, split: Split) -> dict[str, Any]:
    """The metric for a split."""
    if data.task == "instance":
        if split.has_truth:
            return {"type": "InstanceAP", "ann_file": str(split.annotations.resolve())}
        return {"type": "InstanceAP", "categories_of": str(split.annotations.resolve())}
    return {"type": "PanopticPQ" if data.task == "panoptic" else "SemanticIoU"}


def _run(options: TrainOptions, data: DataFolder, scratch: bool) -> list[Entry]:
    backends: list[dict[str, Any]] = [{"type": "LocalVisBackend"}]
    if options.logger == "tensorboard":
        backends.append({"type": "TensorboardVisBackend"})
    elif options.logger == "wandb":
        backends.append({"type": "WandbVisBackend", "init_kwargs": {"project": "seg2knet", "name": data.root.name}})
    elif options.logger == "mlflow":
        backends.append({"type": "MLflowVisBackend", "exp_name": "seg2knet", "run_name": data.root.name})
    hooks: list[dict[str, Any]] = []
    if options.ema:
        hooks.append({"type": "EMAHook", "momentum": 0.0002, "ema_type": "ExpMomentumEMA"})
    return [
        Entry("randomness", {"seed": options.seed}),
        Entry("load_from", options.load_from),
        Entry("early_stop", options.early_stop, "epochs without a better figure after which the run ends; 0: never"),
        Entry("compile", options.compile),
        Entry("channels_last", options.channels_last),
        Entry("sync_bn", scratch, "on several GPUs: BatchNorm's statistics are those of the whole batch"),
        Entry("find_unused_parameters", False),
        Entry("custom_hooks", hooks),
        Entry("visualizer", {"type": "Visualizer", "vis_backends": backends}),
        Entry("log_processor", {"by_epoch": True, "window_size": 50}),
    ]


def _set(content: Any, path: str, value: Any) -> None:
    keys = path.split(".")
    for depth, key in enumerate(keys[:-1]):
        content = _enter(content, key, ".".join(keys[: depth + 1]))
    last = keys[-1]
    if isinstance(content, list):
        content[_index(content, last, path)] = value
    elif isinstance(content, dict):
        content[last] = value
    else:
        found = f"{type(content).__name__}, which has no parts"
        raise UsageError("--cfg-options leads nowhere", place=path, found=found)


def _enter(content: Any, key: str, path: str) -> Any:
    if isinstance(content, list):
        return content[_index(content, key, path)]
    if isinstance(content, dict) and key in content:
        return content[key]
    expected = ", ".join(map(str, content)) if isinstance(content, dict) else "a value without parts"
    raise UsageError("--cfg-options leads nowhere", place=path, expected=expected)


def _index(content: list, key: str, path: str) -> int:
    if not key.lstrip("-").isdigit() or not -len(content) <= int(key) < len(content):
        raise UsageError("--cfg-options leads nowhere", place=path, expected=f"a number below {len(content)}")
    return int(key)
