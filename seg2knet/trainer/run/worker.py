"""One training process: loads the config, makes the runner, trains, and (the first process) sums up.

``python -m seg2knet.trainer.run.worker CONFIG`` is what the launcher starts; :func:`run` is the same in this process.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from seg2knet.errors import EnvironmentProblem, Seg2KNetError
from seg2knet.knet import checkpoints
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.run.records import BEST, LAST, PAGE, SAMPLES, SUMMARY

ERRORS = "SEG2KNET_ERRORS"
"""Environment variable: the folder where a process that fails leaves why."""
PATIENCE = timedelta(hours=6)
"""How long processes wait for one another: longer than the first one's evaluation, NCCL's ten minutes are not."""
PACKAGE = str(Path(__file__).resolve().parents[2])


def run(config_file: Path, device: str, resume: bool = False) -> None:
    """Train by a config, in this process, as one of ``WORLD_SIZE`` that the environment names.

    The first process leaves a ``SUMMARY`` in the work dir: fields of ``session.TrainResult``.
    """
    openmmlab.load()
    import cv2
    from mmengine.dist import is_main_process

    from seg2knet.trainer.config.files import read_config
    from seg2knet.trainer.run.failures import explained
    from seg2knet.trainer.run.interrupt import StopRequest
    from seg2knet.trainer.run.loop import TrainRunner

    cv2.setNumThreads(0)  # the loader's processes are the parallelism, and a fork after OpenCV's threads hangs
    _meet(device)
    config = read_config(config_file)
    _fit_to_machine(config, device, resume)
    with StopRequest() as stop, explained(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, theirs to fix
        runner = TrainRunner.prepare(device, stop).from_cfg(config)
        try:
            keeper = _keeper(runner, config)
            for logger in (runner.logger, logging.getLogger("seg2knet")):
                logger.addHandler(_Shown(keeper.view))
            runner.train()
            test = {} if runner.train_loop.interrupted else _judge_test_split(runner, config)
            if is_main_process():
                _sum_up(runner, config, keeper, device, test)
        finally:
            _close(runner)


def _meet(device: str) -> None:
    """Join the other processes; behind it the config that the first one wrote is there for all."""
    from seg2knet.trainer.run.loop import local_gpu

    if device == "cuda":
        torch.cuda.set_device(local_gpu())
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
        dist.barrier()


def _fit_to_machine(config: Any, device: str, resume: bool) -> None:
    """What a config cannot know: how many processes share a batch, the device, the precision that it has."""
    from seg2knet.trainer.run.hooks import CHECK_STEPS

    processes = int(os.environ.get("WORLD_SIZE", 1))
    total = config.get("total_batch_size", config.train_dataloader.batch_size)
    if total % processes:
        hint = f"--batch-size {-(-total // processes) * processes}"
        raise Seg2KNetError(f"total_batch_size {total} cannot be shared out among {processes} processes", hint=hint)
    config.train_dataloader.batch_size = total // processes
    config.launcher = "pytorch" if processes > 1 else "none"
    start_method = "fork" if sys.platform == "linux" else "spawn"
    several = {"mp_start_method": start_method, "opencv_num_threads": 0}
    config.env_cfg = {"cudnn_benchmark": False, "mp_cfg": several}
    config.resume = resume
    if resume:
        config.load_from = str(Path(config.work_dir) / "last.pth")
    wrapper, gpu = config.optim_wrapper, config.get("gpu", {})
    if wrapper.type == "AmpOptimWrapper" and wrapper.get("dtype") == "auto":
        # Below compute capability 8.0 a GPU emulates bfloat16, slowly.
        bf16 = device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        wrapper.dtype = "bfloat16" if bf16 else "float16"
        if bf16:
            wrapper.type, wrapper.device_type = "Bfloat16Wrapper", device
            wrapper.pop("dtype")
    ours = {"OptimWrapper": "Float32Wrapper", "AmpOptimWrapper": "Float16Wrapper"}
    wrapper.type = ours.get(wrapper.type, wrapper.type)
    wrapper.setdefault("constructor", "FewGroups")
    if (device == "cpu" or gpu.get("fused", True)) and wrapper.optimizer.type in ("AdamW", "Adam", "SGD"):
        wrapper.optimizer.setdefault("fused", True)  # one pass over the memory instead of a dozen
    if device == "cuda":
        config.train_dataloader.setdefault("pin_memory", gpu.get("pin_memory", True))
        torch.backends.cuda.matmul.allow_tf32 = gpu.get("tf32", False)
    logger = {"type": "LoggerHook", "interval": CHECK_STEPS}
    config.default_hooks = {"checkpoint": None, "logger": logger, "runtime_info": {"type": "SparseRuntimeInfo"}}


def _keeper(runner: Any, config: Any) -> Any:
    """The hook that keeps checkpoints and results; its view in the first process alone."""
    from mmengine.dist import is_main_process

    from seg2knet.trainer.openmmlab.metrics import HEADLINE
    from seg2knet.trainer.run.hooks import Keeper
    from seg2knet.trainer.run.progress import RunView

    loop, work_dir = runner.train_loop, Path(config.work_dir)
    if is_main_process():
        runner.view = RunView(HEADLINE[config.task], loop.max_epochs, len(loop.dataloader), work_dir)
    about = {"task": config.task, "classes": list(config.classes), "format": 1}
    batch, early_stop = config.get("total_batch_size", 1), config.get("early_stop", 0)
    keeper = Keeper(work_dir, config.task, runner.view, batch, early_stop, about)
    runner.register_hook(keeper, priority="VERY_LOW")
    return keeper


def _judge_test_split(runner: Any, config: Any) -> dict[str, float]:
    """Figures of the best checkpoint on the test split, where there is one beside val."""
    from mmengine.dist import barrier
    from mmengine.hooks import EMAHook

    if config.get("test_dataloader") is None or config.test_dataloader == config.val_dataloader:
        return {}
    barrier()
    runner.bare_model.load_state_dict(checkpoints.read(Path(config.work_dir) / BEST)["state_dict"])
    runner._hooks = [hook for hook in runner._hooks if not isinstance(hook, EMAHook)]  # the best weights are in already
    runner.load_or_resume = lambda: None
    return {name: float(value) for name, value in runner.test().items()}


def _sum_up(runner: Any, config: Any, keeper: Any, device: str, test: dict[str, float]) -> None:
    """Write the summary, predictions beside truth, and what ``seg2knet test`` leaves of the best epoch."""
    from seg2knet.trainer.evaluate import judging
    from seg2knet.trainer.evaluate.evaluation import Evaluation, sample_sheet
    from seg2knet.trainer.predict.inference import Segmenter

    work_dir, interrupted = Path(config.work_dir), runner.train_loop.interrupted
    best, samples, page = (work_dir / name for name in (BEST, SAMPLES, PAGE))
    summary = {"epochs": runner.epoch, "interrupted": interrupted, "last": str(work_dir / LAST), "test": test}
    if best.is_file():
        about = checkpoints.read(best)["meta"]["seg2knet"]
        summary.update(best=str(best), figures=about["figures"], classes=about["report"])
    if best.is_file() and not interrupted:
        data = runner.val_dataloader.dataset
        sample_sheet(Segmenter(best, device), data, samples)
        summary["samples"] = str(samples)
        instance = config.task == "instance"
        evaluation = Evaluation(
            best, Path(config.data_root), config.get("val", "val"), config.task, len(data), about["figures"],
            about["report"], keeper.best_predictions,
        )  # fmt: skip
        if keeper.best_predictions or not instance:  # else the best epoch was before the run was resumed
            try:
                truth = (Path(data.ann_file), Path(data.data_prefix["img"])) if instance else None
                page.write_text(judging.report(evaluation, truth).html, encoding="utf-8")
                summary["page"] = str(page)
            except EnvironmentProblem as problem:
                keeper.view.say(f"no page of the best epoch: {problem}")
    (work_dir / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n")


def _close(runner: Any) -> None:
    """Let go of loader processes and log files, so that another run can follow in this process."""
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        loader: Any = getattr(loop, "dataloader", None)
        iterator = getattr(loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
            loader._iterator = None
    runner.visualizer.close()
    for logger in (runner.logger, logging.getLogger("seg2knet")):
        for handler in list(logger.handlers):
            if logger is runner.logger or isinstance(handler, _Shown):
                handler.close()
                logger.removeHandler(handler)
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _Shown(logging.Handler):
    """Shows warnings that this package logs, through mmengine's logger too, once each."""

    def __init__(self, view: Any) -> None:
        super().__init__(logging.WARNING)
        self.view = view
        self.seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        ours = record.name.startswith("seg2knet") or record.pathname.startswith(PACKAGE)
        if ours and self.view is not None and text not in self.seen:
            self.seen.add(text)
            self.view.say(f"warning: {text}")


def main() -> None:
    """What the launcher starts. A failure is left where the launcher looks for it."""
    parser = argparse.ArgumentParser(prog="seg2knet.trainer.run.worker")
    parser.add_argument("config", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    try:
        resume = given.resume or (restarted and (given.config.parent / "last.pth").is_file())
        run(given.config, given.device, resume)
    except BaseException as error:
        leave_error(error)
        sys.exit(1)


def leave_error(error: BaseException) -> None:
    """Write why this process failed, for the launcher."""
    folder = os.environ.get(ERRORS)
    if folder is None:
        traceback.print_exception(type(error), error, error.__traceback__)
        return
    rank = os.environ.get("RANK", "0")
    known = isinstance(error, Seg2KNetError)
    short = str(error) if known else f"{type(error).__name__}: {error}"
    text = short if known else "".join(traceback.format_exception(type(error), error, error.__traceback__))
    content = {"rank": int(rank), "short": short, "text": text, "known": known}
    Path(folder, f"error-{rank}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
