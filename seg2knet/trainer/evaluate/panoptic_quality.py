"""Panoptic quality as Kirillov et al. define it (*Panoptic Segmentation*, arXiv 1801.00868) and COCO counts it.

The same figures as panopticapi's ``pq_compute``, without that package, whose pins pip cannot satisfy beside current
NumPy. Rules beyond the paper's, from COCO's evaluation: unlabelled pixels (id 0) do not count against a prediction; a
crowd segment is neither found nor missed; a prediction with over half of its pixels on unlabelled ones or on crowds of
its own category is no false positive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seg2knet.dataset.label_image import read_ids
from seg2knet.errors import DataError
from seg2knet.knet.recipe import INSTANCE_OFFSET

VOID = 0
_MAX_ID = 1 << 24


class _Segment(NamedTuple):
    place: int  # of the category
    crowd: bool
    area: int


class PanopticQuality:
    """Counts over a data set with COCO's panoptic ``categories``: ``add`` images, add the ``counts`` of other
    processes, then ``summary``.
    """

    def __init__(self, categories: Sequence[Mapping[str, Any]]) -> None:
        self.categories = list(categories)
        self._place = {int(category["id"]): place for place, category in enumerate(self.categories)}
        self.counts = np.zeros((len(self.categories), 4))
        """``(K, 4)`` float64: sum of IoU, true positives, false positives, false negatives by category."""

    def add(
        self,
        truth: np.ndarray,
        truth_segments: Iterable[Mapping[str, Any]],
        predicted: np.ndarray,
        predicted_segments: Iterable[Mapping[str, Any]],
        name: str = "",
    ) -> None:
        """Count one image, which errors call ``name``: ``(H, W)`` segment ids, 0 = unlabelled, below 2**24, and their
        ``segments_info``: ``id``, ``category_id``; truth also ``iscrowd``.

        Raises DataError: sizes differ, a segment is in the map but not in the list or the reverse, or a category is
        unknown.
        """
        if truth.shape != predicted.shape:
            found, expected = str(predicted.shape), str(truth.shape)
            raise DataError("truth and prediction differ in size", file=name, found=found, expected=expected)
        pairs, pixels = np.unique(truth.astype(np.int64) * _MAX_ID + predicted, return_counts=True)
        overlaps = {divmod(pair, _MAX_ID): count for pair, count in zip(pairs.tolist(), pixels.tolist())}
        of_truth, of_predicted = Counter[int](), Counter[int]()
        for (gold_id, guess_id), count in overlaps.items():
            of_truth[gold_id] += count
            of_predicted[guess_id] += count
        gold = self._segments(truth_segments, of_truth, f"{name} (truth)")
        guess = self._segments(predicted_segments, of_predicted, f"{name} (prediction)")

        paired: set[tuple[int, int]] = set()
        for (gold_id, guess_id), both in overlaps.items():
            one, other = gold.get(gold_id), guess.get(guess_id)
            if one is None or other is None or one.place != other.place or one.crowd:
                continue
            iou = both / (one.area + other.area - both - overlaps.get((VOID, guess_id), 0))
            if iou > 0.5:  # at most one a segment, by the paper's theorem
                paired.add((gold_id, guess_id))
                self.counts[one.place, :2] += iou, 1
        hit, right = {gold_id for gold_id, _ in paired}, {guess_id for _, guess_id in paired}
        # One crowd a category and image counts, the last listed: so does COCO's evaluation.
        crowds = {segment.place: gold_id for gold_id, segment in gold.items() if segment.crowd}
        for guess_id, segment in guess.items():
            crowd = overlaps.get((crowds.get(segment.place, -1), guess_id), 0)
            excused = overlaps.get((VOID, guess_id), 0) + crowd
            self.counts[segment.place, 2] += guess_id not in right and excused / segment.area <= 0.5
        for gold_id, segment in gold.items():
            self.counts[segment.place, 3] += gold_id not in hit and not segment.crowd

    def add_map(self, sample: Mapping[str, Any], predicted: np.ndarray) -> None:
        """Count an image whose categories are labels: ``sample`` has ``img_path``, ``seg_map_path`` and
        ``segments_info`` with each segment's ``category``; ``predicted`` is a map for :func:`panoptic_segments`.
        """
        truth = [{**segment, "category_id": segment["category"]} for segment in sample["segments_info"]]
        ids, segments = panoptic_segments(predicted, len(self.categories))
        self.add(read_ids(sample["seg_map_path"]), truth, ids, segments, sample["img_path"])

    def _segments(
        self, listed: Iterable[Mapping[str, Any]], areas: Mapping[int, int], name: str
    ) -> dict[int, _Segment]:
        """The listed segments of a map by id, with the areas that it has."""
        info = list(listed)
        unknown = sorted({segment["category_id"] for segment in info} - set(self._place))
        if unknown:
            raise DataError("segments of a category that is not listed", file=name, found=str(unknown))
        segments = {
            one["id"]: _Segment(self._place[one["category_id"]], bool(one.get("iscrowd")), areas.get(one["id"], 0))
            for one in info
        }
        if len(segments) != len(info) or VOID in segments:
            raise DataError("segment ids must be unique and not 0", file=name)
        stray = sorted(set(areas) - set(segments) - {VOID})[:5]
        if stray:
            raise DataError("segments in the map that segments_info does not list", file=name, found=str(stray))
        empty = [number for number, segment in segments.items() if not segment.area][:5]
        if empty:
            raise DataError("segments in segments_info that have no pixel in the map", file=name, found=str(empty))
        return segments

    def summary(self) -> dict[str, Any]:
        """Figures between 0 and 1: ``All``, ``Things``, ``Stuff``, each ``pq``, ``sq``, ``rq`` and ``n``, means over
        the ``n`` categories that occur in truth or prediction; ``per_class``: rows of ``category_id``, ``name``,
        ``pq``, ``sq``, ``rq``, ``tp``, ``fp``, ``fn`` (``pq`` is ``None`` for a category that does not occur).
        """
        rows: list[dict[str, Any]] = []
        kinds: dict[str, list[dict[str, Any]]] = {"All": [], "Things": [], "Stuff": []}
        for category, (iou, tp, fp, fn) in zip(self.categories, self.counts.tolist()):
            row = {"category_id": category["id"], "name": category["name"], "pq": None, "sq": None, "rq": None}
            row.update(tp=int(tp), fp=int(fp), fn=int(fn))
            rows.append(row)
            if tp + fp + fn:
                weight = tp + 0.5 * fp + 0.5 * fn
                row.update(pq=iou / weight, sq=iou / tp if tp else 0.0, rq=tp / weight)
                kinds["All"].append(row)
                kinds["Things" if category["isthing"] else "Stuff"].append(row)
        return {**{kind: _mean(present) for kind, present in kinds.items()}, "per_class": rows}

    def tables(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """``PQ``, ``SQ``, ``RQ``, ``PQ_things``, ``PQ_stuff`` (of a kind that occurs), and the table by class."""
        summary = self.summary()
        figures = {key.upper(): summary["All"][key] for key in ("pq", "sq", "rq")}
        figures |= {f"PQ_{group.lower()}": summary[group]["pq"] for group in ("Things", "Stuff") if summary[group]["n"]}
        return figures, [
            {"name": row["name"], "PQ": row["pq"], "SQ": row["sq"], "RQ": row["rq"], "objects": row["tp"] + row["fn"]}
            for row in summary["per_class"]
        ]


def panoptic_segments(predicted: np.ndarray, num_classes: int) -> tuple[np.ndarray, list[dict[str, int]]]:
    """mmdet's panoptic map (id = label + 1000 * number; ``num_classes`` = nothing) as COCO's: ``(H, W)`` int32 segment
    ids from 1 (0 = nothing), and each segment's ``id`` and ``category_id`` (its label).
    """
    present, places = np.unique(predicted, return_inverse=True)
    labels = present % INSTANCE_OFFSET
    numbers = np.where(labels < num_classes, np.arange(1, len(present) + 1), VOID).astype(np.int32)
    segments = [{"id": int(number), "category_id": int(label)} for number, label in zip(numbers, labels) if number]
    return numbers[places].reshape(predicted.shape[-2:]), segments


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    count = len(rows)
    return {key: sum(row[key] for row in rows) / count if count else 0.0 for key in ("pq", "sq", "rq")} | {"n": count}
