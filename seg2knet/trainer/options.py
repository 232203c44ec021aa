"""The options of a training run, each said once: a field of :class:`TrainOptions`, from which the command line and its
help, the comments of a run's config, what ``--resume`` compares and the table of docs/train.md are made."""

# ruff: noqa: RUF009 - _option() makes a dataclass field

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints

from seg2knet.dataset.text import whole_number
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import SCHEDULES, SEMANTIC_STEPS
from seg2knet.trainer.config.backbones import BACKBONES, TIMM

TASKS = ("instance", "panoptic", "semantic")
HEADS = ("fcn", "pspnet", "deeplabv3", "upernet")
LOGGERS = ("tensorboard", "wandb", "mlflow", "none")
LAUNCHERS = ("torchrun", "slurm", "none")


@dataclass(frozen=True)
class OptionInfo:
    """What there is to know about an option beside its type and default value."""

    group: str
    help: str  # for --help and the docs, without the default
    metavar: Optional[str] = None
    default: Optional[str] = None  # what happens where it is not given, in words; by default its default value
    choices: tuple[str, ...] = ()
    least: Optional[float] = None  # the smallest number it can be
    # where a run's config has it, a path or a function: --resume compares it
    in_config: Union[str, Callable[[Mapping[str, Any]], Any], None] = None
    shapes: bool = True  # it changes what is trained, so it cannot be given with --config
    no: Optional[str] = None  # the value that --no-NAME stands for


def _option(group: str, help: str, value: Any = None, **info: Any) -> Any:
    default: Any = {"default_factory": dict} if isinstance(value, dict) else {"default": value}
    return field(**default, metadata={"info": OptionInfo(group, help, **info)})


def _flip(config: Mapping[str, Any]) -> str:
    steps = {step["type"] for step in config["train_pipeline"]}
    return "none" if "RandomFlip" not in steps else "swap" if "SwapSides" in steps else "plain"


_model = partial(_option, "Task and model")
_length = partial(_option, "Length and learning rate")
_images = partial(_option, "Images")
_machine = partial(_option, "This machine", shapes=False)
_run = partial(_option, "Run", shapes=False)
_machines = partial(_option, "Several machines, other launchers", shapes=False)


