"""The config of a run on the classic stack: the authors' (or any of mmdet 2's, mmseg 0's) made to fit the data.

Everything here is plain Python on dicts: :func:`fit` takes the merged config that the user named and answers with the
one that is right for the data; :mod:`seg2knet.trainer.classic.text` writes down the difference.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.folder import DataFolder
from seg2knet.dataset.text import whole_number
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import SCHEDULES
from seg2knet.trainer.classic.counts import Counts, Signature, set_class_counts
from seg2knet.trainer.classic.pipelines import DATASET_TYPES, innermost, our_dataset, rescale, steps
from seg2knet.trainer.options import TrainOptions, image_scale

REFERENCE_BATCH = 16
"""Images a step that the learning rates of K-Net's, mmdet's and mmseg's configs are meant for (8 x 2 and 4 x 4)."""
RELEASE_LIMIT = 2
"""Images a GPU at most in instance training with the K-Net release: on three it fails (knet.md)."""
OUR_MODULES = {
    "instance": "seg2knet.trainer.classic.datasets",
    "panoptic": "seg2knet.trainer.classic.datasets",
    "semantic": "seg2knet.trainer.classic.semantic",
}
RECORD = "seg2knet"
"""The config's key under which a run says what it is: a config that has it is run as it stands."""


@dataclass
class Fitted:
    """A config that fits.

    Attributes:
        config: the whole config, as it must be after inheritance.
        comments: top-level key -> why it says what it says.
        notes: lines to print: what was decided.
    """

    config: dict[str, Any]
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def task_of(config: Mapping[str, Any], name: str) -> str:
    """The task that a merged config trains.

    Args:
        config: the merged config.
        name: its name, for the error.

    Raises:
        UsageError: it trains none of ours.
    """
    model = config.get("model") or {}
    train = innermost(config.get("data", {}).get("train") or {})
    pipeline = list(steps(train.get("pipeline", ())))
    kinds = " ".join(str(step.get("type", "")) for step in pipeline)
    if "decode_head" in model or "img_dir" in train:
        return "semantic"
    if "Panoptic" in kinds or "panoptic" in str(train.get("type", "")).lower():
        return "panoptic"
    collected = {key for step in pipeline for key in step.get("keys", ()) if isinstance(key, str)}
    if "gt_semantic_seg" in collected:
        raise UsageError(
            "this config trains with a semantic branch on COCO-stuff's maps, which the data do not have",
            file=name,
            hint="take its variant without the branch (htc_without_semantic_...), or a panoptic config",
        )
    if not pipeline or not ({"gt_masks"} & collected or any(step.get("with_mask") for step in pipeline)):
        raise UsageError(
            "this config does not train segmentation",
            file=name,
            found=f"a model of type {model.get('type')} whose pipeline loads no masks",
            expected="an instance, panoptic or semantic segmentation config",
        )
    return "instance"


def is_knet(config: Mapping[str, Any]) -> bool:
    """Whether the model comes from the K-Net release: by its modules, or by its name."""
    imports = (config.get("custom_imports") or {}).get("imports") or ()
    names = [imports] if isinstance(imports, str) else imports
    modules = any(str(name).split(".")[0] == "knet" for name in names)
    return modules or "knet" in str((config.get("model") or {}).get("type", "")).lower()


