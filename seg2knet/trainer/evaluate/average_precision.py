"""Mask AP (https://cocodataset.org/#detection-eval), by hotcoco where it is installed, else by pycocotools."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from pycocotools import mask as coco_mask

from seg2knet.dataset.rle import as_json, mask_to_rle
from seg2knet.judge.objects import rle_of


def encode_masks(masks: Any) -> list[dict]:
    """``(N, H, W)`` masks, tensor or array, as pycocotools' run-length codes, ``counts`` as text."""
    return [as_json(mask_to_rle(mask)) for mask in (masks.cpu().numpy() if hasattr(masks, "cpu") else masks)]


def prepared(content: dict[str, Any]) -> dict[str, Any]:
    """What both libraries take: no other fields, annotations with ids from 1 (0 means no match), a mask and an area."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    kept: list[dict[str, Any]] = []
    for annotation in content.get("annotations") or []:
        outline, size = annotation.get("segmentation"), sizes.get(annotation["image_id"])
        if outline and size is not None and not annotation.get("ignore"):
            area = annotation.get("area")
            if area is None:
                area = float(coco_mask.area(rle_of(outline, *size)))
            row = {key: annotation[key] for key in ("image_id", "category_id", "segmentation")}
            kept.append({**row, "id": len(kept) + 1, "iscrowd": int(annotation.get("iscrowd", 0)), "area": area})
    images = [{"id": image, "height": height, "width": width} for image, (height, width) in sizes.items()]
    categories = [{"id": category["id"], "name": str(category["name"])} for category in content["categories"]]
    return {"images": images, "categories": categories, "annotations": kept}


def coco_ap(
    truth: dict[str, Any], predictions: list[dict[str, Any]], categories: Sequence[int], library: Optional[str] = None
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Mask AP of COCO results on a :func:`prepared` truth: figures between 0 and 1 by name, and for each of the
    category ids ``objects``, ``AP``, ``AP50``, ``AP75``. ``library``: by default hotcoco where it is installed.
    """
    objects = Counter(annotation["category_id"] for annotation in truth["annotations"] if not annotation["iscrowd"])
    columns = ("AP", "AP50", "AP75")
    if not predictions:  # neither library takes an empty list
        return dict.fromkeys(columns, 0.0), [
            {"objects": objects[category], **dict.fromkeys(columns, 0.0 if objects[category] else None)}
            for category in categories
        ]
    name = library or ("hotcoco" if importlib.util.find_spec("hotcoco") is not None else "pycocotools")
    of_truth, of_results = ("hotcoco", "hotcoco") if name == "hotcoco" else (f"{name}.coco", f"{name}.cocoeval")
    ordered = sorted(set(categories))
    with contextlib.redirect_stdout(io.StringIO()):  # both print what they do
        gold = importlib.import_module(of_truth).COCO()
        gold.dataset = truth
        gold.createIndex()
        results = gold.loadRes([dict(result) for result in predictions])
        evaluation = importlib.import_module(of_results).COCOeval(gold, results, "segm")
        evaluation.params.catIds = ordered
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = (*columns, "APs", "APm", "APl")
    figures = {name: float(value) for name, value in zip(names, evaluation.stats) if value >= 0}
    # (IoU, recall, category), all sizes, most detections
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    rows = []
    for category in categories:
        curves = precision[:, :, ordered.index(category)]
        quality = (mean_of_known(part) for part in (curves, curves[0], curves[5]))
        rows.append({"objects": objects[category], **dict(zip(columns, quality))})
    return {"AP": 0.0, "AP50": 0.0, **figures}, rows


def mean_of_known(values: Any) -> Optional[float]:
    """The mean of the values that are defined: not ``None``, not -1; ``None`` where there is none."""
    known = np.array([value for value in np.ravel(values) if value is not None and value > -1], np.float64)
    return float(known.mean()) if known.size else None
