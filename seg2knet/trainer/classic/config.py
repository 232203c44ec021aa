"""The config of a run on the classic stack: the authors' (or any of mmdet 2's, mmseg 0's) made to fit the data.

Everything here is plain Python on dicts: :func:`fit` takes the merged config that the user named and returns the one
that is right for the data, whole, as it is written into the work dir.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.folder import DataFolder
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import SCHEDULES
from seg2knet.trainer.classic import pipelines
from seg2knet.trainer.classic.counts import Counts, Signature, set_class_counts
from seg2knet.trainer.classic.pipelines import innermost
from seg2knet.trainer.config.build import put
from seg2knet.trainer.options import TrainOptions, image_scale

RECORD = "seg2knet"
"""The config's key under which a run says what it is: a config that has it is run as it is."""
REFERENCE_BATCH = 16
"""Images a step that the learning rates of K-Net's, mmdet's and mmseg's configs are meant for, unless named (16x2)."""
RELEASE_LIMIT = 2
"""Images a GPU at most in instance training with the K-Net release: it fails on three (knet.md)."""
METRICS: dict[str, dict[str, Any]] = {
    "instance": {"metric": ["segm"], "save_best": "AP", "rule": "greater"},
    "panoptic": {"metric": ["PQ"], "save_best": "PQ", "rule": "greater"},
    "semantic": {"metric": "mIoU", "save_best": "mIoU", "rule": "greater", "pre_eval": True},
}


def task_of(config: Mapping[str, Any], name: str) -> str:
    """The task that a merged config trains; ``name`` is for the error. Raises UsageError: it trains none of ours."""
    model = config.get("model") or {}
    train = innermost(config.get("data", {}).get("train") or {})
    pipeline = list(pipelines.steps(train.get("pipeline", ())))
    types = " ".join(str(step.get("type", "")) for step in pipeline)
    if "decode_head" in model or "img_dir" in train:
        return "semantic"
    if "Panoptic" in types or "panoptic" in str(train.get("type", "")).lower():
        return "panoptic"
    collected = {key for step in pipeline for key in step.get("keys", ()) if isinstance(key, str)}
    if "gt_semantic_seg" in collected:
        hint = "take its variant without the branch (htc_without_semantic_...), or a panoptic config"
        raise UsageError("this config trains a semantic branch on COCO-stuff's maps", file=name, hint=hint)
    if not pipeline or not ({"gt_masks"} & collected or any(step.get("with_mask") for step in pipeline)):
        found = f"a model of type {model.get('type')} whose pipeline loads no masks"
        raise UsageError("this config does not train segmentation", file=name, found=found)
    return "instance"


def is_knet(config: Mapping[str, Any]) -> bool:
    """Whether the model comes from the K-Net release: by the modules that it imports, or by its name."""
    packages = {name.split(".")[0] for name in imports_of(config)}
    return "knet" in packages or "knet" in str((config.get("model") or {}).get("type", "")).lower()


def imports_of(config: Mapping[str, Any]) -> list[str]:
    """The modules that a config imports."""
    imports = (config.get("custom_imports") or {}).get("imports") or []
    return [imports] if isinstance(imports, str) else list(imports)


def reference_batch(name: str) -> int:
    """Images a step that a config's learning rate is meant for: ``16x2`` in its name are 16 GPUs with 2 images each."""
    gpus = re.search(r"(?<![a-z\d])(\d{1,2})x(\d{1,2})(?![a-z\d])", name)
    return int(gpus[1]) * int(gpus[2]) if gpus else REFERENCE_BATCH


