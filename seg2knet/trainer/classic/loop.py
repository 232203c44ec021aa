"""Training on the classic stack: builds what the config says from mmdet 2's or mmseg 0's registries and runs it."""

from __future__ import annotations

import contextlib
import copy
import csv
import importlib
import logging
import math
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from mmcv import Config
from mmcv.runner import HOOKS, Fp16OptimizerHook, Hook, OptimizerHook, build_optimizer, build_runner, save_checkpoint
from mmcv.runner.hooks.evaluation import EvalHook
from mmcv.utils import build_from_cfg
from torch import nn
from torch.utils.data import DataLoader, Subset

from seg2knet.errors import EnvironmentProblem, Seg2KNetError
from seg2knet.trainer.classic.config import RECORD
from seg2knet.trainer.classic.device import OneProcess, Place, gather, join, leave, same_statistics, wrap
from seg2knet.trainer.classic.results import packed
from seg2knet.trainer.classic.text import literal
from seg2knet.trainer.run.interrupt import Interrupted, StopRequest

INTERRUPTED = "interrupted.pth"
LATEST = "latest.pth"


class Stopped(Seg2KNetError):
    """Training was interrupted; what it had learnt is saved."""


class Diverged(Seg2KNetError):
    """The loss is no number any more."""


class Package:
    """mmdet 2 or mmseg 0, whichever a task needs: the functions that are called alike in both.

    Args:
        task: ``instance``, ``panoptic`` or ``semantic``.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.name = "mmseg" if task == "semantic" else "mmdet"
        self.datasets = importlib.import_module(f"{self.name}.datasets")
        self.models = importlib.import_module(f"{self.name}.models")
        self.apis = importlib.import_module(f"{self.name}.apis")
        self.utils = importlib.import_module(f"{self.name}.utils")

    def model(self, config: Config) -> nn.Module:
        """The model, untrained: its weights are not initialised yet."""
        build = self.models.build_segmentor if self.task == "semantic" else self.models.build_detector
        try:
            return build(
                copy.deepcopy(config.model), train_cfg=config.get("train_cfg"), test_cfg=config.get("test_cfg")
            )
        except (TypeError, KeyError, AssertionError, ValueError) as error:
            raise Seg2KNetError(
                "the model cannot be built from this config",
                file=config.filename,
                found=f"{type(error).__name__}: {error}",
                hint="if a module of the K-Net checkout is missing, name it: --knet ./K-Net",
            ) from error

    def dataset(self, config: Any, *, test: bool = False) -> Any:
        """A dataset; with ``test``, all images and no annotations."""
        settings = copy.deepcopy(config)
        settings.pop("samples_per_gpu", None)
        return self.datasets.build_dataset(settings, {"test_mode": True} if test else None)

    def loader(self, dataset: Any, config: Config, *, train: bool, place: Place) -> DataLoader:
        """Batches of a dataset; for evaluation, one by one, in order, each process its share."""
        workers = config.data.get("workers_per_gpu", 2)
        options: dict[str, Any] = {}
        if self.task == "semantic":
            options = {"pin_memory": place.device.type == "cuda", "persistent_workers": workers > 0}
        if not train:
            share = Subset(dataset, range(place.rank, len(dataset), place.world))
            return self.datasets.build_dataloader(share, 1, workers, dist=False, shuffle=False, **options)
        if self.task == "semantic":  # a last batch of one image breaks batch norms on pooled features
            options["drop_last"] = len(dataset) >= config.data.samples_per_gpu * place.world
        return self.datasets.build_dataloader(
            dataset,
            config.data.samples_per_gpu,
            workers,
            dist=place.world > 1,
            seed=config.get("seed"),
            **options,
        )


def train(config_file: Path, device: str, resume: Optional[Path] = None) -> None:
    """Run a config that :func:`seg2knet.trainer.classic.config.fit` wrote; every process of a run calls this.

    Args:
        config_file: the config.
        device: ``cuda`` or ``cpu``.
        resume: a checkpoint to go on from.

    Raises:
        Stopped: it was interrupted; the checkpoint to go on from is written.
        Diverged: the loss became NaN or infinite.
        EnvironmentProblem: pretrained weights cannot be had.
    """
    config = Config.fromfile(str(config_file))
    place = join(device)
    try:
        runner, loaders = _prepare(config, place)
        if resume is not None:
            now = dict(runner.meta)
            runner.resume(str(resume), map_location="cpu")
            runner.meta.update(now)  # what the config says now; epoch and best figure stay the checkpoint's
        elif config.get("load_from"):
            runner.load_checkpoint(config.load_from, map_location="cpu")
        with StopRequest() as stop:
            runner.register_hook(Interrupt(stop), priority="LOWEST")
            try:
                runner.run(loaders, config.workflow)
            except Interrupted:
                raise _save_where_it_stands(runner, len(loaders[0]), place, config) from None
        if place.first:
            _say_the_end(runner)
    finally:
        leave(place)


def _prepare(config: Config, place: Place) -> tuple[Any, list[DataLoader]]:
    """The runner with all its hooks, and the loaders that it runs over."""
    record = config[RECORD]
    package = Package(record.task)
    work_dir = Path(config.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime())
    logger = _logger(package, work_dir / f"{stamp}.log", config)
    package.apis.set_random_seed(config.get("seed") or 0)
    if config.get("cudnn_benchmark"):
        torch.backends.cudnn.benchmark = True
    dataset = package.dataset(config.data.train)
    model = _model(package, config, place, dataset)
    loaders = [package.loader(dataset, config, train=True, place=place)]
    config.workflow = [("train", 1)]
    wrapped = wrap(model, place, config.get("find_unused_parameters", False))
    meta = {
        "config": config_text(config),
        "seed": config.get("seed"),
        "exp_name": "config.py",
        "CLASSES": tuple(record.classes),
        RECORD: dict(record),
    }
    runner = build_runner(
        config.get("runner") or {"type": "EpochBasedRunner", "max_epochs": config.total_epochs},
        default_args={
            "model": wrapped,
            "optimizer": build_optimizer(wrapped, config.optimizer),
            "work_dir": str(work_dir),
            "logger": logger,
            "meta": meta,
        },
    )
    runner.timestamp = stamp
    _register_hooks(runner, package, config, place, len(loaders[0]))
    return runner, loaders


def config_text(config: Config) -> str:
    """The whole config as text that mmcv reads back. (mmcv's own breaks on a quote in a class's name.)"""
    return "\n".join(f"{key} = {literal(value)}" for key, value in config._cfg_dict.to_dict().items()) + "\n"


def _logger(package: Package, file: Path, config: Config) -> logging.Logger:
    """The package's logger: everything into the file, warnings and worse on the screen."""
    logger = package.utils.get_root_logger(log_file=str(file), log_level=config.get("log_level", "INFO"))
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(logging.WARNING)
        elif isinstance(handler, logging.FileHandler):
            logging.getLogger("py.warnings").addHandler(handler)
    return logger


