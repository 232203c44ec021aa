"""The config of a run: one whole file, made from data and options, that a person can read, change and run again.

Each section is a list of entries (name, value, comment); :func:`build` makes them, :func:`text` writes them out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet._version import __version__
from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import WARMUP_FACTOR, WARMUP_STEPS, milestones
from seg2knet.trainer.config import coco as config_coco
from seg2knet.trainer.config import semantic as config_semantic
from seg2knet.trainer.config.plan import Plan, decide
from seg2knet.trainer.config.source import Ref, assignment, is_name
from seg2knet.trainer.options import TrainOptions

RESERVED = ("filename", "text", "pretty_text", "env_variables")
"""Names that mmengine refuses in a config file."""


@dataclass(frozen=True)
class Entry:
    """One line of a config: ``name = value``, with a comment above it."""

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

    def override(self, options: Mapping[str, Any]) -> None:
        """Set values by path: ``model.num_kernels=50``, ``train_pipeline.2.prob=0``.

        Raises:
            UsageError: a path that leads nowhere.
        """
        content = self.as_dict()
        for path, value in options.items():
            put(content, path, value)
        for title, entries in self.sections.items():
            self.sections[title] = [Entry(each.name, content.pop(each.name), each.comment) for each in entries]
        if content:
            self.sections["Given by --cfg-options"] = [Entry(name, value) for name, value in content.items()]


def text(config: RunConfig) -> str:
    """The config as a Python file."""
    lines = [f"# {line}".rstrip() for line in config.heading]
    for title, entries in config.sections.items():
        lines += ["", f"# --- {title} " + "-" * max(0, 90 - len(title))]
        lines += [assignment(entry.name, entry.value, entry.comment) for entry in entries]
    return "\n".join(lines) + "\n"


def build(
    options: TrainOptions,
    data: DataFolder,
    processes: int,
    weights: Optional[str],
    work_dir: Path,
    workers: int,
    cpu: bool = False,
    bfloat16: bool = False,
) -> RunConfig:
    """Make a run's config; see :class:`~seg2knet.trainer.config.plan.Plan` for the arguments.

    Raises:
        UsageError: the options do not fit the data, or ``--cfg-options`` leads nowhere.
    """
    plan = decide(options, data, processes, weights, work_dir, workers, cpu, bfloat16)
    config = RunConfig(_heading(plan), notes=plan.notes)
    config.sections = {
        "What is trained": _what(plan),
        "Data": _data(plan),
        "Model": [Entry("model", _parts(plan).model(plan))],
        "Schedule": _schedule(plan),
        "Evaluation": _evaluation(plan),
        "Run": _run(plan),
    }
    config.override(options.cfg_options)
    return config


def _parts(plan: Plan) -> Any:
    """The module with what is the task's own: ``imports``, ``SCOPE``, pipelines, model, optimiser."""
    return config_semantic if plan.data.task == "semantic" else config_coco


def _heading(plan: Plan) -> list[str]:
    data = plan.data
    counts = ", ".join(f"{split.count} {name} images" for name, split in data.splits.items())
    return [
        f"K-Net for {data.task} segmentation, {plan.feature.title}: {len(data.classes)} classes, {counts}.",
        f"Written by seg2knet {__version__} from the data and the options. It is the whole config: change what you",
        f"like, then run it again: seg2knet train --config {plan.work_dir / 'config.py'}",
    ]


def _what(plan: Plan) -> list[Entry]:
    classes = plan.data.classes
    imports = {"imports": _parts(plan).imports(plan), "allow_failed_imports": False}
    entries = [
        Entry("task", plan.data.task),
        Entry("classes", classes.names, "as the data name them; their places are the labels"),
    ]
    if plan.data.task == "panoptic":
        entries += [Entry("thing_classes", classes.things, "things come first"), Entry("stuff_classes", classes.stuff)]
    return [
        *entries,
        Entry("palette", [classes.color(index) for index in range(len(classes))]),
        Entry("metainfo", _meta(plan.data.task)),
        Entry("data_root", str(plan.data.root.resolve())),
        Entry("work_dir", str(plan.work_dir)),
        Entry("default_scope", _parts(plan).SCOPE),
        Entry("custom_imports", imports),
    ]