def fit(
    merged: Mapping[str, Any],
    data: DataFolder,
    options: TrainOptions,
    *,
    name: str = "",
    processes: int,
    work_dir: Path,
    knet: Optional[Path] = None,
    signature: Optional[Signature] = None,
) -> tuple[dict[str, Any], list[str]]:
    """The config, right for the data, the options and the number of processes, and lines that say what was decided.

    ``merged`` has all that the config inherits; its ``name`` may say for how many images its learning rate is;
    ``signature``: see :func:`seg2knet.trainer.classic.counts.set_class_counts`.

    Raises UsageError: the options do not fit this config.
    """
    config = copy.deepcopy(dict(merged))
    per_gpu = _images_a_gpu(config, data, options, processes)
    images_a_step = per_gpu * processes
    notes = [
        f"images a GPU: {per_gpu}; a step: {images_a_step}",
        *_fit_model(config, data, options, signature),
        *_fit_data(config, data, options),
        *_fit_rate(config, options, images_a_step, reference_batch(name)),
        *_fit_schedule(config, options, data.split("train").count, images_a_step),
    ]
    if "val" not in data.splits:
        notes.append("the data have no val split: nothing is evaluated while training")
    config["evaluation"] = {"interval": config["evaluation"]["interval"], **METRICS[data.task]}
    config.update(work_dir=str(work_dir.resolve()), seed=options.seed, resume_from=None, load_from=options.load_from)
    if options.amp:
        config["fp16"] = {"loss_scale": "dynamic"}
    module = f"seg2knet.trainer.classic.{'semantic' if data.task == 'semantic' else 'datasets'}"
    config["custom_imports"] = {"imports": [*imports_of(config), module], "allow_failed_imports": False}
    config[RECORD] = {
        "stack": "classic",
        "task": data.task,
        "classes": list(data.classes.names),
        "things": Counts.of(data.task, data.classes).things,
        "data": str(data.root.resolve()),
        "knet": str(knet.resolve()) if knet else None,
        "validate": "val" in data.splits,
    }
    for path, value in options.cfg_options.items():
        if "." in path:
            config.setdefault(path.split(".")[0], {})
        put(config, path, value)
    return config, notes


def _fit_model(
    config: dict[str, Any], data: DataFolder, options: TrainOptions, signature: Optional[Signature]
) -> list[str]:
    counts = Counts.of(data.task, data.classes)
    config["model"], change = set_class_counts(config["model"], counts, signature)
    for key, value in counts.by_key().items():
        if isinstance(config.get(key), int):
            config[key] = value
    split = f"{counts.things} thing classes, {counts.stuff} stuff" if counts.stuff else f"{counts.total} classes"
    notes = [f"{split}: set in {len(change.counts)} place{'s'[: len(change.counts) != 1]} of the model"]
    if change.dropped:
        notes.append(f"class weights made for other classes are left out: {', '.join(change.dropped)}")
    if change.renamed:
        notes.append(f"arguments renamed for the installed versions: {', '.join(change.renamed)}")
    backbone, weights = config["model"].get("backbone"), options.backbone_weights
    if isinstance(backbone, dict) and (weights is not None or options.pretrained == "none"):
        if "pretrained" in config["model"]:
            config["model"]["pretrained"] = None
        if weights is not None:
            backbone["init_cfg"] = {"type": "Pretrained", "checkpoint": str(Path(weights).resolve())}
            return notes
        backbone["init_cfg"] = None
        # Frozen layers and frozen batch statistics are meant for pretrained weights; random ones must be learnt.
        backbone.update({key: off for key, off in (("frozen_stages", -1), ("norm_eval", False)) if key in backbone})
        notes.append("the backbone starts from random weights: no stage is frozen and its norms are trained")
    return notes


def _images_a_gpu(config: dict[str, Any], data: DataFolder, options: TrainOptions, processes: int) -> int:
    settings = config["data"]
    per_gpu = int(settings.get("samples_per_gpu", settings.pop("imgs_per_gpu", 2)))
    if options.batch_size is not None:
        if options.batch_size % processes:
            problem = f"--batch-size {options.batch_size} cannot be shared by {processes} GPUs"
            raise UsageError(problem, hint=f"give a multiple of {processes}")
        per_gpu = options.batch_size // processes
    if is_knet(config) and data.task == "instance" and per_gpu > RELEASE_LIMIT:
        if options.batch_size is not None:
            found = f"--batch-size {options.batch_size} on {processes}: {per_gpu} each"
            hint = f"give --batch-size {RELEASE_LIMIT * processes}, or use the current stack: --stack mmengine"
            raise UsageError("the K-Net release trains on one or two images a GPU", found=found, hint=hint)
        per_gpu = RELEASE_LIMIT
    settings["samples_per_gpu"] = per_gpu
    if options.workers is not None:
        settings["workers_per_gpu"] = options.workers
    return per_gpu


