"""What happens beside the training steps: checkpoints, results, the view, stopping. One mmengine hook."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.dist import all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.registry import HOOKS

from seg2knet.errors import Seg2KNetError
from seg2knet.trainer.openmmlab.metrics import HEADLINE
from seg2knet.trainer.openmmlab.optimizer import CHECK_STEPS
from seg2knet.trainer.run import records
from seg2knet.trainer.run.batches import draw_batches
from seg2knet.trainer.run.interrupt import Interrupted
from seg2knet.trainer.run.loop import save
from seg2knet.trainer.run.progress import RunView, duration
from seg2knet.trainer.run.records import FIGURES, Row, best_row, rounded

SAVE_SECONDS = 900.0
"""Within a long epoch a checkpoint is written this often."""


@HOOKS.register_module()
class SparseRuntimeInfo(RuntimeInfoHook):
    """mmengine's, which copies every loss off the GPU; here not at each step, but at those that are logged."""

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        if self.every_n_train_iters(runner, CHECK_STEPS):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)


class Keeper(Hook):
    """Keeps what a run must not lose.

    ``last.pth`` after every epoch, every quarter of an hour and when asked to stop; ``best.pth`` when the figure that
    counts is the best so far; ``results.csv`` a row an epoch; ``batches.jpg`` before the first step.
    The `task` decides which figure counts; the first process alone has a `view`; `batch`: images a step over all
    processes; `about`: what a checkpoint tells of itself beside its weights.
    """

    priority = "VERY_LOW"

    def __init__(
        self, work_dir: Path, task: str, view: Optional[RunView], batch: int, early_stop: int, about: Mapping[str, Any]
    ) -> None:
        self.work_dir, self.figure, self.view, self.batch = work_dir, HEADLINE[task], view, batch
        self.early_stop, self.about = early_stop, dict(about)
        self.rows: list[Row] = []
        self.best_predictions: list[dict[str, Any]] = []
        self._lr = 0.0
        self._losses: dict[str, Any] = {}
        self._names: list[str] = []  # of the losses, in the order of their sums over the epoch
        self._sums = torch.zeros((), dtype=torch.float64)
        self._steps, self._seconds = 0, 0.0
        self._began = self._saved = time.monotonic()

    def before_train(self, runner: Any) -> None:
        """Show the run, with the best figure of the run that this one resumes."""
        best = best_row(self.rows, self.figure)
        if self.view is not None:
            if runner.iter == 0:
                draw_batches(runner.train_dataloader, self.work_dir / records.BATCHES)
            if runner.device == "cpu" and not is_distributed():
                self._estimate(runner, self.view)
            self.view.start(runner.iter, best[self.figure] if best else None)
        self._saved = time.monotonic()

    def _estimate(self, runner: Any, view: RunView) -> None:
        """Say how long the run will take, by a forward and a backward pass of a copy of the model: the second one, as
        the first prepares kernels and touches memory, which no later one does."""
        dataset, loader = runner.train_dataloader.dataset, runner.train_dataloader
        model = copy.deepcopy(runner.model).train()
        batch = loader.collate_fn([dataset[index % len(dataset)] for index in range(loader.batch_size)])
        for _ in range(2):
            began = time.monotonic()
            with runner.optim_wrapper.optim_context(model):
                losses = model(**model.data_preprocessor(batch, True), mode="loss")
            model.parse_losses(losses)[0].backward()
        seconds = time.monotonic() - began
        left = runner.train_loop.max_iters - runner.iter
        quicker = "fewer --epochs, a smaller --img-size, a GPU"
        view.say(f"about {duration(seconds * left)} for {left} steps, evaluations not counted; quicker: {quicker}")

    def after_resume(self, runner: Any, state: Mapping[str, Any]) -> None:
        """Called with what :meth:`_state` put into the checkpoint."""
        epoch = runner.epoch
        self.rows = [row for row in records.read_rows(self.work_dir / records.RESULTS) if row["epoch"] <= epoch]
        self._names = list(state.get("losses", ["loss"]))
        self._sums = torch.tensor(list(state.get("losses", {"loss": state["loss"]}).values()), dtype=torch.float64)
        self._steps, self._seconds = state["steps"], state["seconds"]
        at_end = epoch > 0 and runner.iter == epoch * len(runner.train_dataloader)
        judged = any(row["epoch"] == epoch and self.figure in row for row in self.rows)
        runner.train_loop.pending_validation = at_end and not judged and runner.train_loop.judged_after(epoch)
        if runner.train_loop.pending_validation:
            self.rows = [row for row in self.rows if row["epoch"] < epoch] + [state["row"]]

    def before_train_epoch(self, runner: Any) -> None:
        self._began = time.monotonic()
        if runner.iter == runner.epoch * len(runner.train_dataloader):
            self._sums, self._steps, self._seconds = torch.zeros((), dtype=torch.float64), 0, 0.0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._lr = max(group["lr"] for group in runner.optim_wrapper.param_groups)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        assert outputs is not None
        self._names = [name for name in outputs if "loss" in name]
        losses = torch.stack([outputs[name].detach() for name in self._names]).double()
        self._sums = self._sums.to(losses.device) + losses
        self._steps += 1
        self._losses = outputs
        if self._steps % CHECK_STEPS == 0:
            self._check_loss(runner.epoch + 1, batch_idx + 1)
        if self.view is not None and self.view.wants_step():
            self.view.step(runner.epoch + 1, batch_idx + 1, float(outputs["loss"]), memory())

    def _check_loss(self, epoch: int, step: int) -> None:
        if math.isfinite(float(self._sums.sum())):
            return
        names = [name for name, value in self._losses.items() if not torch.isfinite(torch.as_tensor(value)).all()]
        message = f"the loss is no longer a number, at epoch {epoch}, within {CHECK_STEPS} steps before step {step}"
        found = f"{', '.join(names) or 'a loss before the last one'} not finite, learning rate {self._lr:g}"
        hint = f"a new run with a lower learning rate: --lr {self._lr / 4:.2g}, or with --no-amp"
        raise Seg2KNetError(message, found=found, expected="finite losses", hint=hint)

    def after_step(self, runner: Any) -> None:
        """After a step is over and counted: save, and stop where that was asked for."""
        if runner.stop.agreed():
            self._save_last(runner)
            raise Interrupted
        if is_main_process() and time.monotonic() - self._saved > SAVE_SECONDS:
            self._save_last(runner)

    def after_epoch(self, runner: Any) -> None:
        """After an epoch is over and counted."""
        self._seconds += time.monotonic() - self._began
        means = (self._sums / max(self._steps, 1)).to(runner.device)
        all_reduce(means, op="mean")
        losses = dict(zip(self._names, map(rounded, means.tolist())))
        self.rows.append(
            {
                "epoch": runner.epoch,
                "iteration": runner.iter,
                "loss": losses.pop("loss"),
                "lr": rounded(self._lr),
                "seconds": rounded(self._seconds),
                "images_per_second": rounded(self._steps * self.batch / max(self._seconds, 1e-9)),
                "memory_mb": rounded(memory()),
                **losses,
            }
        )
        self._save_last(runner)
        if not runner.train_loop.judged_after(runner.epoch):
            self._close_epoch(runner, False)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.view is not None:
            self.view.judging(runner.epoch, batch_idx + 1, len(runner.val_dataloader))
        if runner.stop.agreed():
            raise Interrupted  # last.pth was written before the evaluation began; resuming, it is done first

    def after_val_epoch(self, runner: Any, metrics: Optional[dict[str, float]] = None) -> None:
        figures = {name: rounded(value) for name, value in (metrics or {}).items()}
        before = best_row(self.rows[:-1], self.figure)
        self.rows[-1].update(figures)
        is_best = before is None or figures.get(self.figure, 0.0) > before[self.figure]
        if is_best and is_main_process():
            metric = runner.val_evaluator.metrics[0]
            self.best_predictions = metric.predictions
            extra = {**self._state(), "figures": figures, "report": metric.report, "score_thr": metric.best_score()}
            save(runner.checkpoint(optimizer=False, extra=extra), self.work_dir / records.BEST)
        self._close_epoch(runner, is_best)
        best = best_row(self.rows, self.figure)
        if self.early_stop and best is not None and runner.epoch - best["epoch"] >= self.early_stop:
            runner.train_loop.stop_training = True
            if self.view is not None:
                self.view.say(f"no better {self.figure} for {self.early_stop} epochs: stopping early")

    def after_train(self, runner: Any) -> None:
        if self.view is not None:
            self.view.stop()

    def _close_epoch(self, runner: Any, is_best: bool) -> None:
        if not is_main_process():
            return
        records.write_rows(self.work_dir / records.RESULTS, self.rows)
        records.draw_curves(self.rows, self.work_dir / records.CURVES, self.figure)
        if self.view is not None:
            self.view.epoch(self.rows[-1], FIGURES[self.figure], is_best)

    def _save_last(self, runner: Any) -> None:
        if self._losses:
            self._check_loss(runner.epoch + 1, self._steps)
        if is_main_process():
            save(runner.checkpoint(optimizer=True, extra=self._state()), self.work_dir / records.LAST)
        self._saved = time.monotonic()

    def _state(self) -> dict[str, Any]:
        losses = dict(zip(self._names, self._sums.reshape(-1).tolist()))
        return {
            **self.about,
            "losses": losses,
            "loss": losses.get("loss", 0.0),
            "steps": self._steps,
            "seconds": self._seconds + (time.monotonic() - self._began if self._steps else 0.0),
            "row": self.rows[-1] if self.rows else None,
        }


def memory() -> float:
    """MB at most so far: on the GPU where there is one, else of this process; 0 on Windows, which does not say."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