def _model(package: Package, config: Config, place: Place, dataset: Any) -> nn.Module:
    model = package.model(config)
    try:
        init: Any = model.init_weights
        init()
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise EnvironmentProblem(
            "the pretrained backbone cannot be had",
            file=config.filename,
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="give a file of it: --backbone-weights PATH, or start from random weights: --no-pretrained",
        ) from error
    model.CLASSES = dataset.CLASSES
    if place.world == 1 or place.device.type == "cpu":
        from mmcv.cnn.utils import revert_sync_batchnorm

        model = revert_sync_batchnorm(model)  # SyncBN needs several processes on GPUs
        model.CLASSES = dataset.CLASSES
    return model


def _register_hooks(runner: Any, package: Package, config: Config, place: Place, steps: int) -> None:
    settings = dict(config.get("optimizer_config") or {})
    if config.get("fp16"):
        step: Any = Fp16OptimizerHook(**{**settings, **config.fp16}, distributed=place.world > 1)
    else:
        step = settings if "type" in settings else OptimizerHook(**settings)
    runner.register_training_hooks(
        config.lr_config, step, config.checkpoint_config, config.log_config, config.get("momentum_config")
    )
    by_epoch = runner._max_epochs is not None
    if place.world > 1 and by_epoch:
        from mmcv.runner import DistSamplerSeedHook

        runner.register_hook(DistSamplerSeedHook())
    if config[RECORD].get("validate"):
        evaluated = package.dataset(config.data.val, test=True)
        loader = package.loader(evaluated, config, train=False, place=place)
        options = dict(config.evaluation, by_epoch=by_epoch)
        if package.task == "semantic":
            options.pop("pre_eval", None)
        runner.register_hook(Evaluation(loader, package, place, **options), priority="LOW")
    for settings in config.get("custom_hooks") or []:
        hook = dict(settings)
        priority = hook.pop("priority", "NORMAL")
        runner.register_hook(build_from_cfg(hook, HOOKS), priority=priority)
    if place.first:
        interval = (config.get("log_config") or {}).get("interval") or 50
        runner.register_hook(Progress(interval, steps), priority="BELOW_NORMAL")


