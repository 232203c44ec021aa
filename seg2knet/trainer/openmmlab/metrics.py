"""What a model is judged by: mask AP as COCO counts it, panoptic quality, mean IoU; each also by class.

A metric is one class: the task that it judges, its headline figure, its config for a split, its figures and its table.
No prediction at all gives a figure of 0, not an error.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
import orjson
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from seg2knet.dataset.folder import Split
from seg2knet.errors import DataError
from seg2knet.judge.analysis import best_threshold
from seg2knet.trainer.evaluate.average_precision import coco_ap, encode_masks, mean_of_known, prepared
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality


class Metric(BaseMetric):
    """A metric that also reports by class: ``name`` and an entry a column, ``None`` for a class that does not occur."""

    task: ClassVar[str]
    headline: ClassVar[str]  # the figure that decides which checkpoint is best

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []  # COCO results, instance only

    @classmethod
    def config(cls, split: Split) -> dict[str, Any]:
        """The evaluator that a config has for a split."""
        return {"type": cls.__name__}

    @property
    def meta(self) -> dict[str, Any]:
        assert self.dataset_meta is not None, "mmengine sets dataset_meta before an evaluation"
        return self.dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one result an image, without truth too: mmengine joins the results of ranks in turn, one by one."""
        self.results.extend(self.judge(sample) for sample in data_samples)

    @abstractmethod
    def judge(self, sample: dict) -> Any:
        """What is kept of one image; ``None`` where there is no truth to compare with."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures from what all ranks kept, without what has no truth; also fills ``report``."""
        known = [result for result in results if result is not None]
        return self.figures(known) if known else {}

    @abstractmethod
    def figures(self, results: list) -> dict[str, float]:
        """Figures from the results of at least one image."""

    def best_score(self) -> Optional[float]:
        """The score threshold that is best for F1, of what was last judged; ``None`` where there is none."""
        return None


@METRICS.register_module()
class InstanceAP(Metric):
    """Mask AP (https://cocodataset.org/#detection-eval), by hotcoco where it is installed, else by pycocotools.

    Figures: ``AP`` (IoU 0.5 to 0.95), ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``; a size that no object has is left
    out. A split without truth has no ``ann_file``, only ``categories_of``, the file whose category ids the predictions
    get: they are kept, and no figure is given.
    """

    task = "instance"
    headline = "AP"

    def __init__(self, ann_file: Optional[str] = None, categories_of: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ann_file = ann_file
        self.categories_of = categories_of or ann_file
        self.truth: dict[str, Any] = {}

    @classmethod
    def config(cls, split: Split) -> dict[str, Any]:
        key = "ann_file" if split.has_truth else "categories_of"
        return {"type": cls.__name__, key: str(split.annotations.resolve())}

    def judge(self, sample: dict) -> Any:
        instances = sample["pred_instances"]
        labels, scores = instances["labels"].tolist(), instances["scores"].float().tolist()
        return sample["img_id"], labels, scores, encode_masks(instances["masks"])

    def figures(self, results: list) -> dict[str, float]:
        content = orjson.loads(Path(self.categories_of).read_bytes()) if self.categories_of else {}
        named = {category["name"]: category["id"] for category in content.get("categories", [])}
        for name in self.meta["classes"]:  # those that the file does not have get ids after its own
            named.setdefault(name, max(named.values(), default=0) + 1)
        ids = [named[name] for name in self.meta["classes"]]
        self.predictions = [
            {"image_id": image, "category_id": ids[label], "score": score, "segmentation": rle}
            for image, labels, scores, rles in results
            for label, score, rle in zip(labels, scores, rles)
        ]
        if self.ann_file is None:
            return {}
        self.truth = prepared(content)
        figures, rows = coco_ap(self.truth, self.predictions, ids)
        self.report = [{**row, "name": name} for row, name in zip(rows, self.meta["classes"])]
        return figures

    def best_score(self) -> Optional[float]:
        return best_threshold(self.truth, self.predictions) if self.truth else None


@METRICS.register_module()
class PanopticPQ(Metric):
    """Panoptic quality (``panoptic_quality.py``). Figures: ``PQ``, ``SQ``, ``RQ``, ``PQ_things``, ``PQ_stuff``.

    The data set's pipeline must leave ``seg_map_path`` and ``segments_info`` in the sample's meta information.
    """

    task = "panoptic"
    headline = "PQ"

    def judge(self, sample: dict) -> Optional[np.ndarray]:
        if not sample.get("seg_map_path"):
            return None
        quality = self._quality()
        quality.add_map(sample, sample["pred_panoptic_seg"]["sem_seg"].cpu().numpy())
        return quality.counts

    def figures(self, results: list) -> dict[str, float]:
        quality = self._quality()
        quality.counts += np.sum(results, axis=0)
        figures, self.report = quality.tables()
        return figures

    def _quality(self) -> PanopticQuality:
        things = len(self.meta["thing_classes"])
        return PanopticQuality(
            [{"id": label, "name": name, "isthing": label < things} for label, name in enumerate(self.meta["classes"])]
        )


@METRICS.register_module()
class SemanticIoU(Metric):
    """Intersection over union of pixels by class, over the data set. Figures: ``mIoU``, ``mAcc``, ``aAcc``.

    ``mIoU`` and ``mAcc`` are means over the classes that occur (mmsegmentation's definitions).
    """

    task = "semantic"
    headline = "mIoU"

    def judge(self, sample: dict) -> Optional[np.ndarray]:
        if "gt_sem_seg" not in sample:
            return None
        truth, predicted = _label_map(sample["gt_sem_seg"]), _label_map(sample["pred_sem_seg"])
        return count_pixels(truth, predicted, len(self.meta["classes"]), ignore=255)

    def figures(self, results: list) -> dict[str, float]:
        right, predicted, true = np.asarray(results, np.float64).sum(axis=0)
        union = predicted + true - right
        pixels = max(true.sum(), 1)
        self.report = [
            {
                "name": name,
                "IoU": float(right[k] / union[k]) if union[k] else None,
                "accuracy": float(right[k] / true[k]) if true[k] else None,
                "share": float(true[k] / pixels),
            }
            for k, name in enumerate(self.meta["classes"])
        ]
        iou, accuracy = (mean_of_known([row[key] for row in self.report]) or 0.0 for key in ("IoU", "accuracy"))
        return {"mIoU": iou, "mAcc": accuracy, "aAcc": float(right.sum() / pixels)}


def count_pixels(truth: np.ndarray, predicted: np.ndarray, num_classes: int, ignore: int) -> np.ndarray:
    """``(3, K)`` int64: pixels right, predicted, true, by class, where the truth is known."""
    if truth.shape != predicted.shape:
        raise DataError("truth and prediction differ in size", found=str(predicted.shape), expected=str(truth.shape))
    known = truth != ignore
    truth, predicted = truth[known], predicted[known]
    maps = (truth[truth == predicted], predicted, truth)
    return np.stack([np.bincount(labels, minlength=num_classes)[:num_classes] for labels in maps])


def _label_map(pixel_data: Any) -> np.ndarray:
    data: Any = pixel_data["data"] if "data" in pixel_data else pixel_data["sem_seg"]
    array = data.cpu().numpy()
    return array.reshape(array.shape[-2:]).astype(np.int64)


METRIC_OF: dict[str, type[Metric]] = {metric.task: metric for metric in (InstanceAP, PanopticPQ, SemanticIoU)}
HEADLINE = {task: metric.headline for task, metric in METRIC_OF.items()}
