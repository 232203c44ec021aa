"""The config of a run: one whole file, made from data and options, that a person can read, change and run again."""

from __future__ import annotations

import os
from typing import Any

from seg2knet._version import __version__
from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.knet.recipe import WARMUP_FACTOR, WARMUP_STEPS, milestones
from seg2knet.trainer.config import coco as config_coco
from seg2knet.trainer.config import semantic as config_semantic
from seg2knet.trainer.config.files import put
from seg2knet.trainer.config.plan import RunPlan
from seg2knet.trainer.config.source import Ref, assignment
from seg2knet.trainer.options import INFO, flag

Section = dict[str, Any]
"""Variable of the config -> its value, in the file's order."""


def build(plan: RunPlan) -> str:
    """A run's config, as a Python file: what an option sets as a whole is explained by its help.

    Raises UsageError: ``--cfg-options`` leads nowhere.
    """
    sections = {
        "What is trained": _task(plan),
        "Data": _data(plan),
        "Model": {"model": _parts(plan).model(plan)},
        "Schedule": _schedule(plan),
        "Evaluation": _evaluation(plan),
        "Run": _run(plan),
    }
    content = {name: value for section in sections.values() for name, value in section.items()}
    for path, value in plan.options.cfg_options.items():
        put(content, path, value)
    for section in sections.values():
        section.update({name: content.pop(name) for name in section})
    if content:
        sections["Given by --cfg-options"] = content
    comments: dict[Any, str] = {info.in_config: f"{flag(name)}: {info.help}" for name, info in INFO.items()}
    comments.update(_comments(plan))
    data = plan.data
    counts = ", ".join(f"{split.count} {name} images" for name, split in data.splits.items())
    lines = [
        f"# K-Net for {data.task} segmentation, {plan.backbone.title}: {len(data.classes)} classes, {counts}.",
        f"# Written by seg2knet {__version__} for: {plan.options.command()}",
        "# It is the whole config: change what you like, then run it again:",
        f"# seg2knet train --config {plan.work_dir / 'config.py'}",
    ]
    for title, section in sections.items():
        lines += ["", f"# --- {title} " + "-" * max(0, 90 - len(title))]
        lines += [assignment(name, value, comments.get(name, "")) for name, value in section.items()]
    return "\n".join(lines) + "\n"


def _parts(plan: RunPlan) -> Any:
    """The module with what is the task's own: pipelines, model, optimiser."""
    return config_semantic if plan.data.task == "semantic" else config_coco


def _comments(plan: RunPlan) -> dict[str, str]:
    interval = val_interval(plan.epochs)
    return {
        "classes": "as the data name them; their places are the labels",
        "thing_classes": "things come first",
        "train_dataloader": "batch_size is shared out among the processes when they start",
        "val_dataloader": f"the {plan.judge} split{', set apart from train' if plan.files else ''}",
        "test_dataloader": "evaluated once, when training is over" if plan.tested is not None else "",
        "train_cfg": f"evaluated after every {interval} epochs" if interval > 1 else "evaluated after every epoch",
        "param_scheduler": f"warm-up over {_warmup(plan)} steps, then --decay {plan.options.decay}",
        "gpu": "on GPUs alone: one kernel for the optimiser, pinned memory for batches, no copy of gradients, TF32",
        "sync_bn": "on several GPUs: BatchNorm's statistics are those of the whole batch",
    }


def _task(plan: RunPlan) -> Section:
    classes = plan.data.classes
    parts = {"thing_classes": classes.things, "stuff_classes": classes.stuff} if plan.data.task == "panoptic" else {}
    semantic = plan.data.task == "semantic"
    modules = ["semantic_data" if semantic else "datasets", "sampling", "metrics", "flipping"]
    imports = [f"seg2knet.trainer.openmmlab.{name}" for name in modules]
    imports += [*([] if semantic else ["seg2knet.knet.detector"]), *plan.backbone.imports]
    return {
        "task": plan.data.task,
        "classes": classes.names,
        **parts,
        "palette": [classes.color(index) for index in range(len(classes))],
        "metainfo": {name: Ref(name) for name in ("classes", "palette", *parts)},
        "data_root": str(plan.data.root.resolve()),
        "work_dir": str(plan.work_dir),
        "default_scope": "mmseg" if semantic else "mmdet",
        "custom_imports": {"imports": imports, "allow_failed_imports": False},
    }


def _data(plan: RunPlan) -> Section:
    train = {
        "batch_size": Ref("total_batch_size"),
        "num_workers": plan.machine.workers,
        "persistent_workers": plan.machine.workers > 0,
        "drop_last": plan.data.task == "semantic" and plan.train.count >= plan.batch,
        "sampler": {"type": "EpochSampler", "seed": plan.options.seed, "balance": plan.options.balance},
        "dataset": config_coco.pasting(plan, dataset(plan.data, plan.train, train=True, seed=plan.options.seed)),
    }
    test_pipeline = config_coco.test_pipeline(plan.test_scale, plan.data.task == "panoptic")
    if plan.data.task == "semantic":
        test_pipeline = config_semantic.test_pipeline(plan.test_scale)
    section: Section = {
        "train_pipeline": _parts(plan).train_pipeline(plan),
        "test_pipeline": test_pipeline,
        "val": plan.options.val or plan.judge or "none",
        "total_batch_size": plan.batch,
        "train_dataloader": train,
    }
    if plan.judged is not None:
        tested, workers = plan.tested, plan.machine.workers
        section["val_dataloader"] = loader_for(plan.data, plan.judged, workers)
        section["test_dataloader"] = Ref("val_dataloader") if tested is None else loader_for(plan.data, tested, workers)
    return section


