"""Training on the classic stack: mmcv's runner and hooks, with the datasets and models that the config names.

mmdet 2.17's and mmseg 0.18's own train functions know GPUs only; what they do is done here for the CPU as well. One
process of several is this module, run by torch.distributed.run.
"""

from __future__ import annotations

import copy
import datetime
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import torch
import torch.distributed as dist
from mmcv import Config
from mmcv.cnn.utils import revert_sync_batchnorm
from mmcv.parallel import DataContainer, MMDataParallel, MMDistributedDataParallel
from mmcv.runner import (
    HOOKS,
    DistSamplerSeedHook,
    Fp16OptimizerHook,
    Hook,
    TextLoggerHook,
    build_optimizer,
    build_runner,
    init_dist,
    save_checkpoint,
)
from mmcv.utils import build_from_cfg
from mmcv.utils.logging import logger_initialized
from torch import nn
from torch.utils.data import DataLoader

from seg2knet.errors import EnvironmentProblem, Seg2KNetError
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import RECORD
from seg2knet.trainer.run.interrupt import Interrupted, StopRequest
from seg2knet.trainer.run.worker import leave_error

INTERRUPTED = "interrupted.pth"
LATEST = "latest.pth"


def unpack(batch: Any) -> Any:
    """A batch as mmcv's ``collate`` makes it, without its containers, for the CPU."""
    if isinstance(batch, DataContainer):
        return batch.data[0] if batch.cpu_only else unpack(batch.data[0])
    if isinstance(batch, dict):
        return {key: unpack(value) for key, value in batch.items()}
    return type(batch)(map(unpack, batch)) if isinstance(batch, (list, tuple)) else batch


class OneCpu(MMDataParallel):
    """A model on the CPU; mmcv's own wrapper takes GPUs where there are some, and unpacks training batches wrongly."""

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self.module = module
        self.device_ids: list[int] = []

    def scatter(self, inputs: Any, kwargs: Any, device_ids: Any) -> Any:
        return [unpack(inputs)], [unpack(kwargs)]


class SeveralCpus(MMDistributedDataParallel):
    """A model on the CPU, a copy in each process; mmcv's own wrapper unpacks batches for GPUs alone."""

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*unpack(inputs), **unpack(kwargs))

    def train_step(self, *inputs: Any, **kwargs: Any) -> Any:
        return super().train_step(*unpack(inputs), **unpack(kwargs))


def read(config_file: Path) -> Config:
    """A config file as mmcv has it."""
    with stack.silent():
        return Config.fromfile(str(config_file))


def build_model(config: Config, task: str) -> nn.Module:
    """The model of a config; its weights are not initialised yet.

    Raises Seg2KNetError: its settings do not fit together.
    """
    models = stack.package(task, "models")
    build = models.build_segmentor if task == "semantic" else models.build_detector
    try:
        with stack.silent():
            return build(copy.deepcopy(config.model), config.get("train_cfg"), config.get("test_cfg"))
    except (TypeError, KeyError, AssertionError, ValueError) as error:
        found, hint = f"{type(error).__name__}: {error}", "is it of the K-Net checkout? name it: --knet ./K-Net"
        raise Seg2KNetError("the model cannot be built", file=config.filename, found=found, hint=hint) from error


def build_dataset(settings: Any, task: str, test: bool = False) -> Any:
    """A dataset; with ``test``, all images and no annotations."""
    options = {key: value for key, value in copy.deepcopy(settings).items() if key != "samples_per_gpu"}
    return stack.package(task, "datasets").build_dataset(options, {"test_mode": True} if test else None)


def build_loader(dataset: Any, config: Config, task: str, *, images: int, **options: Any) -> DataLoader:
    """Batches of ``images`` images; ``options`` are those of mmdet's and mmseg's ``build_dataloader``."""
    workers = config.data.get("workers_per_gpu", 2)
    if task == "semantic":
        options["persistent_workers"] = workers > 0
    return stack.package(task, "datasets").build_dataloader(dataset, images, workers, **options)