@dataclass
class TrainOptions:
    """Options of a run. ``None`` means: decided from the data and the machine, and printed."""

    data: Optional[Path] = None
    task: Optional[str] = _model("What to segment.", choices=TASKS, default="what the folder holds", in_config="task")
    model: Optional[str] = _model(
        "A model of the authors' table (seg2knet models): backbone, schedule and task.", metavar="NAME"
    )
    backbone: Optional[str] = _model(
        "Backbone; timm/NAME: any model of timm with features at strides 4, 8, 16 and 32.",
        choices=(*BACKBONES, f"{TIMM}NAME"), default="r50; without a GPU timm/tf_efficientnet_lite0, or r18",
    )  # fmt: skip
    head: Optional[str] = _model(
        "Semantic: the head whose prediction the kernels refine.", default="upernet", choices=HEADS
    )
    pretrained: Optional[str] = _model(
        "Start from a trained K-Net (semantic: on ADE20K), from a backbone's weights, or from nothing.", no="none",
        choices=("coco", "imagenet", "none"),
        default="coco where one is published for task and backbone, else imagenet",
    )  # fmt: skip
    backbone_weights: Optional[Path] = _model(
        "File with the backbone's weights.", metavar="FILE", default="downloaded once, checked and kept"
    )
    load_from: Optional[str] = _model(
        "Start from a checkpoint of this tool or of the authors.", metavar="FILE|URL", in_config="load_from"
    )
    stack: Optional[str] = _model(
        "mmengine, or classic (mmdet 2).", metavar="NAME", default="what is installed", shapes=False
    )
    knet: Optional[Path] = _model("Classic stack: a checkout of the authors' K-Net.", metavar="DIR", shapes=False)

    epochs: Optional[int] = _length(
        "Epochs; with --resume more than before extend a finished run.", metavar="N", least=1,
        default="12, more for small data sets", in_config="max_epochs",
    )  # fmt: skip
    schedule: Optional[str] = _length(
        "12 epochs, 36 with --multi-scale, or (semantic) 80,000 steps.", default="see --epochs",
        choices=(*SCHEDULES, *SEMANTIC_STEPS),
    )  # fmt: skip
    decay: str = _length(
        "The learning rate drops in two steps near the end, or along a cosine.", "step", choices=("step", "cosine"),
        in_config=lambda config: "step" if config["param_scheduler"][-1]["type"] == "MultiStepLR" else "cosine",
    )  # fmt: skip
    batch_size: Optional[int] = _length(
        "Images per step over all processes.", metavar="N|auto", least=1, in_config="total_batch_size",
        default="auto: from the GPU's memory, up to 16; on the CPU 2, light models 4",
    )  # fmt: skip
    lr: Optional[float] = _length(
        "Learning rate.", metavar="RATE", default="1e-4 for 16 images per step, by the root of the batch",
        in_config="optim_wrapper.optimizer.lr",
    )  # fmt: skip
    accumulate: int = _length(
        "Sum the gradients of N steps before the weights change.", 1, metavar="N", least=1,
        in_config=lambda config: config["optim_wrapper"].get("accumulative_counts", 1),
    )  # fmt: skip
    ema: bool = _length(
        "Evaluate and keep a moving average of the weights.", False,
        in_config=lambda config: any(hook.get("type") == "EMAHook" for hook in config.get("custom_hooks", [])),
    )  # fmt: skip
    early_stop: int = _length(
        "Stop after N epochs without a better figure.", 0, metavar="N", least=0, default="never", in_config="early_stop"
    )

    val: Optional[str] = _images(
        "What the best epoch is chosen by: a split's name, a share of train to set apart, none: nothing.",
        metavar="SPLIT|SHARE|none", default="val; beside a test split without a val split 0.1", in_config="val",
    )  # fmt: skip
    img_size: Optional[str] = _images(
        "Longest side, or longest x shortest side.", metavar="N|WxH",
        default="1333x800; semantic: 512; light models: 288",
    )  # fmt: skip
    multi_scale: bool = _images("Draw the image size anew each time, 0.8 to 1 of --img-size.", False)
    augment: Optional[str] = _images(
        "light: images scaled, cropped, their colours changed; strong: more, and objects pasted into others.",
        choices=("none", "light", "strong"), default="light for light models and semantic segmentation, else none",
    )  # fmt: skip
    flip: str = _images(
        "Mirror half of the images: swap turns left_door into right_door and the like, plain does not.", "swap",
        choices=("swap", "plain", "none"), in_config=_flip,
    )  # fmt: skip
    mirror: dict[str, Any] = _images(
        "With --flip swap: two more classes that a mirror image turns into one another.", {}, metavar="A=B",
        default="by left and right in their names",
    )  # fmt: skip
    balance: float = _images(
        "Repeat images of classes that are on a smaller share of the images than this.", 0.0, metavar="SHARE",
        least=0, default="off", in_config="train_dataloader.sampler.balance",
    )  # fmt: skip
    validate: bool = _images("Check the data before the first step.", True, shapes=False)

    gpus: Optional[int] = _machine(
        "Processes, one per GPU; 0 trains on the CPU.", metavar="N", least=0, default="all there are"
    )
    device: Optional[str] = _machine(
        "Device; cpu with --gpus 2 trains in two processes.", choices=("cuda", "cpu"),
        default="cuda where there is a GPU",
    )  # fmt: skip
    amp: Optional[bool] = _machine(
        "Mixed precision: bfloat16, or float16 where the GPU has no bfloat16.", shapes=True,
        in_config=lambda config: config["optim_wrapper"]["type"] == "AmpOptimWrapper",
        default="on for processors that compute in bfloat16",
    )  # fmt: skip
    workers: Optional[int] = _machine(
        "Processes that load images, for each one that trains.", metavar="N", least=0,
        default="from the number of cores",
    )  # fmt: skip
    channels_last: Optional[bool] = _machine("Images as (H, W, C) in memory.", default="on the CPU", shapes=True)
    compile: bool = _machine(
        "Compile the network by torch.compile: needs a C++ compiler, minutes at the start.", False,
        in_config="compile", shapes=True,
    )  # fmt: skip

    work_dir: Optional[Path] = _run(
        "Folder for all that the run writes.", metavar="DIR", default="work_dirs/DATA-BACKBONE, numbered"
    )
    resume: bool = _run("Continue the run in the work dir.", False)
    overwrite: bool = _run("Start over in the work dir: what a run left there is removed.", False)
    config: Optional[Path] = _run("Run this config file (Python) as it is.", metavar="FILE")
    trust_config: bool = _run(
        "Run a config that is more than plain data: its Python code runs with your rights.", False
    )
    cfg_options: dict[str, Any] = _run(
        "Change the config: --cfg-options model.num_kernels=50.", {}, metavar="KEY=VALUE", shapes=True
    )
    dry_run: bool = _run("Check everything and write the config, but do not train.", False)
    seed: int = _run("Seed of all random numbers.", 0, metavar="N", in_config="randomness.seed", shapes=True)
    logger: str = _run(
        "Where curves go besides the work dir; mlflow: MLFLOW_TRACKING_URI, else mlflow.db in the work dir.",
        "tensorboard", choices=LOGGERS, shapes=True,
    )  # fmt: skip

    nodes: int = _machines("Machines.", 1, metavar="N", least=1)
    node_rank: int = _machines("Number of this machine, from 0.", 0, metavar="N", least=0)
    rdzv: Optional[str] = _machines("Address of the first machine, the same on all.", metavar="HOST:PORT")
    launcher: str = _machines(
        "Who starts the processes: slurm under srun, none for anything else.", "torchrun", choices=LAUNCHERS
    )
    max_restarts: int = _machines("Restart from last.pth this many times when a process dies.", 0, metavar="N", least=0)

    def check(self) -> TrainOptions:
        """Raises UsageError: values out of range, or options that contradict one another: which, and what to do."""
        for name, info in INFO.items():
            value = getattr(self, name)
            if value is None:
                continue
            if info.choices and value not in info.choices and not str(value).startswith(TIMM):
                expected, hint = ", ".join(info.choices), did_you_mean(value, info.choices)
                raise UsageError(f"{flag(name)} {value} is not known", expected=expected, hint=hint)
            if info.least is not None and value < info.least:
                raise UsageError(f"{flag(name)} must be at least {info.least}", found=str(value))
        if self.lr is not None and not self.lr > 0:
            raise UsageError("--lr must be above 0", found=str(self.lr))
        if self.balance >= 1:
            raise UsageError("--balance must be below 1", found=str(self.balance))
        start = " ".join(self.arguments(["pretrained"])) if self.pretrained in ("none", "coco") else ""
        contradictions = {
            f"--mirror and --flip {self.flip}": bool(self.mirror) and self.flip != "swap",
            "--epochs and --schedule": self.epochs is not None and self.schedule is not None,
            f"--backbone-weights and {start}": self.backbone_weights is not None and start != "",
            "--overwrite and --resume": self.overwrite and self.resume,
            "--overwrite and --dry-run": self.overwrite and self.dry_run,
            "--device cuda and --gpus 0": self.device == "cuda" and self.gpus == 0,
            "--early-stop and --val none": self.early_stop > 0 and self.val == "none",
        }
        for both, contradict in contradictions.items():
            if contradict:
                raise UsageError(f"{both} contradict one another", hint="give one of them")
        if self.node_rank >= self.nodes:
            found = f"--node-rank {self.node_rank} --nodes {self.nodes}"
            raise UsageError("--node-rank must be below --nodes", found=found)
        if self.nodes > 1 and self.launcher == "torchrun" and not self.rdzv:
            hint = "give the first machine's address to all of them: --rdzv HOST:29500"
            raise UsageError("several machines need a meeting point", hint=hint)
        return self

    def given(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        defaults = TrainOptions()
        return [name for name in INFO if getattr(self, name) != getattr(defaults, name)]

    def shaping(self) -> list[str]:
        """Names of the options that were given and change what is trained."""
        return [name for name in self.given() if INFO[name].shapes]

    def arguments(self, names: Iterable[str]) -> list[str]:
        """These options as the command line takes them: ``["--epochs", "3", "--no-amp"]``."""
        found: list[str] = []
        for name in names:
            value = getattr(self, name)
            if value is not None and value == INFO[name].no:
                found.append(flag(f"no_{name}"))
            elif isinstance(value, dict):
                found += [part for key, entry in value.items() for part in (flag(name), f"{key}={entry}")]
            elif isinstance(value, bool):
                found.append(flag(name) if value else flag(f"no_{name}"))
            else:
                found += [flag(name), str(value)]
        return found

    def command(self) -> str:
        """The command line that asks for all this."""
        data = [str(self.data)] if self.data is not None else []
        return shlex.join(["seg2knet", "train", *data, *self.arguments(self.given())])


INFO: dict[str, OptionInfo] = {one.name: one.metadata["info"] for one in fields(TrainOptions) if one.metadata}
"""Name of a field -> what there is to know about the option, in the order of the fields."""


def flag(name: str) -> str:
    """``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")


def value_type(name: str) -> type:
    """The type of an option's value."""
    hint = get_type_hints(TrainOptions)[name]
    inner = [kind for kind in get_args(hint) if kind is not type(None)]
    return inner[0] if get_origin(hint) is Union else get_origin(hint) or hint


def default_text(name: str) -> str:
    """What an option is where it is not given; nothing to say: an empty text."""
    value = getattr(TrainOptions(), name)
    if INFO[name].default is not None:
        return str(INFO[name].default)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None or value == {} else str(value)


def image_scale(text: Optional[str]) -> tuple[int, int]:
    """``--img-size`` as (longest side, shortest side), both at most; images keep their proportions.

    Raises UsageError: neither ``640`` nor ``1333x800``.
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


def did_you_mean(name: str, choices: Sequence[str]) -> Optional[str]:
    """A hint that names the nearest choice; ``None`` where none is near."""
    close = difflib.get_close_matches(name, choices, 1, 0.4)
    return f"did you mean {close[0]}?" if close else None
