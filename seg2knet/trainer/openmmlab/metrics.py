"""What a model is judged by: mask AP as COCO counts it, panoptic quality, mean IoU; each also by class.

Each metric is one of mmengine's, registered; after an evaluation its ``report`` has the figures by class and its
``predictions`` what was predicted. No prediction at all is a figure of 0, not a crash.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import orjson
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from seg2knet.errors import DataError
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality
from seg2knet.trainer.openmmlab.datasets import read_panoptic_png

HEADLINE = {"instance": "AP", "panoptic": "PQ", "semantic": "mIoU"}
"""The figure that decides which checkpoint is best, by task."""


class ReportingMetric(BaseMetric):
    """A metric that keeps what it found.

    Attributes:
        report: list of figures by class: ``name`` and one entry a column; ``None`` for a class that does not occur.
        predictions: what was predicted, in COCO's results format (instance only).
    """

    report: list[dict[str, Any]]
    predictions: list[dict[str, Any]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report = []
        self.predictions = []

    @property
    def classes(self) -> Sequence[str]:
        meta = self.dataset_meta
        assert meta is not None, "mmengine sets dataset_meta before an evaluation"
        return meta["classes"]


@METRICS.register_module()
class InstanceAP(ReportingMetric):
    """Mask AP by pycocotools (https://cocodataset.org/#detection-eval).

    Figures: ``AP`` (IoU 0.5 to 0.95), ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``; a size that no object has is left
    out.

    Args:
        ann_file: the instance file; ``None`` for a split without truth: then predictions are kept and no figure is
            given.
        categories_of: where ``ann_file`` is ``None``: the file whose category ids the predictions shall bear.
    """

    def __init__(self, ann_file: Optional[str] = None, categories_of: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ann_file = ann_file
        self.categories_of = categories_of or ann_file
        self._truth: Optional[dict[str, Any]] = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, as run-length codes."""
        for sample in data_samples:
            found = sample["pred_instances"]
            rles = encode_masks(found["masks"])
            self.results.append(
                (sample["img_id"], found["labels"].cpu().numpy(), found["scores"].float().cpu().numpy(), rles)
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures from what all processes kept."""
        ids = self._category_ids()
        self.predictions = [
            {"image_id": image, "category_id": ids[label], "score": float(score), "segmentation": rle}
            for image, labels, scores, rles in results
            for label, score, rle in zip(labels.tolist(), scores.tolist(), rles)
        ]
        if self.ann_file is None:
            return {}
        figures, self.report = coco_ap(self._read_truth(), self.predictions, [ids[i] for i in range(len(self.classes))])
        for row, name in zip(self.report, self.classes):
            row["name"] = name
        return figures

    def _read_truth(self) -> dict[str, Any]:
        if self._truth is None:
            assert self.ann_file is not None
            self._truth = _truth_for_pycocotools(orjson.loads(Path(self.ann_file).read_bytes()))
        return self._truth

    def _category_ids(self) -> dict[int, int]:
        """Label -> category id of the file; labels that the file does not know get ids behind its own."""
        named: dict[str, int] = {}
        if self.ann_file is not None:
            named = {each["name"]: each["id"] for each in self._read_truth()["categories"]}
        elif self.categories_of is not None:
            content = orjson.loads(Path(self.categories_of).read_bytes())
            named = {each["name"]: each["id"] for each in content.get("categories", [])}
        free = max(named.values(), default=0)
        ids = {}
        for label, name in enumerate(self.classes):
            if name not in named:
                free += 1
            ids[label] = named.get(name, free)
        return ids


def encode_masks(masks: Any) -> list[dict]:
    """``(N, H, W)`` masks, tensor or array, as pycocotools' run-length codes, ``counts`` as text."""
    from pycocotools import mask as coco_mask

    array = masks.cpu().numpy() if hasattr(masks, "cpu") else np.asarray(masks)
    if not len(array):
        return []
    encoded = coco_mask.encode(np.asfortranarray(array.transpose(1, 2, 0), dtype=np.uint8))
    return [{"size": [int(side) for side in each["size"]], "counts": each["counts"].decode()} for each in encoded]


def _truth_for_pycocotools(content: dict[str, Any]) -> dict[str, Any]:
    """What COCOeval wants: ids from 1 (it takes a match with id 0 for none), areas, crowds, outlines that are some."""
    from pycocotools import mask as coco_mask

    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    kept: list[dict[str, Any]] = []
    for annotation in content.get("annotations") or []:
        outline = annotation.get("segmentation")
        if not outline or annotation["image_id"] not in sizes or annotation.get("ignore"):
            continue
        area = annotation.get("area")
        if area is None:
            rle = outline
            if isinstance(outline, list):
                rle = coco_mask.merge(coco_mask.frPyObjects(outline, *sizes[annotation["image_id"]]))
            elif isinstance(outline["counts"], list):
                rle = coco_mask.frPyObjects(outline, *outline["size"])
            area = float(coco_mask.area(rle))
        kept.append(
            {
                "id": len(kept) + 1,
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "iscrowd": int(annotation.get("iscrowd", 0)),
                "area": area,
                "segmentation": outline,
            }
        )
    return {"images": content["images"], "categories": content["categories"], "annotations": kept}


def coco_ap(
    truth: dict[str, Any], predictions: list[dict[str, Any]], categories: Sequence[int]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Mask AP by pycocotools.

    Args:
        truth: a COCO instance file's content, ids from 1.
        predictions: COCO results with ``segmentation``.
        categories: ids, in the order of the second result.

    Returns:
        Figures between 0 and 1 by name, and by category ``objects``, ``AP``, ``AP50``, ``AP75``.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    counts = dict.fromkeys(categories, 0)
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            counts[annotation["category_id"]] = counts.get(annotation["category_id"], 0) + 1
    if not predictions:
        none: list[dict[str, Any]] = [
            {"objects": counts[each], **dict.fromkeys(("AP", "AP50", "AP75"), 0.0 if counts[each] else None)}
            for each in categories
        ]
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}, none
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        gold = COCO()
        gold.dataset = truth
        gold.createIndex()
        evaluation = COCOeval(gold, gold.loadRes([dict(each) for each in predictions]), "segm")
        evaluation.params.catIds = list(categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    figures = {name: float(value) for name, value in zip(names, evaluation.stats) if value >= 0}
    figures.setdefault("AP", 0.0)
    figures.setdefault("AP50", 0.0)
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, category), all sizes, most detections
    column = {category: place for place, category in enumerate(sorted(set(categories)))}  # COCOeval sorts the ids
    rows = [
        {
            "objects": counts[category],
            "AP": _mean_precision(precision[:, :, column[category]]),
            "AP50": _mean_precision(precision[0, :, column[category]]),
            "AP75": _mean_precision(precision[5, :, column[category]]),
        }
        for category in categories
    ]
    return figures, rows


def _mean_precision(values: np.ndarray) -> Optional[float]:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


@METRICS.register_module()
class PanopticPQ(ReportingMetric):
    """Panoptic quality (``panoptic_quality.py``). Figures: ``PQ``, ``SQ``, ``RQ``, ``PQ_things``, ``PQ_stuff``.

    The data set's pipeline must leave ``seg_map_path`` and ``segments_info`` in the sample's meta information; samples
    without them (no truth) are left out.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count a batch; what is kept of an image is ``(K, 4)`` counts."""
        for sample in data_samples:
            if not sample.get("seg_map_path"):
                continue
            truth = [{**segment, "category_id": segment["category"]} for segment in sample["segments_info"]]
            ids, segments = panoptic_segments(sample["pred_panoptic_seg"]["sem_seg"], len(self.classes))
            quality = self._quality()
            quality.add(read_panoptic_png(sample["seg_map_path"]), truth, ids, segments, sample["img_path"])
            self.results.append(quality.counts)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures from what all processes counted."""
        if not results:
            return {}
        quality = self._quality()
        for counts in results:
            quality.merge(counts)
        found = quality.summary()
        self.report = [
            {
                "name": row["name"],
                **{key.upper(): None if row[key] is None else float(row[key]) for key in ("pq", "sq", "rq")},
                "objects": row["tp"] + row["fn"],
            }
            for row in found["per_class"]
        ]
        figures = {key.upper(): float(found["All"][key]) for key in ("pq", "sq", "rq")}
        for group in ("Things", "Stuff"):
            if found[group]["n"]:
                figures[f"PQ_{group.lower()}"] = float(found[group]["pq"])
        return figures

    def _quality(self) -> PanopticQuality:
        assert self.dataset_meta is not None
        things = len(self.dataset_meta["thing_classes"])
        return PanopticQuality(
            [{"id": label, "name": name, "isthing": label < things} for label, name in enumerate(self.classes)]
        )


def panoptic_segments(prediction: Any, num_classes: int) -> tuple[np.ndarray, list[dict[str, int]]]:
    """mmdet's panoptic map (id = class + 1000 * number; ``num_classes`` = nothing) as COCO's.

    Returns:
        ``(H, W)`` int32 segment ids from 1 (0 = nothing), and each segment's ``id`` and ``category_id`` (its label).
    """
    array = prediction.cpu().numpy() if hasattr(prediction, "cpu") else np.asarray(prediction)
    array = array.reshape(array.shape[-2:])
    present, places = np.unique(array, return_inverse=True)
    labels = present % 1000
    is_segment = labels < num_classes
    numbers = np.where(is_segment, np.cumsum(is_segment), 0).astype(np.int32)
    segments = [{"id": int(number), "category_id": int(label)} for number, label in zip(numbers, labels) if number > 0]
    return numbers[places.reshape(array.shape)], segments


@METRICS.register_module()
class SemanticIoU(ReportingMetric):
    """Intersection over union of pixels by class, over the data set. Figures: ``mIoU``, ``mAcc``, ``aAcc``.

    ``mIoU`` and ``mAcc`` are means over the classes that occur (mmsegmentation's definitions).
    """

    def __init__(self, ignore_index: int = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count a batch; what is kept of an image is ``(3, K)``: hits, predicted, true pixels."""
        for sample in data_samples:
            if "gt_sem_seg" not in sample:
                continue
            truth = _map(sample["gt_sem_seg"])
            self.results.append(count_pixels(truth, _map(sample["pred_sem_seg"]), len(self.classes), self.ignore_index))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures from what all processes counted."""
        if not results:
            return {}
        hits, predicted, true = np.asarray(results, dtype=np.float64).sum(axis=0)
        union = predicted + true - hits
        self.report = [
            {
                "name": name,
                "IoU": float(hits[k] / union[k]) if union[k] else None,
                "accuracy": float(hits[k] / true[k]) if true[k] else None,
                "share": float(true[k] / max(true.sum(), 1)),
            }
            for k, name in enumerate(self.classes)
        ]
        return {
            "mIoU": _mean(row["IoU"] for row in self.report),
            "mAcc": _mean(row["accuracy"] for row in self.report),
            "aAcc": float(hits.sum() / max(true.sum(), 1)),
        }


def count_pixels(truth: np.ndarray, predicted: np.ndarray, num_classes: int, ignore: int) -> np.ndarray:
    """``(3, K)`` int64: pixels right, predicted, true, by class, where the truth is known.

    Raises:
        DataError: the maps differ in size.
    """
    if truth.shape != predicted.shape:
        raise DataError("truth and prediction differ in size", found=str(predicted.shape), expected=str(truth.shape))
    known = truth != ignore
    truth, predicted = truth[known], predicted[known]
    right = truth[truth == predicted]
    return np.stack(
        [np.bincount(each, minlength=num_classes)[:num_classes] for each in (right, predicted, truth)]
    ).astype(np.int64)


def _map(pixel_data: Any) -> np.ndarray:
    data: Any = pixel_data["data"] if "data" in pixel_data else pixel_data["sem_seg"]
    array = data.cpu().numpy()
    return array.reshape(array.shape[-2:]).astype(np.int64)


def _mean(values: Iterable[Optional[float]]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