def answers(model: nn.Module, loader: DataLoader, task: str, place: Place) -> Optional[list]:
    """What the model answers for every image of a loader's dataset, in its order; ``None`` but in the first process.

    Masks come as run-length codes; semantic answers as what the dataset's ``pre_eval`` counts.
    """
    model.eval()
    same_statistics(model, place)
    bare: Any = getattr(model, "module", model)
    inner = OneProcess(bare, place.device)
    share: Any = loader.dataset
    part: list = []
    with torch.no_grad():
        for number, batch in enumerate(loader):
            if task == "semantic":
                result = inner(return_loss=False, **batch)
                part += share.dataset.pre_eval(result, share.indices[number])
            else:
                part += [packed(each) for each in inner(return_loss=False, rescale=True, **batch)]
    parts = gather(part, place)
    if not place.first:
        return None
    total = sum(map(len, parts))
    return [parts[index % place.world][index // place.world] for index in range(total)]


class Evaluation(EvalHook):
    """Evaluates while training, in all processes, and keeps the best checkpoint."""

    def __init__(self, loader: DataLoader, package: Package, place: Place, **options: Any) -> None:
        super().__init__(loader, **options)
        self.package = package
        self.place = place

    def _do_evaluate(self, runner: Any) -> None:
        results = answers(runner.model, self.dataloader, self.package.task, self.place)
        if results is not None:
            runner.log_buffer.output["eval_iter_num"] = len(self.dataloader)
            score = self.evaluate(runner, results)
            if self.save_best:
                self._save_ckpt(runner, score)
        runner.model.train()

    def evaluate(self, runner: Any, results: list) -> Optional[float]:
        """Figures into the log, ``results.csv`` and on the screen; the answer is the one that decides."""
        dataset: Any = self.dataloader.dataset
        found = dataset.dataset.evaluate(results, logger=runner.logger, **self.eval_kwargs)
        for name, value in found.items():
            runner.log_buffer.output[name] = value
        runner.log_buffer.ready = True
        shown = {name: value for name, value in found.items() if "." not in name}
        unit = "epoch" if self.by_epoch else "step"
        count = (runner.epoch if self.by_epoch else runner.iter) + 1
        print(f"{unit} {count}: " + "  ".join(f"{name} {value:.4g}" for name, value in shown.items()), flush=True)
        _append_row(Path(runner.work_dir) / "results.csv", {unit: count, **shown})
        return found.get(self.save_best) if self.save_best else None


def _append_row(file: Path, row: Mapping[str, Any]) -> None:
    known = file.is_file()
    with open(file, "a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if not known:
            writer.writeheader()
        writer.writerow(row)


class Interrupt(Hook):
    """Ends the run in all processes at the same step when it was asked to stop."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def after_train_iter(self, runner: Any) -> None:
        if self.stop.agreed():
            raise Interrupted


class Progress(Hook):
    """A line now and then: where the run is, the loss, how long it will take."""

    def __init__(self, interval: int, steps: int) -> None:
        self.interval = interval
        self.steps = steps
        self.losses: list[float] = []
        self.since = time.monotonic()

    def before_train_epoch(self, runner: Any) -> None:
        self.losses, self.since = [], time.monotonic()

    def after_train_iter(self, runner: Any) -> None:
        loss = float(runner.outputs["log_vars"]["loss"])
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at step {runner.iter + 1}",
                file=Path(runner.work_dir) / "config.py",
                hint="lower the learning rate (--lr), or look at the data: seg2knet validate",
            )
        self.losses.append(loss)
        done = (runner.inner_iter if runner.max_epochs else runner.iter) + 1
        if done % self.interval and done != self.steps:
            return
        pace = (time.monotonic() - self.since) / len(self.losses)
        left = pace * (runner.max_iters - runner.iter - 1)
        epochs = f"epoch {runner.epoch + 1}/{runner.max_epochs}  " if runner.max_epochs else ""
        total = self.steps if runner.max_epochs else runner.max_iters
        rate = runner.current_lr()
        print(
            f"{epochs}step {done}/{total}  loss {sum(self.losses) / len(self.losses):.4f}"
            f"  lr {(rate[0] if isinstance(rate, list) else next(iter(rate.values()))[0]):.3g}"
            f"  {pace:.2f} s/step  {_duration(left)} left",
            flush=True,
        )
        self.losses, self.since = [], time.monotonic()


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{int(seconds % 60):02d}s"


def _save_where_it_stands(runner: Any, steps: int, place: Place, config: Config) -> Stopped:
    """Write a checkpoint from which the epoch that was broken off is begun again."""
    folder = Path(runner.work_dir)
    by_epoch = runner._max_epochs is not None
    done = runner.epoch * steps if by_epoch else runner.iter + 1
    if place.first:
        meta = {**(runner.meta or {}), "epoch": runner.epoch, "iter": done}
        save_checkpoint(runner.model, str(folder / INTERRUPTED), optimizer=runner.optimizer, meta=meta)
        with contextlib.suppress(FileNotFoundError):
            (folder / LATEST).unlink()
        (folder / LATEST).symlink_to(INTERRUPTED)
    where = f"epoch {runner.epoch + 1}" if by_epoch else f"step {runner.iter + 1}"
    return Stopped(
        f"training was interrupted in {where}; the model is saved",
        file=folder / INTERRUPTED,
        hint=f"go on with: seg2knet train --stack classic --config {config.filename} --resume",
    )


def _say_the_end(runner: Any) -> None:
    folder = Path(runner.work_dir)
    best = (runner.meta.get("hook_msgs") or {}).get("best_ckpt")
    print(f"best checkpoint: {best}" if best else f"last checkpoint: {(folder / LATEST).resolve()}")
    print(f"everything is in {folder}")