def fit(
    merged: Mapping[str, Any],
    data: DataFolder,
    options: TrainOptions,
    *,
    processes: int,
    work_dir: Path,
    knet: Optional[Path] = None,
    signature: Optional[Signature] = None,
) -> Fitted:
    """The config, right for the data, the options and the number of processes.

    Args:
        merged: the config that the user named, with all that it inherits.
        data: the data set, read for the config's task.
        options: what the user asked for.
        processes: how many processes train, one a GPU.
        work_dir: where the run writes.
        knet: the checkout of K-Net, if one was named.
        signature: see :func:`seg2knet.trainer.classic.counts.set_class_counts`.

    Raises:
        UsageError: the options do not fit this config.
    """
    fitted = Fitted(copy.deepcopy(dict(merged)))
    config = fitted.config
    _fit_model(fitted, merged, data, options, signature)
    per_gpu = _fit_batch(fitted, data, options, processes)
    _fit_data(fitted, data, options)
    _fit_rate(fitted, options, per_gpu * processes)
    steps_an_epoch = max(1, math.ceil(data.split("train").count / (per_gpu * processes)))
    _fit_schedule(fitted, options, steps_an_epoch)
    _fit_evaluation(fitted, data)
    _fit_runtime(fitted, options, work_dir)
    imports = config.get("custom_imports") or {}
    theirs = imports.get("imports") or []
    config["custom_imports"] = {
        **imports,
        "imports": [*([theirs] if isinstance(theirs, str) else theirs), OUR_MODULES[data.task]],
        "allow_failed_imports": False,
    }
    fitted.comments["custom_imports"] = "theirs, and the module that registers the dataset class"
    config[RECORD] = {
        "stack": "classic",
        "task": data.task,
        "classes": list(data.classes.names),
        "things": len(data.classes.things) if data.task == "panoptic" else len(data.classes),
        "data": str(data.root.resolve()),
        "knet": str(knet.resolve()) if knet else None,
        "validate": "val" in data.splits,
    }
    fitted.comments[RECORD] = "what this run is: seg2knet reads it back from the config and from checkpoints"
    return fitted


def _fit_model(
    fitted: Fitted,
    merged: Mapping[str, Any],
    data: DataFolder,
    options: TrainOptions,
    signature: Optional[Signature],
) -> None:
    stuff = len(data.classes.stuff) if data.task == "panoptic" else 0
    counts = Counts(data.task, len(data.classes) - stuff, stuff)
    model, change = set_class_counts(merged["model"], counts, signature)
    said = (
        f"{counts.things} thing classes, {counts.stuff} stuff" if data.task == "panoptic" else f"{counts.total} classes"
    )
    fitted.notes.append(f"{said}: set in {len(change.counts)} place{'s'[: len(change.counts) != 1]} of the model")
    if change.dropped:
        fitted.notes.append(f"class weights made for other classes are left out: {', '.join(change.dropped)}")
    fitted.comments["model"] = f"{said}, from {data.split('train').annotations}"
    _fit_backbone(model, options, fitted)
    fitted.config["model"] = model
    for key, value in (
        ("num_classes", counts.total),
        ("num_thing_classes", counts.things),
        ("num_things_classes", counts.things),
        ("num_stuff_classes", counts.stuff),
    ):
        if isinstance(fitted.config.get(key), int):
            fitted.config[key] = value


def _fit_backbone(model: dict[str, Any], options: TrainOptions, fitted: Fitted) -> None:
    backbone = model.get("backbone")
    if not isinstance(backbone, dict):
        return
    if options.backbone_weights is not None:
        if model.get("pretrained") is not None:
            model["pretrained"] = None
        backbone["init_cfg"] = {"type": "Pretrained", "checkpoint": str(Path(options.backbone_weights).resolve())}
    elif options.pretrained == "none":
        if "pretrained" in model:
            model["pretrained"] = None
        backbone["init_cfg"] = None
        # Frozen layers and frozen batch statistics are meant for pretrained weights; random ones must be learnt.
        if backbone.get("frozen_stages", -1) != -1:
            backbone["frozen_stages"] = -1
        if backbone.get("norm_eval"):
            backbone["norm_eval"] = False
        fitted.notes.append("the backbone starts from random weights: no stage is frozen and its norms are trained")