def _meta(task: str) -> dict[str, Any]:
    """What a data set says of itself (mmengine's ``metainfo``)."""
    names = ["classes", "palette", *(["thing_classes", "stuff_classes"] if task == "panoptic" else [])]
    return {name: Ref(name) for name in names}


def _data(plan: Plan) -> list[Entry]:
    parts = _parts(plan)
    train: dict[str, Any] = {
        "batch_size": Ref("total_batch_size"),
        "num_workers": plan.workers,
        "persistent_workers": plan.workers > 0,
        "drop_last": plan.data.task == "semantic" and plan.train.count >= plan.batch,
        "sampler": {"type": "EpochSampler", "seed": plan.options.seed, "balance": plan.options.balance},
        "dataset": dataset(plan.data, plan.train, train=True, seed=plan.options.seed),
    }
    entries = [
        Entry("train_pipeline", parts.train_pipeline(plan)),
        Entry("test_pipeline", parts.test_pipeline(plan)),
        Entry("total_batch_size", plan.batch, "images a step, over all processes"),
        Entry("train_dataloader", train, "batch_size is shared out among the processes when they start"),
    ]
    if plan.judged is not None:
        loader = loader_for(plan.data, plan.judged, plan.workers)
        entries.append(Entry("val_dataloader", loader, f"the {plan.judged.name} split"))
        if plan.tested is None:
            entries.append(Entry("test_dataloader", Ref("val_dataloader")))
        else:
            after = loader_for(plan.data, plan.tested, plan.workers)
            entries.append(Entry("test_dataloader", after, "judged once, when training is over"))
    return entries


def dataset(data: DataFolder, split: Split, *, train: bool, seed: int = 0) -> dict[str, Any]:
    """A split as a data set of mmdet's or mmseg's registry."""
    images = str(split.images.resolve())
    found: dict[str, Any] = {
        "type": {"instance": "InstanceData", "panoptic": "PanopticData", "semantic": "SemanticData"}[data.task]
    }
    if data.task == "semantic":
        found["data_prefix"] = {"img_path": images, "seg_map_path": str(split.annotations.resolve())}
    else:
        found["ann_file"] = str(split.annotations.resolve())
        found["data_prefix"] = {"img": images}
        if data.task == "panoptic":
            found["data_prefix"]["seg"] = str(split.pngs.resolve()) if split.pngs is not None else ""
    found["metainfo"] = Ref("metainfo")
    found["pipeline"] = Ref("train_pipeline" if train else "test_pipeline")
    found["test_mode"] = not train
    if train:
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
        "dataset": dataset(data, split, train=False),
    }


