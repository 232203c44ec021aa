"""Evaluating a checkpoint on a data set, and the sheet of predictions beside truth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.drawing import sheet, small_jpeg, titled
from seg2knet.dataset.folder import DataFolder, read_folder
from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import read_ids
from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError, UsageError
from seg2knet.judge.objects import rle_of
from seg2knet.knet.recipe import IGNORE
from seg2knet.trainer.config.build import loader_for
from seg2knet.trainer.evaluate.submission import Submission
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.predict import drawing
from seg2knet.trainer.predict.inference import DEDUP, SHOWN_SCORE, Segmenter, read_image
from seg2knet.trainer.predict.prediction import Prediction
from seg2knet.trainer.run.failures import explained

PAIRED_SIDE = 560
"""The longest side of truth and prediction where they are drawn side by side, in pixels."""


@dataclass(frozen=True)
class Evaluation:
    """How good a checkpoint is.

    Attributes:
        task: ``instance``, ``panoptic`` or ``semantic``.
        images: how many.
        figures: ``AP``, ``AP50``... or ``PQ``... or ``mIoU``..., 0..1; empty where the split has no truth.
        classes: figures by class.
        predictions: instance: COCO results.
        score_thr: instance: the score threshold that is best for F1.
    """

    checkpoint: Path
    data: Path
    split: str
    task: str
    images: int
    figures: dict[str, float]
    classes: list[dict[str, Any]]
    predictions: list[dict[str, Any]] = field(repr=False, default_factory=list)
    score_thr: Optional[float] = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; without the predictions."""
        content = asdict(self)
        del content["predictions"]
        return {**content, "checkpoint": str(self.checkpoint), "data": str(self.data)}


