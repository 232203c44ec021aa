"""Evaluating and predicting on the classic stack, from a checkpoint alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmcv import Config, ConfigDict
from mmcv.parallel import collate
from mmcv.runner import load_checkpoint
from pycocotools import mask as coco_mask

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.folder import read_folder
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import METRICS, RECORD
from seg2knet.trainer.classic.device import OneProcess, Place
from seg2knet.trainer.classic.loop import Package, answers
from seg2knet.trainer.classic.pipelines import use_split
from seg2knet.trainer.classic.results import INSTANCE_OFFSET, objects, packed, panoptic_map
from seg2knet.trainer.evaluate.evaluation import Evaluation
from seg2knet.trainer.predict.inference import Prediction, pick_device, read_image


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, ready to answer.

    Attributes:
        model: the model on its device.
        config: the config that it was trained by.
        package: the package it is of.
        place: the device.
    """

    model: OneProcess
    config: Config
    package: Package
    place: Place


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
            "the checkpoint does not say which data and config it was trained by",
            file=path,
            found=f"meta with {', '.join(map(str, meta))}" if meta else "no meta",
            expected="a checkpoint written by seg2knet train --stack classic",
            hint="a released checkpoint works as a start of training: --load-from PATH",
        )
    return checkpoint


def load(path: Path, device: str, knet: Optional[Path] = None) -> Loaded:
    """Build the model that a checkpoint has, with its weights.

    Args:
        path: the checkpoint.
        device: ``cuda`` or ``cpu``.
        knet: the checkout, where it is not where it was when the model was trained.

    Raises:
        DataError: not such a checkpoint.
        UsageError: the checkout is gone and none was named.
    """
    meta = read_checkpoint(path)["meta"]
    record = meta[RECORD]
    checkout = knet or record.get("knet")
    if checkout is not None:
        if knet is None and not Path(checkout).is_dir():
            raise UsageError(
                "the checkout of K-Net that the model was trained with is not there any more",
                file=checkout,
                hint="name it: --knet ./K-Net",
            )
        stack.add_checkout(Path(checkout))
    if record["task"] == "semantic":
        stack.import_mmseg()
    config = Config.fromstring(meta["config"], ".py")
    package = Package(record["task"])
    place = Place(torch.device(device))
    config.model.pop("pretrained", None)
    model = package.model(config)
    from mmcv.cnn.utils import revert_sync_batchnorm

    model = revert_sync_batchnorm(model)
    with stack.silent():
        load_checkpoint(model, str(path), map_location="cpu", strict=True)
    model.CLASSES = tuple(record["classes"])
    wrapped = OneProcess(model, place.device)
    wrapped.eval()
    return Loaded(wrapped, config, package, place)


class ClassicSegmenter:
    """A model of the classic stack ready to segment pictures; what ``inference.Segmenter`` is on the current one.

    Args:
        checkpoint: written by ``seg2knet train --stack classic``.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        knet: the checkout, if it has moved.
    """

    def __init__(self, checkpoint: Path, device: Optional[str] = None, knet: Optional[Path] = None) -> None:
        self.loaded = load(checkpoint, pick_device(device), knet)
        self.task: str = self.loaded.package.task
        record = self.loaded.config[RECORD]
        names = list(record.classes)
        self.classes = ClassList.of(names, names[record.things :] if self.task == "panoptic" else ())
        self._compose = self.loaded.package.datasets.pipelines.Compose(self.loaded.config.data.test.pipeline)

    def __call__(self, path: Path) -> Prediction:
        """Segment one picture.

        Raises:
            DataError: it cannot be read.
        """
        height, width = read_image(path).shape[:2]
        sample = self._compose({"img_info": {"filename": str(path)}, "img_prefix": None})
        batch = collate([sample], samples_per_gpu=1)
        with torch.no_grad():
            if self.task == "semantic":
                return _of_labels(path, np.asarray(self.loaded.model(return_loss=False, **batch)[0]))
            result = self.loaded.model(return_loss=False, rescale=True, **batch)[0]
        if self.task == "panoptic":
            return _of_segments(path, panoptic_map(result), len(self.classes))
        found = sorted(objects(packed(result)), key=lambda each: -each[1])
        masks = [coco_mask.decode(rle).astype(bool) for _, _, rle in found]
        return Prediction(
            Path(path),
            width,
            height,
            np.array([label for label, _, _ in found], dtype=np.int64),
            np.array([score for _, score, _ in found], dtype=np.float32),
            np.stack(masks) if masks else np.zeros((0, height, width), bool),
        )


def _of_labels(path: Path, labelmap: np.ndarray) -> Prediction:
    labels = np.unique(labelmap)
    masks = np.stack([labelmap == label for label in labels])
    height, width = labelmap.shape
    return Prediction(Path(path), width, height, labels, np.ones(len(labels), np.float32), masks, labelmap)


def _of_segments(path: Path, segments: np.ndarray, num_classes: int) -> Prediction:
    values = [value for value in np.unique(segments) if value % INSTANCE_OFFSET < num_classes]
    height, width = segments.shape
    masks = np.stack([segments == value for value in values]) if values else np.zeros((0, height, width), bool)
    labels = np.array([value % INSTANCE_OFFSET for value in values], dtype=np.int64)
    return Prediction(Path(path), width, height, labels, np.ones(len(values), np.float32), masks)


def evaluate(
    checkpoint: Path,
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    device: Optional[str] = None,
    knet: Optional[Path] = None,
) -> Evaluation:
    """Judge a checkpoint of the classic stack.

    Args:
        checkpoint: the file.
        data: a data set; by default the one it was trained on.
        split: ``val`` by default, where there is one.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        knet: the checkout, if it has moved.

    Raises:
        Seg2KNetError: the checkpoint or the data cannot be used.
    """
    loaded = load(checkpoint, pick_device(device), knet)
    config, package = loaded.config, loaded.package
    folder = read_folder(data if data is not None else Path(config[RECORD].data), package.task)
    split = split or ("val" if "val" in folder.splits else "train")
    if not folder.split(split).has_truth:
        raise UsageError("this split has no truth to judge by", file=folder.split(split).annotations)
    settings = use_split(config.data.test.to_dict(), folder, split, list(config[RECORD].classes))
    dataset = package.dataset(ConfigDict(settings), test=True)
    loader = package.loader(dataset, config, train=False, place=loaded.place)
    results = answers(loaded.model, loader, package.task, loaded.place) or []
    found = dataset.evaluate(results, metric=METRICS[package.task]["metric"], logger="silent")
    predictions = dataset.coco_results(results) if package.task == "instance" else []
    return Evaluation(
        Path(checkpoint),
        folder.root,
        split,
        package.task,
        len(dataset),
        {name: value for name, value in found.items() if "." not in name},
        list(getattr(dataset, "by_class", [])),
        predictions,
    )