def _schedule(plan: Plan) -> list[Entry]:
    epochs, options = plan.epochs, plan.options
    total = epochs * plan.steps
    warmup = max(2, min(WARMUP_STEPS, total // 10))
    optimizer = _parts(plan).optimizer(plan)
    if options.accumulate > 1:
        optimizer["accumulative_counts"] = options.accumulate
    if plan.amp:
        optimizer.update(type="AmpOptimWrapper", dtype="auto")
    gamma = 0.3 if plan.scratch else 0.1
    interval = max(1, round(epochs / 12))
    drops = milestones(epochs, options.schedule or "1x")
    return [
        Entry("max_epochs", epochs),
        Entry(
            "train_cfg",
            {"type": "ResumableLoop", "max_epochs": Ref("max_epochs"), "val_interval": interval},
            f"evaluated after every {interval} epochs" if interval > 1 else "evaluated after every epoch",
        ),
        Entry("optim_wrapper", optimizer),
        Entry(
            "param_scheduler",
            [
                {"type": "LinearLR", "start_factor": WARMUP_FACTOR, "by_epoch": False, "begin": 0, "end": warmup},
                {"type": "MultiStepLR", "by_epoch": True, "milestones": drops, "gamma": gamma},
            ],
            f"warm-up over {warmup} of {total} steps; after the epochs named, {gamma:g} of the rate before",
        ),
    ]


def _evaluation(plan: Plan) -> list[Entry]:
    if plan.judged is None:
        return []
    return [
        Entry("val_cfg", {}),
        Entry("val_evaluator", evaluator_for(plan.data, plan.judged)),
        Entry("test_cfg", {}),
        Entry("test_evaluator", evaluator_for(plan.data, plan.tested or plan.judged)),
    ]


def evaluator_for(data: DataFolder, split: Split) -> dict[str, Any]:
    """The metric for a split."""
    from seg2knet.trainer.openmmlab.metrics import METRIC_OF

    return METRIC_OF[data.task].config(split)


def _mlflow(plan: Plan) -> dict[str, str]:
    """The server that the environment names, else a database in the work dir: MLflow no longer starts file stores."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return {"tracking_uri": server}
    work_dir = plan.work_dir.resolve()
    return {"tracking_uri": f"sqlite:///{work_dir / 'mlflow.db'}", "artifact_location": (work_dir / "mlflow").as_uri()}


def _run(plan: Plan) -> list[Entry]:
    options, name = plan.options, plan.data.root.resolve().name
    backends: list[dict[str, Any]] = [{"type": "LocalVisBackend"}]
    if options.logger == "tensorboard":
        backends.append({"type": "TensorboardVisBackend"})
    elif options.logger == "wandb":
        backends.append({"type": "WandbVisBackend", "init_kwargs": {"project": "seg2knet", "name": name}})
    elif options.logger == "mlflow":
        backends.append({"type": "MLflowVisBackend", "exp_name": "seg2knet", "run_name": name, **_mlflow(plan)})
    ema = {"type": "EMAHook", "momentum": 0.0002, "ema_type": "ExpMomentumEMA"}
    return [
        Entry("randomness", {"seed": options.seed}),
        Entry("load_from", options.load_from),
        Entry("early_stop", options.early_stop, "epochs without a better figure after which the run ends; 0: never"),
        Entry("compile", options.compile),
        Entry("sync_bn", plan.scratch, "on several GPUs: BatchNorm's statistics are those of the whole batch"),
        Entry("find_unused_parameters", False),
        Entry("custom_hooks", [ema] if options.ema else []),
        Entry("visualizer", {"type": "mmengine.Visualizer", "vis_backends": backends}),
        Entry("log_processor", {"by_epoch": True, "window_size": 50}),
    ]


# -- --cfg-options -----------------------------------------------------------------------------------------------------


def put(content: Any, path: str, value: Any) -> list[Union[str, int]]:
    """Set what a path of ``--cfg-options`` names in a config of dicts and lists.

    Returns:
        the steps of the path: keys of dicts, indices of lists.

    Raises:
        UsageError: it leads nowhere, or begins with what no variable of a config file can be called.
    """
    keys = path.split(".")
    if not is_name(keys[0]) or keys[0] in RESERVED:
        raise UsageError("--cfg-options names no variable of the config", place=path, found=keys[0] or "nothing")
    steps: list[Union[str, int]] = []
    for depth, key in enumerate(keys, 1):
        if not isinstance(content, (list, dict)):
            found = f"{type(content).__name__}, which has no parts"
            raise UsageError("--cfg-options leads nowhere", place=path, found=found)
        step: Any = _index(content, key, path) if isinstance(content, list) else key
        steps.append(step)
        if depth == len(keys):
            content[step] = value
        elif isinstance(content, dict) and key not in content:
            here, expected = ".".join(keys[:depth]), ", ".join(map(str, content))
            raise UsageError("--cfg-options leads nowhere", place=here, expected=expected)
        else:
            content = content[step]
    return steps


def _index(content: list, key: str, path: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", key) or not -len(content) <= int(key) < len(content):
        raise UsageError("--cfg-options leads nowhere", place=path, expected=f"a number below {len(content)}")
    return int(key)