def evaluate(
    checkpoint: Union[str, Path],
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    show_dir: Optional[Path] = None,
    submission: Optional[Path] = None,
    device: Optional[str] = None,
    workers: int = 2,
    classes: Optional[ClassList] = None,
    ticked: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """What :func:`seg2knet.trainer.api.evaluate` does; ``ticked`` is called with images done and in all.

    ``submission``: a zip to write that an evaluation server accepts; then no figures are computed.
    """
    model = Segmenter(checkpoint, device, classes=classes)
    from mmengine.registry import METRICS
    from mmengine.runner import Runner

    from seg2knet.trainer.openmmlab.metrics import METRIC_OF

    folder, split = split_of(model, data, split)
    part = folder.splits[split]
    with openmmlab.silence():
        loader: Any = Runner.build_dataloader(_loader(model, folder, split, workers), seed=0)
        metric: Any = METRICS.build(METRIC_OF[folder.task].config(part))
    metric.dataset_meta = loader.dataset.metainfo
    total = len(loader.dataset)
    if total == 0:
        raise DataError("the split has no images", file=folder.root, place=split)
    if submission is not None and model.classes.names != folder.classes.names:
        found, expected = (", ".join(classes.names[:10]) for classes in (folder.classes, model.classes))
        raise DataError("the data's classes are not the model's", file=folder.root, found=found, expected=expected)
    collected = Submission(submission, folder, split) if submission is not None else None
    prefix = loader.dataset.data_prefix
    root, names = prefix.get("img") or prefix["img_path"], set[Path]()
    with explained():
        for index, batch in enumerate(loader):
            (sample,) = model.predict_batch(batch)
            if collected is None:
                metric.process(batch, [sample.to_dict()])
            else:
                collected.add(model.prediction_of(sample), sample.img_id)
            if show_dir is not None:
                truth = truth_of(loader.dataset, index) if part.has_truth else None
                draw(model, model.prediction_of(sample), truth, root, show_dir, names)
            if ticked is not None:
                ticked(index + 1, total)
    if collected is not None:
        collected.close()
    figures = {name: float(value) for name, value in metric.evaluate(total).items()} if collected is None else {}
    return Evaluation(
        Path(model.path), folder.root, split, model.task, total, figures, metric.report, metric.predictions,
        metric.best_score(),
    )  # fmt: skip


def split_of(model: Any, data: Optional[Path], split: Optional[str]) -> tuple[DataFolder, str]:
    """The folder and the split to evaluate on, or an error where they are not there or have other classes."""
    root = data or Path(model.config.get("data_root", "."))
    if data is None and not root.is_dir():
        raise UsageError(
            "the data that the checkpoint was trained on are not here", file=root,
            hint="name the data set's folder: seg2knet test CHECKPOINT DATA",
        )  # fmt: skip
    folder = read_folder(root, model.task)
    split = split or default_split(folder)
    folder.split(split)
    known = model.classes
    unknown = [name for name in folder.classes.names if name not in known]
    if unknown:
        raise DataError(
            "the data have classes that the model does not know", file=root, found=", ".join(unknown[:10]),
            expected=", ".join(known.names[:10]) + (", ..." if len(known) > 10 else ""),
            hint="convert the data with the training set's classes (--classes, --map, --drop)",
        )  # fmt: skip
    return folder, split


def default_split(folder: DataFolder) -> str:
    """``val``; ``test`` where there is none."""
    return next((name for name in ("val", "test", "train") if name in folder.splits), "val")


def _loader(model: Segmenter, folder: DataFolder, split: str, workers: int) -> dict[str, Any]:
    """A loader's config, with the classes and the pipeline that the model was trained with."""
    part = folder.splits[split]
    loader = loader_for(folder, part, workers)
    steps = copy.deepcopy(list(model.config.test_pipeline))
    if not part.has_truth:  # nothing to load but images
        steps = [step for step in steps if step["type"] != "LoadAnnotations"]
    loader["dataset"].update(metainfo=copy.deepcopy(dict(model.config.metainfo)), pipeline=steps)
    return loader


def draw(
    model: Any, prediction: Prediction, truth: Optional[Prediction], root: Any, folder: Path, names: set[Path]
) -> None:
    """Draw a prediction of a model of either stack, beside the truth where there is any, into ``folder``, named as the
    image is below ``root``, apart from ``names``, those of images before.
    """
    path = prediction.path
    name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    drawing.save(_pair(model, prediction, truth), folder / drawing.free_stem(name, names), path)


def truth_of(dataset: Any, index: int) -> Prediction:
    """The truth of an image of ``InstanceData``, ``PanopticData`` or ``SemanticData``; crowds are left out."""
    info = dataset.get_data_info(index)
    path, masks = Path(info["img_path"]), []
    if info.get("segments_info") is not None:
        ids = read_ids(info["seg_map_path"])
        (height, width), key = ids.shape, "category"
        objects = [segment for segment in info["segments_info"] if not segment["iscrowd"]]
        masks = [ids == segment["id"] for segment in objects]
    elif info.get("seg_map_path"):
        # 0 is unlabelled and classes count from 1: 0 wraps around to 255.
        labelmap = (decode_labels(info["seg_map_path"]).astype(np.int64) - 1) % 256
        labelmap[labelmap >= len(dataset.metainfo["classes"])] = IGNORE
        return Prediction.of_labelmap(path, labelmap)
    else:
        height, width, key = info["height"], info["width"], "bbox_label"
        objects = [instance for instance in info.get("instances", []) if not instance.get("ignore_flag")]
        masks = [as_rle(instance["mask"], height, width) for instance in objects]
    labels = np.array([entry[key] for entry in objects], np.int64)
    return Prediction(path, width, height, labels, np.ones(len(labels), np.float32), masks)


def as_rle(outline: Any, height: int, width: int) -> Rle:
    """A segmentation of a COCO file."""
    code = rle_of(outline, height, width)["counts"]
    return Rle(code.encode() if isinstance(code, str) else code, height, width)


def _pair(model: Any, prediction: Prediction, truth: Optional[Prediction]) -> np.ndarray:
    image = read_image(prediction.path)
    shown = prediction if model.task != "instance" else prediction.best(SHOWN_SCORE, DEDUP)
    right = drawing.overlay(*drawing.enlarged(image, shown), model.classes)
    if truth is None:
        return right
    left = drawing.overlay(*drawing.enlarged(image, truth), model.classes, scores=False)
    scale = PAIRED_SIDE / max(left.shape[:2])
    size = (max(1, round(left.shape[1] * scale)), max(1, round(left.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    left, right = (
        titled(cv2.resize(drawn, size, interpolation=how), title)
        for drawn, title in ((left, "truth"), (right, "prediction"))
    )
    return np.hstack([left, np.full((left.shape[0], 6, 3), 255, np.uint8), right])


def sample_sheet(model: Segmenter, dataset: Any, path: Path, count: int = 8) -> None:
    """Draw predictions beside truth for some images of a data set, spread over it, into one JPEG of under 1 MB."""
    places = sorted({round(place) for place in np.linspace(0, len(dataset) - 1, min(count, len(dataset)))})
    pairs = []
    for index in places:
        truth = truth_of(dataset, index)
        pair = _pair(model, model(truth.path), truth)
        size = (min(900, pair.shape[1]), round(pair.shape[0] * min(1.0, 900 / pair.shape[1])))
        pairs.append(cv2.resize(pair, size, interpolation=cv2.INTER_AREA))
    path.write_bytes(small_jpeg(sheet(pairs)))
