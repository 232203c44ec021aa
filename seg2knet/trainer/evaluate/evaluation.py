"""Judging a checkpoint on a data set, and the sheet of predictions beside truth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from seg2knet.dataset.folder import DataFolder, read_folder
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.evaluate.submission import Submission
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.predict.inference import Prediction, Segmenter, read_picture, to_prediction
from seg2knet.trainer.run.failures import explained

SHOWN_SCORE = 0.3
"""Predictions below this are not drawn."""

Ticked = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """How good a checkpoint is.

    Attributes:
        checkpoint, data, split: what was judged on what.
        task: ``instance``, ``panoptic`` or ``semantic``.
        images: how many pictures.
        figures: ``AP``, ``AP50``... or ``PQ``... or ``mIoU``..., 0..1; empty where the split has no truth.
        classes: figures by class.
        predictions: instance: COCO results.
    """

    checkpoint: Path
    data: Path
    split: str
    task: str
    images: int
    figures: dict[str, float]
    classes: list[dict[str, Any]]
    predictions: list[dict[str, Any]] = field(repr=False, default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; without the predictions."""
        return {
            "checkpoint": str(self.checkpoint),
            "data": str(self.data),
            "split": self.split,
            "task": self.task,
            "images": self.images,
            "figures": self.figures,
            "classes": self.classes,
        }


def evaluate(
    checkpoint: Union[str, Path],
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    show_dir: Optional[Path] = None,
    submission: Optional[Path] = None,
    device: Optional[str] = None,
    workers: int = 2,
    ticked: Optional[Ticked] = None,
    model: Optional[Segmenter] = None,
) -> Evaluation:
    """Judge a checkpoint.

    Args:
        checkpoint: of a run.
        data: a data set's folder; by default the one it was trained on.
        split: ``val`` by default, ``test`` where there is no val.
        show_dir: where to leave a picture of prediction beside truth for each image.
        submission: a zip to write that an evaluation server takes; then no figures are made.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        workers: processes that load pictures.
        ticked: called with pictures done and in all.
        model: the checkpoint's model where it is loaded already.

    Raises:
        DataError: the checkpoint or the data cannot be used, or do not share their classes.
        UsageError: there is no such split.
    """
    model = model or Segmenter(checkpoint, device)
    folder, chosen, loader_config, metric_config = _what_on(model, data, split, workers)
    from mmengine.registry import METRICS
    from mmengine.runner import Runner

    with openmmlab.silence():
        loader = Runner.build_dataloader(loader_config, seed=0)
        metric = METRICS.build(metric_config)
    metric.dataset_meta = loader.dataset.metainfo
    total = len(loader.dataset)
    if total == 0:
        raise DataError("the split has no pictures", file=folder.root, place=chosen)
    has_truth = folder.splits[chosen].has_truth
    sink = _sink(model, submission, folder, chosen)
    for index, (batch, samples) in enumerate(_predicted(model, loader)):
        if sink is None:
            metric.process(batch, [sample.to_dict() for sample in samples])
        else:
            sink.add(_found(model, samples[0]), samples[0].img_id)
        if show_dir is not None:
            _show(model, loader.dataset, index, samples[0], show_dir, has_truth)
        if ticked is not None:
            ticked(index + 1, total)
    if sink is not None:
        sink.close()
    figures = {} if sink is not None else {name: float(value) for name, value in metric.evaluate(total).items()}
    return Evaluation(
        Path(model.path), folder.root, chosen, model.task, total, figures, metric.report, metric.predictions
    )  # fmt: skip