def dataset(data: DataFolder, split: Split, *, train: bool, seed: int = 0) -> dict[str, Any]:
    """A split as a data set of mmdet's or mmseg's registry."""
    images, annotations = str(split.images.resolve()), str(split.annotations.resolve())
    parts: Section = {"ann_file": annotations, "data_prefix": {"img": images}}
    if data.task == "semantic":
        parts = {"data_prefix": {"img_path": images, "seg_map_path": annotations}}
    entry: Section = {"type": f"{data.task.title()}Data", **parts}
    if data.task == "panoptic":
        entry["data_prefix"]["seg"] = str(split.pngs.resolve()) if split.pngs is not None else ""
    if split.names is not None:
        entry["ann_file"] = str(split.names.resolve())
    pipeline = Ref("train_pipeline" if train else "test_pipeline")
    entry.update(metainfo=Ref("metainfo"), pipeline=pipeline, test_mode=not train)
    return {**entry, "seed": seed} if train else entry


def loader_for(data: DataFolder, split: Split, workers: int) -> dict[str, Any]:
    """A split's loader for evaluation: one image at a time, in order."""
    return {
        "batch_size": 1,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "drop_last": False,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": dataset(data, split, train=False),
    }


def val_interval(epochs: int) -> int:
    """Epochs between two evaluations: about twelve in a run."""
    return max(1, round(epochs / 12))


def _warmup(plan: RunPlan) -> int:
    return max(2, min(WARMUP_STEPS, plan.epochs * plan.steps // 10))


def _schedule(plan: RunPlan) -> Section:
    optimizer = _parts(plan).optimizer(plan)
    if plan.options.accumulate > 1:
        optimizer["accumulative_counts"] = plan.options.accumulate
    if plan.amp:
        optimizer.update(type="AmpOptimWrapper", dtype="auto")
    begin, total = _warmup(plan), plan.epochs * plan.steps
    drops = milestones(plan.epochs, plan.options.schedule or ("80k" if plan.data.task == "semantic" else "1x"))
    gamma = 0.3 if plan.scratch else 0.1
    warmup = {"type": "LinearLR", "start_factor": WARMUP_FACTOR, "by_epoch": False, "begin": 0, "end": begin}
    decay: dict[str, Any] = {"type": "MultiStepLR", "by_epoch": True, "milestones": drops, "gamma": gamma}
    if plan.options.decay == "cosine":
        rest = max(1, total - begin)
        decay = {"type": "CosineAnnealingLR", "by_epoch": False, "begin": begin, "end": total, "T_max": rest}
        decay["eta_min_ratio"] = 0.01
    loop = {"type": "ResumableLoop", "max_epochs": Ref("max_epochs"), "val_interval": val_interval(plan.epochs)}
    return {
        "max_epochs": plan.epochs, "train_cfg": loop, "optim_wrapper": optimizer, "param_scheduler": [warmup, decay],
    }  # fmt: skip


def _evaluation(plan: RunPlan) -> Section:
    if plan.judged is None:
        return {}
    from seg2knet.trainer.openmmlab.metrics import METRIC_OF

    val, test = (METRIC_OF[plan.data.task].config(split) for split in (plan.judged, plan.tested or plan.judged))
    return {"val_cfg": {}, "val_evaluator": val, "test_cfg": {}, "test_evaluator": test}


def _run(plan: RunPlan) -> Section:
    options = plan.options
    ema = {"type": "EMAHook", "momentum": 0.0002, "ema_type": "ExpMomentumEMA"}
    return {
        "randomness": {"seed": options.seed},
        "load_from": options.load_from,
        "early_stop": options.early_stop,
        "compile": options.compile,
        "gpu": {"fused": True, "pin_memory": True, "gradient_as_bucket_view": True, "tf32": False},
        "sync_bn": plan.scratch,
        "find_unused_parameters": False,
        "custom_hooks": [ema] if options.ema else [],
        "visualizer": {"type": "Scalars", "vis_backends": [{"type": "LocalVisBackend"}, *_logger(plan)]},
        "log_processor": {"by_epoch": True, "window_size": 50},
    }


def _logger(plan: RunPlan) -> list[dict[str, Any]]:
    name, logger = plan.data.root.resolve().name, plan.options.logger
    if logger == "tensorboard":
        return [{"type": "TensorboardVisBackend"}]
    if logger == "wandb":
        return [{"type": "WandbVisBackend", "init_kwargs": {"project": "seg2knet", "name": name}}]
    if logger == "none":
        return []
    server = os.environ.get("MLFLOW_TRACKING_URI")
    store = {"tracking_uri": server}
    if not server:  # a database in the work dir: MLflow no longer starts stores of files
        folder = plan.work_dir.resolve()
        store = {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "artifact_location": (folder / "mlflow").as_uri()}
    return [{"type": "MLflowVisBackend", "exp_name": "seg2knet", "run_name": name, **store}]
