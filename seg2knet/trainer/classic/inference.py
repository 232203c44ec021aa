"""Evaluating and predicting on the classic stack, from a checkpoint alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmcv import Config, ConfigDict
from mmcv.cnn.utils import revert_sync_batchnorm
from mmcv.runner import load_checkpoint

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.images import probe
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.classic import stack
from seg2knet.trainer.classic.config import METRICS, RECORD
from seg2knet.trainer.classic.counts import Counts, set_class_counts
from seg2knet.trainer.classic.loop import build_dataset, build_model
from seg2knet.trainer.classic.pipelines import innermost, our_dataset, read_from_disk
from seg2knet.trainer.config.models import trained
from seg2knet.trainer.evaluate.evaluation import Evaluation, draw, split_of, truth_of
from seg2knet.trainer.evaluate.submission import Submission
from seg2knet.trainer.predict import released
from seg2knet.trainer.predict.inference import local_file, pick_device, read_image
from seg2knet.trainer.predict.prediction import Prediction

STAMP = re.compile(r"_\d{8}_\d{6}(-[0-9a-f]{8})?$")
"""The end of a published checkpoint's name; what precedes it is its config's name."""


class ClassicSegmenter:
    """What ``inference.Segmenter`` is on the current stack. The checkpoint is one of this stack, or K-Net's by the
    authors or by mmdet's own training; ``knet``: the checkout, if it has moved or the checkpoint does not name it.

    Raises DataError: not such a checkpoint; UsageError: the checkout is gone and none was named.
    """

    def __init__(
        self,
        checkpoint: Union[str, Path],
        device: Optional[str] = None,
        knet: Optional[Path] = None,
        classes: Optional[ClassList] = None,
    ) -> None:
        self.path = local_file(checkpoint)
        try:
            content = torch.load(str(self.path), map_location="cpu")
            state, meta = content["state_dict"], content.get("meta") or {}
        except FileNotFoundError:
            raise DataError("no such checkpoint", file=self.path) from None
        except Exception as error:  # a pickle may fail with anything
            raise DataError("not a checkpoint", file=self.path, found=f"{type(error).__name__}: {error}") from None
        record: dict[str, Any] = meta.get(RECORD) or {}
        if record:
            stack.recorded_checkout(record, knet)
            self.task: str = record["task"]
            stack.package(self.task, "models")
            with stack.silent():
                self.config = Config.fromstring(meta["config"], ".py")
            self.config.data_root = record["data"]
            names = list(record["classes"])
            self.classes = ClassList.of(names, names[record["things"] :] if self.task == "panoptic" else ())
        else:
            described = released.describe({"state_dict": state, "meta": meta}, self.path, classes)
            self.task, self.classes = described.task, described.classes
            self.config = _released_config(state, meta, self.path, described, knet)
        self.config.model.pop("pretrained", None)
        model: Any = revert_sync_batchnorm(build_model(self.config, self.task))
        try:
            with stack.silent():
                load_checkpoint(model, str(self.path), map_location="cpu", strict=True)
        except RuntimeError as error:  # mmcv lists the tensors line by line
            found = " ".join(line.strip() for line in str(error).splitlines()[1:4])
            hint = "is --knet the checkout that it was trained with, and its file's name that of its config?"
            raise DataError("the weights do not fit the config", file=self.path, found=found, hint=hint) from None
        model.cfg, model.CLASSES = self.config, tuple(self.classes.names)
        self.model = model.to(pick_device(device)).eval()

    def __call__(self, path: Path) -> Prediction:
        """Segment one image. Raises DataError: it cannot be read."""
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
            return Prediction.of_panoptic(path, panoptic_map(result), len(self.classes), {})
        segments = sorted(objects(result), key=lambda entry: -entry[1])
        width, height = probe(path).shown
        labels = np.array([label for label, _, _ in segments], np.int64)
        scores = np.array([score for _, score, _ in segments], np.float32)
        return Prediction(path, width, height, labels, scores, [mask_to_rle(np.asarray(m, bool)) for *_, m in segments])


def _released_config(
    state: Mapping[str, Any], meta: Mapping[str, Any], path: Path, described: released.Description, knet: Optional[Path]
) -> Config:
    """The config of a checkpoint without our record: its own, else the checkout's of that name or architecture.

    Raises UsageError: no such config is found.
    """
    stack.package(described.task, "models")
    if meta.get("config"):
        with stack.silent():
            config = Config.fromstring(meta["config"], ".py")._cfg_dict.to_dict()
    else:
        head = released.semantic_head(state) if described.task == "semantic" else None
        spec = trained(described.task, described.backbone_name, head)
        files = [path.stem, *([Path(spec.checkpoint.file).stem] if spec is not None and spec.checkpoint else [])]
        names = [STAMP.sub("", name) for name in files]
        known = {file.stem for folder in stack.config_folders(knet) for file in folder.rglob("*.py")}
        name = next((name for name in names if name in known), names[-1])
        config = stack.load_config(stack.find_config(name, knet))
    counts = Counts.of(described.task, described.classes)
    config["model"], _ = set_class_counts(config["model"], counts, stack.signature_of(described.task))
    read_from_disk(config["data"]["test"])
    return Config(config)


def evaluate(
    checkpoint: Union[str, Path],
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    show_dir: Optional[Path] = None,
    submission: Optional[Path] = None,
    device: Optional[str] = None,
    knet: Optional[Path] = None,
    classes: Optional[ClassList] = None,
    ticked: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """:func:`seg2knet.trainer.evaluate.evaluation.evaluate` on this stack; ``knet``: see :class:`ClassicSegmenter`."""
    model = ClassicSegmenter(checkpoint, device, knet, classes)
    folder, split = split_of(model, data, split)
    part = folder.splits[split]
    if not part.has_truth and submission is None:
        raise UsageError("this split has no truth to compare with", file=part.annotations)
    settings = our_dataset(innermost(model.config.data.test.to_dict()), folder, part)
    settings["classes"] = list(model.classes.names)
    dataset = build_dataset(ConfigDict(settings), model.task, test=True)
    collected = Submission(submission, folder, split) if submission is not None else None
    results: list[Any] = []
    names: set[Path] = set()
    for index in range(len(dataset)):
        path = Path(dataset.get_data_info(index)["img_path"])
        result = model.result(read_image(path))
        if collected is not None or show_dir is not None:
            prediction = model.prediction(path, result)
        if collected is not None:
            collected.add(prediction, dataset.img_ids[index] if model.task != "semantic" else index)
        elif model.task == "semantic":
            results += dataset.pre_eval([result], index)
        else:
            results.append(dataset.packed(result))
        if show_dir is not None:
            truth = truth_of(dataset, index) if part.has_truth else None
            draw(model, prediction, truth, part.images, show_dir, names)
        if ticked is not None:
            ticked(index + 1, len(dataset))
    evaluated = model.path, folder.root, split, model.task, len(dataset)
    if collected is not None:
        collected.close()
        return Evaluation(*evaluated, {}, [])
    figures = dataset.evaluate(results, metric=METRICS[model.task]["metric"], logger="silent")
    predictions = dataset.coco_results(results) if model.task == "instance" else []
    return Evaluation(*evaluated, figures, dataset.by_class, predictions)