def _what_on(
    model: Segmenter, data: Optional[Path], split: Optional[str], workers: int
) -> tuple[DataFolder, str, dict[str, Any], dict[str, Any]]:
    """Folder, split, loader and metric to judge by."""
    from seg2knet.trainer.config import build as configs

    root = data or Path(model.config.get("data_root", "."))
    if data is None and not root.is_dir():
        raise UsageError(
            "the data that the checkpoint was trained on are not here", file=root,
            hint="name the data set's folder: seg2knet test CHECKPOINT DATA",
        )  # fmt: skip
    folder = read_folder(root, model.task)
    if split is None:
        split = next((name for name in ("val", "test", "train") if name in folder.splits), "val")
    part = folder.split(split)
    known = model.classes
    unknown = [name for name in folder.classes.names if name not in known]
    if unknown:
        raise DataError(
            "the data have classes that the model does not know",
            file=root,
            found=", ".join(unknown[:10]),
            expected=", ".join(known.names[:10]) + (", ..." if len(known) > 10 else ""),
            hint="convert the data with the training set's classes (--classes, --map, --drop)",
        )
    loader = configs.loader_for(folder, part, workers)
    loader["dataset"]["metainfo"] = copy.deepcopy(dict(model.config.metainfo))
    loader["dataset"]["pipeline"] = copy.deepcopy(list(model.config.test_pipeline))
    if not part.has_truth:  # nothing to load but pictures
        loader["dataset"]["pipeline"] = [s for s in loader["dataset"]["pipeline"] if s["type"] != "LoadAnnotations"]
    return folder, split, loader, configs.evaluator_for(folder, part)


def _predicted(model: Segmenter, loader: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Batches and what the model finds on them."""
    with explained():
        for batch in loader:
            with model._torch.no_grad():
                samples = model.model.test_step(batch)
            yield batch, samples


def _sink(model: Segmenter, submission: Optional[Path], folder: DataFolder, split: str) -> Optional[Submission]:
    if submission is None:
        return None
    if list(model.classes.names) != list(folder.classes.names):
        raise DataError(
            "the data's classes are not the model's", file=folder.root, found=", ".join(folder.classes.names[:10]),
            expected=", ".join(model.classes.names[:10]),
        )  # fmt: skip
    return Submission(submission, folder, split)


def _found(model: Segmenter, sample: Any) -> Prediction:
    height, width = sample.ori_shape[:2]
    return to_prediction(sample, Path(sample.img_path), height, width, len(model.config.classes))


def _show(model: Segmenter, dataset: Any, index: int, sample: Any, folder: Path, has_truth: bool) -> None:
    from seg2knet.trainer.evaluate.truth import truth_of
    from seg2knet.trainer.predict import drawing

    path = Path(sample.img_path)
    drawn = _pair(model, read_picture(path), _found(model, sample), truth_of(dataset, index) if has_truth else None)
    inside = Path(dataset.data_prefix.get("img") or dataset.data_prefix["img_path"])
    name = path.relative_to(inside) if path.is_relative_to(inside) else Path(path.name)
    drawing.save(drawn, folder / name.with_name(name.name + ".png"))


def _pair(model: Segmenter, picture: np.ndarray, found: Prediction, truth: Optional[Prediction]) -> np.ndarray:
    from seg2knet.trainer.predict import drawing

    shown = found if model.task != "instance" else found.above(SHOWN_SCORE)
    predicted = drawing.overlay(*drawing.enlarged(picture, shown), model.classes)
    if truth is None:
        return predicted
    return drawing.beside(
        drawing.overlay(*drawing.enlarged(picture, truth), model.classes, scores=False),
        predicted,
        ("truth", "prediction"),
        560,
    )


def sample_sheet(model: Segmenter, dataset: Any, path: Path, count: int = 8) -> None:
    """Draw predictions beside truth for some pictures of a data set, spread over it, into one PNG."""
    from seg2knet.trainer.evaluate.truth import truth_of
    from seg2knet.trainer.predict import drawing

    places = sorted({round(place) for place in np.linspace(0, len(dataset) - 1, min(count, len(dataset)))})
    pairs = []
    for index in places:
        truth = truth_of(dataset, index)
        picture = read_picture(truth.path)
        pairs.append(_shrunk(_pair(model, picture, model(truth.path), truth)))
    drawing.save(drawing.sheet(pairs), path)


def _shrunk(picture: np.ndarray, width: int = 900) -> np.ndarray:
    import cv2

    if picture.shape[1] <= width:
        return picture
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