def _fit_data(config: dict[str, Any], data: DataFolder, options: TrainOptions) -> list[str]:
    settings = config["data"]
    once = options.epochs is not None or options.schedule is not None  # an epoch that was asked for is one pass
    train, evaluated = data.split("train"), data.splits.get("val", data.split("train"))
    for part, split in (("train", train), ("val", evaluated), ("test", evaluated)):
        theirs = settings.get(part) or {"pipeline": innermost(settings["train"]).get("pipeline", [])}
        settings[part] = pipelines.our_dataset(theirs, data, split, repeat=not once)
    servers = pipelines.read_from_disk([config[key] for key in config if key == "data" or key.endswith("pipeline")])
    if options.img_size is not None:
        scale = image_scale(options.img_size)
        pipelines.rescale([settings[part] for part in ("train", "val", "test")], scale, data.task)
        test_cfg = (config.get("model") or {}).get("test_cfg") or {}
        if data.task == "semantic" and "crop_size" in test_cfg:
            test_cfg.update(crop_size=(scale[1], scale[1]), stride=(scale[1] * 2 // 3, scale[1] * 2 // 3))
    for key, value in (("data_root", f"{data.root.resolve()}/"), ("dataset_type", pipelines.DATASET_TYPES[data.task])):
        if isinstance(config.get(key), str):
            config[key] = value
    return [f"images are read from the disk: file_client_args for {name} are left out" for name in sorted(servers)]


def _fit_rate(config: dict[str, Any], options: TrainOptions, images_a_step: int, reference: int) -> list[str]:
    optimizer, policy = config.get("optimizer"), config.get("lr_config")
    if not isinstance(optimizer, dict) or "lr" not in optimizer:
        return []
    old = float(optimizer["lr"])
    new = options.lr if options.lr is not None else float(f"{old * images_a_step / reference:.6g}")
    optimizer["lr"] = new
    if isinstance(policy, dict) and policy.get("min_lr") and old:
        policy["min_lr"] = float(f"{policy['min_lr'] * new / old:.6g}")
    why = f"{old:g} is for {reference} images a step, here are {images_a_step}"
    return [f"learning rate {new:g}: {why if options.lr is None else 'as asked'}"]


def _fit_schedule(config: dict[str, Any], options: TrainOptions, images: int, images_a_step: int) -> list[str]:
    """Length, steps of the rate, warm-up, and how often to save, evaluate and log."""
    times = pipelines.repeats(config["data"]["train"])
    steps_an_epoch = max(1, math.ceil(images * times / images_a_step))
    by_epoch, old = _length(config)
    if options.schedule is not None and not by_epoch:
        hint = f"give --epochs; one epoch of these data is {steps_an_epoch} steps"
        raise UsageError("--schedule is for configs that count epochs, and this one counts steps", hint=hint)
    epochs = options.epochs or SCHEDULES.get(options.schedule or "")
    new = old if epochs is None else epochs if by_epoch else epochs * steps_an_epoch
    if isinstance(config.get("runner"), dict):
        config["runner"]["max_epochs" if by_epoch else "max_iters"] = new
    lengths = ("total_epochs", "max_epochs", "total_iters")
    config.update({key: new for key in lengths if isinstance(config.get(key), int)})
    policy = config.get("lr_config")
    if isinstance(policy, dict):
        if policy.get("step") is not None and new != old:
            listed = policy["step"] if isinstance(policy["step"], (list, tuple)) else [policy["step"]]
            policy["step"] = sorted({max(1, round(step * new / old)) for step in listed})
        if policy.get("warmup_iters") and not policy.get("warmup_by_epoch"):
            total = new * steps_an_epoch if by_epoch else new
            policy["warmup_iters"] = max(1, min(policy["warmup_iters"], total // 10))
    # saved and evaluated as they do, but at least once a run; where steps count, each epoch or tenth
    most = new if by_epoch else min(new, max(new // 10, steps_an_epoch))
    saving = config.get("checkpoint_config")
    for part in (saving, config.setdefault("evaluation", {})):
        if isinstance(part, dict):
            part["interval"] = max(1, min(int(part.get("interval", 1)), most))
    if isinstance(saving, dict):
        saving.setdefault("max_keep_ckpts", 3)
    log = config.get("log_config")
    if isinstance(log, dict) and log.get("interval"):
        log["interval"] = max(1, min(log["interval"], steps_an_epoch if by_epoch else max(1, new // 10)))
    passes = f" of {times} passes over the images" if times > 1 else ""
    if by_epoch:
        return [f"{new} epoch{'s'[: new != 1]}{passes}, {steps_an_epoch} steps each"]
    return [f"{new} step{'s'[: new != 1]}, about {new * times / steps_an_epoch:.3g} epochs"]


def _length(config: Mapping[str, Any]) -> tuple[bool, int]:
    """Whether a config counts epochs (else steps), and how many."""
    runner = config.get("runner") or {}
    for by_epoch, key, old_key in ((False, "max_iters", "total_iters"), (True, "max_epochs", "total_epochs")):
        length = runner.get(key, config.get(old_key))
        if length is not None:
            return by_epoch, int(length)
    expected = "runner = dict(type='EpochBasedRunner', max_epochs=12)"
    raise UsageError("the config does not say how long to train", expected=expected)