def train(config_file: Path, device: str, resume: Optional[Path] = None, knet: Optional[Path] = None) -> None:
    """Run a config that :func:`seg2knet.trainer.classic.config.fit` made; every process of a run calls this.

    ``resume`` is a checkpoint, ``knet`` the checkout, where it is not the one that the config names.

    Raises Seg2KNetError: the loss became NaN or infinite; EnvironmentProblem: pretrained weights cannot be downloaded.
    """
    record = stack.load_config(config_file, run_imports=False)[RECORD]
    record["knet"] = str(stack.recorded_checkout(record, knet) or "") or None
    config = read(config_file)
    with _processes(device) as world, out_of_place_additions():
        runner, loader = _prepare(config, record, device, world)
        if resume is not None:
            now = dict(runner.meta)
            runner.resume(str(resume), map_location="cpu")
            runner.meta.update(now)  # what the config says now; epoch and best figure stay the checkpoint's
        elif config.get("load_from"):
            runner.load_checkpoint(config.load_from, map_location="cpu")
        with StopRequest() as stop:
            runner.register_hook(Watch(stop), priority="LOWEST")
            try:
                runner.run([loader], [("train", 1)])
            except Interrupted:
                _save_interrupted(runner, len(loader))


@contextmanager
def _processes(device: str) -> Iterator[int]:
    """Meet the other processes that torch.distributed.run started; yields how many there are."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and device == "cpu":
        # the first process evaluates while the others wait for its next step
        dist.init_process_group("gloo", timeout=datetime.timedelta(days=1))
    elif world > 1:
        init_dist("pytorch", backend="nccl")
    try:
        yield world
    finally:
        if world > 1:
            dist.destroy_process_group()


@contextmanager
def out_of_place_additions() -> Iterator[None]:
    """Let ``x += y`` make a new tensor where gradients flow through x.

    Heads of the checkout and of mmseg 0.18 add in place to the result of a ReLU, which torch 1.10 needs unchanged.
    """
    tensor: Any = torch.Tensor
    in_place = tensor.__iadd__

    def add(self: torch.Tensor, other: Any) -> torch.Tensor:
        return self + other if self.requires_grad and torch.is_grad_enabled() else in_place(self, other)

    tensor.__iadd__ = add
    try:
        yield
    finally:
        tensor.__iadd__ = in_place


def _prepare(config: Config, record: dict[str, Any], device: str, world: int) -> tuple[Any, DataLoader]:
    """The runner with all its hooks, and the loader that it runs over."""
    task = record["task"]
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime())
    utils = stack.package(task, "utils")
    name = utils.__name__.split(".")[0]
    logging.getLogger(name).handlers.clear()  # of an earlier run of this process, which wrote to its own file
    logger_initialized.pop(name, None)
    logger = utils.get_root_logger(log_file=f"{config.work_dir}/{stamp}.log", log_level=config.log_level)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            logging.getLogger("py.warnings").addHandler(handler)
        elif isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stdout)
            handler.addFilter(lambda record: "Hooks will be executed" not in str(record.msg))
    stack.package(task, "apis").set_random_seed(config.get("seed") or 0)
    torch.backends.cudnn.benchmark = bool(config.get("cudnn_benchmark"))
    dataset = build_dataset(config.data.train, task)
    images = config.data.samples_per_gpu
    # a last batch of one image breaks batch norms on pooled features
    last = {"drop_last": len(dataset) >= images * world} if task == "semantic" else {}
    loader = build_loader(dataset, config, task, images=images, dist=world > 1, seed=config.get("seed"), **last)
    model: Any = build_model(config, task)
    try:
        with stack.silent():
            model.init_weights()
    except (OSError, RuntimeError) as error:
        found = str(error).partition("\n")[0] or type(error).__name__
        hint = "give a file of it: --backbone-weights PATH, or start from random weights: --no-pretrained"
        raise EnvironmentProblem("the pretrained backbone cannot be downloaded", found=found, hint=hint) from error
    if world == 1 or device == "cpu":
        model = revert_sync_batchnorm(model)  # SyncBN needs several processes on GPUs
    model.CLASSES = dataset.CLASSES
    options = {"broadcast_buffers": False, "find_unused_parameters": config.get("find_unused_parameters", False)}
    if device == "cpu":
        wrapped: Any = OneCpu(model) if world == 1 else SeveralCpus(model, **options)
    elif world == 1:
        wrapped = MMDataParallel(model.cuda(), device_ids=[0])
    else:
        wrapped = MMDistributedDataParallel(model.cuda(), device_ids=[torch.cuda.current_device()], **options)
    settings = config._cfg_dict.to_dict()
    meta = {
        "config": Path(config.filename).read_text(encoding="utf-8"),
        "seed": config.get("seed"),
        "exp_name": "config.py",
        "CLASSES": tuple(record["classes"]),
        RECORD: {**record, "model": settings["model"], "test_pipeline": settings["data"]["test"]["pipeline"]},
    }
    parts = {"model": wrapped, "optimizer": build_optimizer(wrapped, config.optimizer), "work_dir": config.work_dir}
    kind = config.get("runner") or {"type": "EpochBasedRunner", "max_epochs": config.total_epochs}
    runner = build_runner(kind, {**parts, "logger": logger, "meta": meta})
    runner.timestamp = stamp
    _register_hooks(runner, config, task, device, world)
    return runner, loader


def _register_hooks(runner: Any, config: Config, task: str, device: str, world: int) -> None:
    step: Any = dict(config.get("optimizer_config") or {})
    if config.get("fp16"):
        step = Fp16OptimizerHook(**{**step, **config.fp16}, distributed=world > 1)
    log = config.get("log_config") or {"interval": 50, "hooks": [{"type": "TextLoggerHook"}]}
    for logger in log["hooks"]:
        if logger["type"] == "TextLoggerHook":
            logger["type"] = "Seg2KNetLoggerHook"
    runner.register_training_hooks(config.lr_config, step, config.checkpoint_config, log, config.get("momentum_config"))
    by_epoch: bool = runner._max_epochs is not None
    if world > 1 and by_epoch:
        runner.register_hook(DistSamplerSeedHook())
    several = world > 1 and device != "cpu"  # mmdet collects results over GPUs alone
    if config[RECORD].validate and (several or runner.rank == 0):
        core = stack.package(task, "core")
        dataset = build_dataset(config.data.val, task, test=True)
        loader = build_loader(dataset, config, task, images=1, dist=several, shuffle=False)
        hook = (core.DistEvalHook if several else core.EvalHook)(loader, **{**config.evaluation, "by_epoch": by_epoch})
        runner.register_hook(hook, priority="LOW")
    for settings in config.get("custom_hooks") or []:
        options = {key: value for key, value in settings.items() if key != "priority"}
        runner.register_hook(build_from_cfg(options, HOOKS), priority=settings.get("priority", "NORMAL"))


@HOOKS.register_module()
class Seg2KNetLoggerHook(TextLoggerHook):
    """mmcv's lines, with the learning rate that the config says instead of the first group's: the backbone's."""

    def _log_info(self, log_dict: dict[str, Any], runner: Any) -> None:
        if isinstance(log_dict.get("lr"), float):
            whole = runner.optimizer.defaults["lr"]
            rates = (group["lr"] for group in runner.optimizer.param_groups if group.get("initial_lr") == whole)
            log_dict["lr"] = next(rates, log_dict["lr"])
        super()._log_info(log_dict, runner)