def _fit_batch(fitted: Fitted, data: DataFolder, options: TrainOptions, processes: int) -> int:
    """Images a GPU."""
    settings = fitted.config["data"]
    per_gpu = int(settings.get("samples_per_gpu", settings.get("imgs_per_gpu", 2)))
    knet = is_knet(fitted.config) and data.task == "instance"
    if options.batch_size is not None:
        if options.batch_size % processes:
            raise UsageError(
                f"--batch-size {options.batch_size} cannot be shared by {processes} GPUs",
                hint=f"give a multiple of {processes}",
            )
        per_gpu = options.batch_size // processes
    if knet and per_gpu > RELEASE_LIMIT:
        if options.batch_size is not None:
            most = RELEASE_LIMIT * processes
            raise UsageError(
                "the K-Net release trains instance segmentation on one or two images a GPU, and fails on three",
                found=f"--batch-size {options.batch_size} on {processes}: {per_gpu} each",
                expected=f"at most {most}",
                hint=f"give --batch-size {most}, or use the current stack, which takes any number: --stack mmengine",
            )
        fitted.notes.append(f"{per_gpu} images a GPU is more than the K-Net release takes: {RELEASE_LIMIT} are used")
        per_gpu = RELEASE_LIMIT
    settings.pop("imgs_per_gpu", None)
    settings["samples_per_gpu"] = per_gpu
    if options.workers is not None:
        settings["workers_per_gpu"] = options.workers
    return per_gpu


