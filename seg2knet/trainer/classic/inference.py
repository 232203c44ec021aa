"""Evaluating and predicting on the classic stack, from a checkpoint alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmcv import Config, ConfigDict
from mmcv.cnn.utils import revert_sync_batchnorm
from mmcv.runner import load_checkpoint

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.folder import read_folder
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.errors import DataError, UsageError
from seg2knet.knet.recipe import INSTANCE_OFFSET
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import METRICS, RECORD
from seg2knet.trainer.classic.loop import build_dataset, build_model
from seg2knet.trainer.classic.pipelines import our_dataset
from seg2knet.trainer.evaluate.evaluation import Evaluation
from seg2knet.trainer.predict.inference import pick_device, read_image
from seg2knet.trainer.predict.prediction import Prediction


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of the classic stack.

    Raises:
        DataError: it cannot be read, or does not say what it is.
    """
    try:
        checkpoint = torch.load(str(path), map_location="cpu")
    except FileNotFoundError:
        raise DataError("no such checkpoint", file=path) from None
    except Exception as error:  # a pickle may fail with anything
        raise DataError("not a checkpoint", file=path, found=f"{type(error).__name__}: {error}") from None
    meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
    if not isinstance(meta, dict) or RECORD not in meta or "config" not in meta:
        raise DataError(
            "the checkpoint does not say which data and config it was trained with",
            file=path,
            found=f"meta with {', '.join(map(str, meta))}" if meta else "no meta",
            expected="a checkpoint written by seg2knet train --stack classic",
            hint="a released checkpoint works as a start of training: --load-from PATH",
        )
    return checkpoint


class ClassicSegmenter:
    """A model of the classic stack ready to segment images; what ``inference.Segmenter`` is on the current one.

    Args:
        checkpoint: written by ``seg2knet train --stack classic``.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        knet: the checkout, if it has moved.

    Raises:
        DataError: not such a checkpoint.
        UsageError: the checkout is gone and none was named.
    """

    def __init__(self, checkpoint: Path, device: Optional[str] = None, knet: Optional[Path] = None) -> None:
        self.path = Path(checkpoint)
        meta = read_checkpoint(self.path)["meta"]
        self.record: dict[str, Any] = meta[RECORD]
        self.task: str = self.record["task"]
        stack.recorded_checkout(self.record, knet)
        stack.package(self.task, "models")
        with stack.silent():
            self.config = Config.fromstring(meta["config"], ".py")
        self.config.model.pop("pretrained", None)
        model: Any = revert_sync_batchnorm(build_model(self.config, self.task))
        with stack.silent():
            load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True)
        names = list(self.record["classes"])
        self.classes = ClassList.of(names, names[self.record["things"] :] if self.task == "panoptic" else ())
        model.cfg, model.CLASSES = self.config, tuple(names)
        self.model = model.to(pick_device(device)).eval()

    def __call__(self, path: Path) -> Prediction:
        """Segment one image.

        Raises:
            DataError: it cannot be read.
        """
        return self.prediction(path, self.result(read_image(path)))

    def result(self, image: np.ndarray) -> Any:
        """What mmdet 2 or mmseg 0 returns for an image (H, W, 3), BGR."""
        apis = stack.package(self.task, "apis")
        if self.task == "semantic":
            return np.asarray(apis.inference_segmentor(self.model, image)[0])
        return apis.inference_detector(self.model, image)

    def prediction(self, path: Path, result: Any) -> Prediction:
        """A result as a prediction."""
        from seg2knet.trainer.classic.datasets import objects, panoptic_map

        if self.task == "semantic":
            return Prediction.of_labelmap(path, result)
        if self.task == "panoptic":
            ids = panoptic_map(result)
            values = [value for value in np.unique(ids) if value % INSTANCE_OFFSET < len(self.classes)]
            found = [(int(value % INSTANCE_OFFSET), 1.0, ids == value) for value in values]
            height, width = ids.shape
        else:
            found = sorted(objects(result), key=lambda entry: -entry[1])
            height, width = read_image(path).shape[:2]
        labels = np.array([label for label, _, _ in found], np.int64)
        scores = np.array([score for _, score, _ in found], np.float32)
        rles = [mask_to_rle(np.asarray(mask, bool)) for _, _, mask in found]
        return Prediction(path, width, height, labels, scores, rles)


def evaluate(
    checkpoint: Path,
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    device: Optional[str] = None,
    knet: Optional[Path] = None,
    ticked: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """Evaluate a checkpoint of the classic stack.

    Args:
        checkpoint: the file.
        data: a data set; by default the one it was trained on.
        split: ``val`` by default, where there is one.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        knet: the checkout, if it has moved.
        ticked: called with images done and in all.

    Raises:
        Seg2KNetError: the checkpoint or the data cannot be used.
    """
    model = ClassicSegmenter(checkpoint, device, knet)
    names = list(model.classes.names)
    folder = read_folder(data if data is not None else Path(model.record["data"]), model.task)
    split = split or ("val" if "val" in folder.splits else "train")
    if sorted(folder.classes.names) != sorted(names):
        found, expected = ", ".join(folder.classes.names), ", ".join(names)
        raise UsageError("the data have other classes than the model", file=folder.root, found=found, expected=expected)
    if not folder.split(split).has_truth:
        raise UsageError("this split has no truth to judge by", file=folder.split(split).annotations)
    settings = our_dataset(model.config.data.test.to_dict(), folder, folder.split(split))
    dataset = build_dataset(ConfigDict({**settings, "classes": names}), model.task, test=True)
    results: list[Any] = []
    for index in range(len(dataset)):
        result = model.result(read_image(dataset.image_path(index)))
        if model.task == "semantic":
            results += dataset.pre_eval([result], index)
        else:
            results.append(dataset.packed(result))
        if ticked is not None:
            ticked(index + 1, len(dataset))
    figures = dataset.evaluate(results, metric=METRICS[model.task]["metric"], logger="silent")
    predictions = dataset.coco_results(results) if model.task == "instance" else []
    return Evaluation(
        model.path, folder.root, split, model.task, len(dataset), figures, list(dataset.by_class), predictions
    )