class Watch(Hook):
    """Ends the run where its loss is no number any more, or, in all processes at one step, where it is asked to."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def after_train_iter(self, runner: Any) -> None:
        loss = float(runner.outputs["log_vars"]["loss"])
        if not math.isfinite(loss):
            hint = "lower the learning rate (--lr), or look at the data: seg2knet validate"
            raise Seg2KNetError(f"the loss is {loss} at step {runner.iter + 1}", hint=hint)
        if self.stop.agreed():
            raise Interrupted


def _save_interrupted(runner: Any, steps: int) -> None:
    """Write a checkpoint from which the epoch that was interrupted is begun again."""
    if runner.rank == 0:
        folder, by_epoch = Path(runner.work_dir), runner._max_epochs is not None
        meta = {**runner.meta, "epoch": runner.epoch, "iter": runner.epoch * steps if by_epoch else runner.iter + 1}
        save_checkpoint(runner.model, str(folder / INTERRUPTED), optimizer=runner.optimizer, meta=meta)
        (folder / LATEST).unlink(missing_ok=True)
        (folder / LATEST).symlink_to(INTERRUPTED)


def main(config: str, device: str, resume: str, knet: str) -> None:
    """One process of several; the one that started it reports what fails."""
    try:
        stack.enter()
        train(Path(config), device, Path(resume) if resume else None, Path(knet) if knet else None)
    except Exception as error:
        leave_error(error)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