def _fit_data(fitted: Fitted, data: DataFolder, options: TrainOptions) -> None:
    settings = fitted.config["data"]
    train = data.split("train")
    evaluated = data.splits.get("val", train)
    for part, split in (("train", train), ("val", evaluated), ("test", evaluated)):
        before = settings.get(part) or {"type": "", "pipeline": innermost(settings["train"]).get("pipeline", [])}
        settings[part] = our_dataset(before, data, split)
    if options.img_size is not None:
        scale = image_scale(options.img_size)
        for part in ("train", "val", "test"):
            rescale(settings[part], scale, data.task)
        test_cfg = (fitted.config.get("model") or {}).get("test_cfg") or {}
        if data.task == "semantic" and "crop_size" in test_cfg:
            test_cfg["crop_size"] = (scale[1], scale[1])
            test_cfg["stride"] = (scale[1] * 2 // 3, scale[1] * 2 // 3)
    fitted.comments["data"] = f"{train.count} images to train on" + (
        f", {data.splits['val'].count} to evaluate" if "val" in data.splits else "; none to evaluate"
    )
    if isinstance(fitted.config.get("data_root"), str):
        fitted.config["data_root"] = f"{data.root.resolve()}/"
    if isinstance(fitted.config.get("dataset_type"), str):
        fitted.config["dataset_type"] = DATASET_TYPES[data.task]


def _fit_rate(fitted: Fitted, options: TrainOptions, images_a_step: int) -> None:
    optimizer = fitted.config.get("optimizer")
    if not isinstance(optimizer, dict) or "lr" not in optimizer:
        return
    old = float(optimizer["lr"])
    if options.lr is not None:
        optimizer["lr"] = options.lr
        said = f"learning rate {options.lr:g}, as asked"
    else:
        optimizer["lr"] = float(f"{old * images_a_step / REFERENCE_BATCH:.6g}")
        said = f"learning rate {optimizer['lr']:g}: {old:g} is for {REFERENCE_BATCH} images, here are {images_a_step}"
    policy = fitted.config.get("lr_config")
    if isinstance(policy, dict) and policy.get("min_lr") and old:
        policy["min_lr"] = float(f"{policy['min_lr'] * optimizer['lr'] / old:.6g}")
    fitted.notes.append(said)
    fitted.comments["optimizer"] = said


def _fit_schedule(fitted: Fitted, options: TrainOptions, steps_an_epoch: int) -> None:
    config = fitted.config
    by_epoch, old = _length(config)
    if options.schedule is not None and not by_epoch:
        raise UsageError(
            "--schedule is for configs that count epochs, and this one counts steps",
            found=f"{old} steps",
            hint=f"give --epochs; one epoch of these data is {steps_an_epoch} steps",
        )
    epochs = options.epochs or SCHEDULES.get(options.schedule or "")
    new = old if epochs is None else epochs if by_epoch else epochs * steps_an_epoch
    if isinstance(config.get("runner"), dict):
        config["runner"]["max_epochs" if by_epoch else "max_iters"] = new
    for key in ("total_epochs", "max_epochs", "total_iters"):
        if isinstance(config.get(key), int):
            config[key] = new
    total_steps = new * steps_an_epoch if by_epoch else new
    policy = config.get("lr_config")
    if isinstance(policy, dict):
        if policy.get("step") is not None and new != old:
            listed = policy["step"] if isinstance(policy["step"], (list, tuple)) else [policy["step"]]
            policy["step"] = sorted({max(1, round(each * new / old)) for each in listed})
        if policy.get("warmup_iters") and not policy.get("warmup_by_epoch"):
            policy["warmup_iters"] = max(1, min(policy["warmup_iters"], total_steps // 10))
    unit = ("epoch" if by_epoch else "step") + "s"[: new != 1]
    each = f", {steps_an_epoch} steps each" if by_epoch else f", about {new / steps_an_epoch:.3g} epochs"
    fitted.notes.append(f"{new} {unit}{each}")
    fitted.comments["runner"] = f"{new} {unit}{each}"
    checkpoint = config.get("checkpoint_config")
    if isinstance(checkpoint, dict):
        checkpoint.setdefault("max_keep_ckpts", 3)
        checkpoint["interval"] = _interval(checkpoint.get("interval", 1), by_epoch, new, steps_an_epoch)
    log = config.get("log_config")
    if isinstance(log, dict) and log.get("interval"):
        log["interval"] = max(1, min(log["interval"], steps_an_epoch if by_epoch else max(1, new // 10)))
    evaluation = config.setdefault("evaluation", {})
    evaluation["interval"] = _interval(evaluation.get("interval", 1), by_epoch, new, steps_an_epoch)


def _length(config: Mapping[str, Any]) -> tuple[bool, int]:
    """Whether a config counts epochs (else steps), and how many."""
    runner = config.get("runner") or {}
    if "max_iters" in runner:
        return False, int(runner["max_iters"])
    if "max_epochs" in runner:
        return True, int(runner["max_epochs"])
    if "total_iters" in config:
        return False, int(config["total_iters"])
    if "total_epochs" in config:
        return True, int(config["total_epochs"])
    raise UsageError(
        "the config does not say how long to train",
        expected="runner = dict(type='EpochBasedRunner', max_epochs=12)",
        hint="add it to the config, or choose another",
    )


def _interval(old: int, by_epoch: bool, length: int, steps_an_epoch: int) -> int:
    """How often to save and evaluate: as they do, but at least once a run; where steps count, each epoch or tenth."""
    most = length if by_epoch else min(length, max(length // 10, steps_an_epoch))
    return max(1, min(int(old), most))


METRICS: dict[str, dict[str, Any]] = {
    "instance": {"metric": ["segm"], "save_best": "AP", "rule": "greater"},
    "panoptic": {"metric": ["PQ"], "save_best": "PQ", "rule": "greater"},
    "semantic": {"metric": "mIoU", "save_best": "mIoU", "rule": "greater", "pre_eval": True},
}


def _fit_evaluation(fitted: Fitted, data: DataFolder) -> None:
    kept = {"interval": fitted.config["evaluation"]["interval"]}
    fitted.config["evaluation"] = {**kept, **METRICS[data.task]}
    if "val" not in data.splits:
        fitted.notes.append("the data have no val split: nothing is evaluated while training")
    fitted.comments["evaluation"] = "the best checkpoint by this figure is kept"


def _fit_runtime(fitted: Fitted, options: TrainOptions, work_dir: Path) -> None:
    config = fitted.config
    config["work_dir"] = str(work_dir.resolve())
    config["seed"] = options.seed
    config["resume_from"] = None
    config["load_from"] = options.load_from
    if options.amp:
        config["fp16"] = {"loss_scale": "dynamic"}
    for key, value in options.cfg_options.items():
        _put(config, key, value)


def _put(config: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``model.roi_head.mask_head.0.num_classes`` and the like.

    Raises:
        UsageError: the path leads nowhere.
    """
    *way, last = dotted.split(".")
    node: Any = config
    for part in way:
        index = whole_number(part)
        if isinstance(node, list) and index is not None and index < len(node):
            node = node[index]
        elif isinstance(node, dict):
            node = node.setdefault(part, {})
        else:
            raise UsageError(f"--cfg-options {dotted}: there is no {part} in this config")
    index = whole_number(last)
    if isinstance(node, list) and index is not None and index < len(node):
        node[index] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise UsageError(f"--cfg-options {dotted}: there is no {last} in this config")
