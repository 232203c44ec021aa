"""Everything that ``seg2knet test`` says of instance results, as numbers."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Optional

import numpy as np

from seg2knet.errors import DataError, EnvironmentProblem
from seg2knet.judge.objects import FOUND, KINDS, MISSED, Verdict, by_image, outlined, verdicts

TIDE = {"class": "Cls", "place": "Loc", "both": "Both", "duplicate": "Dupe", "background": "Bkg", "missed": "Miss"}
"""Our kinds of errors by hotcoco's names."""
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
POINTS = 101
"""Points of a curve."""


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 of one class at an IoU of 0.5, as the score threshold falls."""

    name: str  # the class, or ``all classes`` for the mean over classes
    # ``POINTS`` numbers each; scores are the thresholds 1 to 0
    scores: list[float]
    precision: list[float]
    recall: list[float]
    f1: list[float]
    threshold: float  # the score at which F1 is highest

    @property
    def best(self) -> float:
        """The highest F1."""
        return max(self.f1, default=0.0)


@dataclass(frozen=True)
class Analysis:
    """Where a model fails on a split."""

    figures: dict[str, float]  # ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``, 0..1
    threshold: float  # the score threshold that is best for F1 over all classes
    classes: list[dict[str, Any]]  # a row for each class that has truth: name, objects, AP, AP50, AP75, F1, threshold
    curves: list[Curve]  # one for each such class, the mean over them first
    names: list[str]  # rows and columns of the confusion matrix: the classes, and then nothing
    # counts at ``threshold``; rows are annotated, columns predicted classes; the last row are predictions where nothing
    # is annotated, the last column missed objects
    confusion: list[list[int]]
    errors: list[dict[str, Any]]  # for each kind of error its count at ``threshold`` and the AP50 it costs
    # bins of score with the share of predictions that are right; ``ece``, the expected error
    calibration: dict[str, Any]
    images: list[dict[str, Any]]  # a row for each image, most errors first: image_id, file_name, found, wrong, missed
    objects: list[Verdict] = field(repr=False)  # verdicts at ``threshold``

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = ("figures", "threshold", "classes", "errors", "calibration", "images")
        return {
            **{key: getattr(self, key) for key in plain},
            "curves": [vars(curve) for curve in self.curves],
            "confusion": {"names": self.names, "matrix": self.confusion},
            "objects": [vars(verdict) for verdict in self.objects],
        }


def analyse(truth: dict[str, Any], results: Sequence[dict[str, Any]], least_score: Optional[float] = None) -> Analysis:
    """Judge COCO results of instance segmentation, their masks as run-length codes, by a COCO file's content.

    ``least_score``: the score threshold for confusion and verdicts; by default the one that is best for F1.

    Raises DataError: there is no annotated object, or a result names an unknown image or category; EnvironmentProblem:
    hotcoco is not installed.
    """
    _check(truth, results)
    evaluator = evaluated(truth, results)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    counts = _objects_by_class(truth)
    curves = _curves(evaluator, results, truth)
    threshold = curves[0].threshold if least_score is None else least_score
    judged = verdicts(by_image(truth, results, threshold), results)
    report = evaluator.report()
    precision, order = evaluator.eval["precision"], list(evaluator.params.catIds)
    rows = []
    for (category, count), curve in zip(counts.items(), curves[1:]):
        own = precision[:, :, order.index(category), 0, -1]
        figures = {"AP": _mean(own), "AP50": _mean(own[0]), "AP75": _mean(own[5]), "F1": round(curve.best, 6)}
        rows.append({"name": curve.name, "objects": count, **figures, "threshold": curve.threshold})
    predicted = {result["category_id"] for result in results}
    used = [category for category in names if category in counts or category in predicted]
    return Analysis(
        figures={name: round(float(report["metrics"][name]), 6) for name in FIGURES},
        threshold=threshold,
        classes=rows,
        curves=curves,
        names=[names[category] for category in used],
        confusion=_confusion(judged, used),
        errors=_errors(evaluator, judged),
        calibration=_calibration(evaluator),
        images=_images(truth, judged),
        objects=judged,
    )


def best_threshold(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> Optional[float]:
    """The score threshold that is best for F1 over all classes; ``None`` where no prediction is right, or hotcoco is
    not installed."""
    if not _objects_by_class(truth) or not results or find_spec("hotcoco") is None:
        return None
    mean = _curves(evaluated(truth, results), results, truth)[0]
    return mean.threshold if mean.best else None


def evaluated(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> Any:
    """hotcoco's evaluator of masks, run. Raises EnvironmentProblem: hotcoco is not installed."""
    try:
        import hotcoco
    except ImportError:
        hint = "pip install hotcoco (Python 3.10 or newer)"
        raise EnvironmentProblem("error analysis needs hotcoco", found="it is not installed", hint=hint) from None
    annotations = [{**annotation, "iscrowd": int(annotation.get("iscrowd") or 0)} for annotation in outlined(truth)]
    content = {"images": truth["images"], "categories": truth["categories"], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = hotcoco.COCO(content)
        evaluator = hotcoco.COCOeval(annotated, annotated.loadRes(list(results)), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _check(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> None:
    if not any(not annotation.get("iscrowd") for annotation in outlined(truth)):
        raise DataError("the split has no annotated object to judge by")
    images = {image["id"]: [image["height"], image["width"]] for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    for number, result in enumerate(results):
        place = f"result {number}"
        for key, known in (("image_id", images), ("category_id", categories)):
            if (found := result.get(key)) not in known:
                message, expected = f"a result's {key} is not in the annotation file", f"one of {len(known)} ids"
                raise DataError(message, place=place, found=str(found), expected=expected)
        mask, score, size = result.get("segmentation"), result.get("score"), images[result["image_id"]]
        if not isinstance(mask, dict) or list(mask.get("size") or ()) != size:
            message = "a result's segmentation is not a run-length code of its image's size"
            raise DataError(message, place=place, expected=f"size {size} and counts")
        if not isinstance(score, (int, float)):
            raise DataError("a result's score is not a number", place=place, found=repr(score))


def _objects_by_class(truth: dict[str, Any]) -> dict[int, int]:
    """Annotated objects that are no crowd, of the classes that have any, in the file's order of classes."""
    counted = Counter(entry["category_id"] for entry in outlined(truth) if not entry.get("iscrowd"))
    return {each["id"]: counted[each["id"]] for each in truth["categories"] if counted[each["id"]]}


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return round(float(known.mean()), 6) if known.size else 0.0


def _curves(evaluator: Any, results: Sequence[dict[str, Any]], truth: dict[str, Any]) -> list[Curve]:
    names, counts = {category["id"]: category["name"] for category in truth["categories"]}, _objects_by_class(truth)
    status = evaluator.image_diagnostics(iou_thr=0.5)["dt_status"]  # by id, which hotcoco counts from 1
    scores: dict[int, list[tuple[float, bool]]] = {category: [] for category in counts}
    for place, result in enumerate(results):
        if result["category_id"] in scores and status.get(place + 1) in ("tp", "fp"):
            scores[result["category_id"]].append((float(result["score"]), status[place + 1] == "tp"))
    grid = np.linspace(1, 0, POINTS)
    curves = [_curve(names[category], scores[category], count, grid) for category, count in counts.items()]
    mean = [np.mean([getattr(curve, key) for curve in curves], axis=0) for key in ("precision", "recall", "f1")]
    return [_as_curve("all classes", grid, *mean), *curves]


def _curve(name: str, scored: list[tuple[float, bool]], objects: int, grid: np.ndarray) -> Curve:
    right = np.array([score for score, is_right in scored if is_right])
    every = np.array([score for score, _ in scored])
    true = (right[None, :] >= grid[:, None]).sum(1)
    shown = (every[None, :] >= grid[:, None]).sum(1)
    precision = np.where(shown > 0, true / np.maximum(shown, 1), 1.0)
    recall = true / objects
    return _as_curve(name, grid, precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-9))


def _as_curve(name: str, *rows: np.ndarray) -> Curve:
    scores, precision, recall, f1 = ([round(float(value), 6) for value in row] for row in rows)
    return Curve(name, scores, precision, recall, f1, threshold=scores[int(np.argmax(f1))])


def _confusion(judged: Sequence[Verdict], categories: Sequence[int]) -> list[list[int]]:
    """Rows are annotated classes and then nothing, columns predicted classes and then nothing."""
    row = {category: place for place, category in enumerate(categories)}
    nothing = len(categories)
    matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
    told: set[Optional[int]] = {verdict.annotation_id for verdict in judged if verdict.kind == FOUND}
    for verdict in judged:
        if verdict.kind == MISSED:
            matrix[row[verdict.true_class or 0], nothing] += 1
        elif verdict.kind == FOUND or (verdict.kind == "class" and verdict.annotation_id not in told):
            told.add(verdict.annotation_id)
            matrix[row[verdict.true_class or 0], row[verdict.predicted_class or 0]] += 1
        else:
            matrix[nothing, row[verdict.predicted_class or 0]] += 1
    return matrix.tolist()


def _errors(evaluator: Any, judged: Sequence[Verdict]) -> list[dict[str, Any]]:
    costs = evaluator.tide_errors()["delta_ap"]
    counts = Counter(verdict.kind for verdict in judged)
    rows = [
        {"kind": kind, "count": counts[kind], "AP50": round(float(costs[name]), 6), "what": KINDS[kind]}
        for kind, name in TIDE.items()
    ]
    return sorted(rows, key=lambda row: -row["AP50"])


def _calibration(evaluator: Any) -> dict[str, Any]:
    told = evaluator.calibration(n_bins=10, iou_threshold=0.5)
    keys = {"bin_lower": "from", "bin_upper": "to", "avg_confidence": "score", "avg_accuracy": "right"}
    bins = [
        {**{name: round(float(row[key]), 6) for key, name in keys.items()}, "count": int(row["count"])}
        for row in told["bins"]
        if row["count"]
    ]
    return {"ece": round(float(told["ece"]), 6), "bins": bins}


def _images(truth: dict[str, Any], judged: Sequence[Verdict]) -> list[dict[str, Any]]:
    rows = {
        image["id"]: {"image_id": image["id"], "file_name": image["file_name"], "found": 0, "wrong": 0, "missed": 0}
        for image in truth["images"]
    }
    for verdict in judged:
        rows[verdict.image_id][{FOUND: "found", MISSED: "missed"}.get(verdict.kind, "wrong")] += 1
    return sorted(rows.values(), key=lambda row: (-(row["wrong"] + row["missed"]), row["found"]))
