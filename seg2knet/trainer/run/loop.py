"""mmengine's runner and epoch loop, with what a run needs that is stopped and resumed: the same run, bit for bit.

A checkpoint may stand in the middle of an epoch; resumed from it, the images already seen are left out, and every step
draws its random numbers from seed, step and process alone.
"""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import torch
from mmengine.dist import get_rank, is_distributed
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper, revert_sync_batchnorm
from mmengine.registry import LOOPS, VISUALIZERS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.visualization import Visualizer

from seg2knet._version import __version__
from seg2knet.errors import DataError
from seg2knet.knet import checkpoints
from seg2knet.trainer.openmmlab import optimizer as _optimizer  # noqa: F401  registers the wrappers of optimisers
from seg2knet.trainer.openmmlab import pretrained
from seg2knet.trainer.run import class_rows
from seg2knet.trainer.run.interrupt import Interrupted, StopRequest
from seg2knet.trainer.run.progress import RunView


@LOOPS.register_module()
class ResumableLoop(EpochBasedTrainLoop):
    """Epochs that can be left and entered at any step.

    After :meth:`run`, ``interrupted`` says whether it was asked to stop.
    """

    interrupted: bool = False
    pending_validation: bool = False
    """Set on resuming from the end of an epoch whose evaluation the earlier run did not finish."""

    def run(self) -> torch.nn.Module:
        """Train until the last epoch or until asked to stop."""
        self.runner.call_hook("before_train")
        try:
            if self.pending_validation and self.runner.val_loop is not None:
                self.runner.val_loop.run()
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                if self.judged_after(self._epoch):
                    self.runner.val_loop.run()
        except Interrupted:
            self.interrupted = True
        self.runner.call_hook("after_train")
        return self.runner.model

    def judged_after(self, epoch: int) -> bool:
        """Whether there is an evaluation after this epoch."""
        return self.runner.val_loop is not None and (epoch % self.val_interval == 0 or epoch == self._max_epochs)

    def run_epoch(self) -> None:
        """The rest of the current epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        self.dataloader.sampler.start = done * self.dataloader.batch_size
        if done < len(self.dataloader):
            for idx, data_batch in enumerate(self.dataloader, start=done):
                self.run_iter(idx, data_batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self.runner.call_hook("after_epoch")

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """One step, with random numbers of its own."""
        torch.manual_seed((self.runner.seed * 1_000_003 + self._iter) * 4_099 + get_rank())
        super().run_iter(idx, data_batch)
        self.runner.call_hook("after_step")


@VISUALIZERS.register_module()
class Scalars(Visualizer):
    """mmengine's, which hands figures on, without the image to draw in: half a second of matplotlib's import."""

    def _initialize_fig(self, fig_cfg: Any) -> tuple:
        return None, SimpleNamespace(get_dpi=lambda: 0.0), None


class TrainRunner(Runner):
    """mmengine's runner with quiet logging, a device that is said rather than guessed, and plain checkpoints.

    Set ``device`` and ``stop`` by :meth:`prepare` before making one.
    """

    device: str = "cpu"
    stop: StopRequest
    view: Optional[RunView] = None
    _compiled: bool = False

    @property
    def bare_model(self) -> torch.nn.Module:
        """The model without its wrapper for several processes."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    @classmethod
    def prepare(cls, device: str, stop: StopRequest) -> type[TrainRunner]:
        """A runner class for a device (``cpu``, ``cuda``)."""
        return type("TrainRunner", (cls,), {"device": device, "stop": stop})

    def wrap_model(self, model_wrapper_cfg: Optional[dict], model: torch.nn.Module) -> torch.nn.Module:
        """Move the model to the device; DDP where there are several processes."""
        local = local_gpu()
        model = model.to(f"cuda:{local}" if self.device == "cuda" else "cpu")
        if not is_distributed():
            return revert_sync_batchnorm(model)
        if self.device == "cpu":
            model = revert_sync_batchnorm(model)  # SyncBN has no CPU version
        elif self.cfg.get("sync_bn"):
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        # Heads whose loss is off for a batch (no image has an object) still give a zero that keeps the graph.
        return MMDistributedDataParallel(
            module=model,
            device_ids=[local] if self.device == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=self.cfg.get("gpu", {}).get("gradient_as_bucket_view", True),
            find_unused_parameters=bool(self.cfg.get("find_unused_parameters", False)),
        )

    def _maybe_compile(self, target: str) -> None:
        """torch.compile the network, once. mmengine would take whole steps: optimiser, matching and evaluation too."""
        if self.cfg.get("compile") and not self._compiled:
            self._compiled = True
            model = self.bare_model
            part = "_forward" if hasattr(model, "network") else "extract_feat"  # mmseg's losses are within its heads
            setattr(model, part, torch.compile(getattr(model, part)))

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """mmengine's logger, into the work dir alone."""
        logger = super().build_logger(*args, **kwargs)
        for handler in list(logger.handlers):
            if not isinstance(handler, logging.FileHandler):
                logger.removeHandler(handler)
        return logger

    def _log_env(self, env_cfg: dict) -> None:
        """Versions alone: mmengine looks for compilers and libraries for a second, as ``seg2knet doctor`` can too."""
        self.logger.info(f"seg2knet {__version__}, PyTorch {torch.__version__}")

    def dump_config(self) -> None:
        """Nothing: the config stands in the work dir, with its comments, before the runner is made."""

    @cached_property
    def _config_text(self) -> str:
        """The config as checkpoints hold it. Writing it out takes a second, and it does not change."""
        return str(self.cfg.pretty_text)

    def checkpoint(self, *, optimizer: bool, extra: dict[str, Any]) -> dict[str, Any]:
        """All that a run is at this moment, in plain types that load with ``weights_only=True``; with the `optimizer`'s
        and the schedulers' state training can be resumed from it. `extra` goes into ``meta["seg2knet"]``."""
        found: dict[str, Any] = {
            "meta": {
                "epoch": self.epoch,
                "iter": self.iter,
                "seed": self.seed,
                "cfg": self._config_text,
                "dataset_meta": dict(self.train_dataloader.dataset.metainfo),
                "seg2knet_version": __version__,
                "seg2knet": extra,
            },
            "state_dict": {key: value.cpu() for key, value in self.bare_model.state_dict().items()},
            "message_hub": {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}},
        }
        if optimizer:
            found["optimizer"] = self.optim_wrapper.state_dict()
            found["param_schedulers"] = [scheduler.state_dict() for scheduler in self.param_schedulers or []]
        self.call_hook("before_save_checkpoint", checkpoint=found)
        return found

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Start from the weights of a checkpoint, ours or the authors'; classes of the same name keep their rows."""
        content = checkpoints.read(filename)
        state = pretrained.modern_swin(checkpoints.from_released(content["state_dict"]))
        theirs = class_rows.classes_of(content)
        lines = []
        if theirs is not None:
            ours = self.train_dataloader.dataset.metainfo["classes"]
            state, rows = class_rows.fit(state, self.bare_model.state_dict(), theirs, ours)
            lines = rows.text().splitlines()
        report = checkpoints.load(self.bare_model, state)
        self._has_loaded = True
        if self.view is not None:
            for line in [*report.text().splitlines(), *lines]:
                self.view.say(f"{Path(filename).name}: {line}")

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint of :meth:`checkpoint`."""
        found = checkpoints.read(filename)
        if "optimizer" not in found:
            hint = f"use last.pth, or start a new run with --load-from {filename}"
            raise DataError("this checkpoint has no optimiser state to resume from", file=filename, hint=hint)
        self.call_hook("after_load_checkpoint", checkpoint=found)
        self.bare_model.load_state_dict(found["state_dict"])
        loop = self.train_loop
        loop._epoch, loop._iter = found["meta"]["epoch"], found["meta"]["iter"]
        self.optim_wrapper.load_state_dict(found["optimizer"])
        for scheduler, state in zip(self.param_schedulers or [], found["param_schedulers"]):
            scheduler.load_state_dict(state)
        self.call_hook("after_resume", state=found["meta"]["seg2knet"])
        self._has_loaded = True

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """mmengine's, without its catching of TypeErrors, which hides where they come from."""
        for hook in self._hooks:
            if hasattr(hook, fn_name):
                getattr(hook, fn_name)(self, **kwargs)


def local_gpu() -> int:
    """Number of this process's GPU: its local rank, or 0 where the launcher shows each process its own alone."""
    return int(os.environ.get("LOCAL_RANK", 0)) % max(1, torch.cuda.device_count())


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that there is never half of one under its name."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb") as stream:
        torch.save(checkpoint, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)
