"""Panoptic quality as Kirillov et al. define it (*Panoptic Segmentation*, arXiv 1801.00868) and COCO counts it.

The same figures as panopticapi's ``pq_compute``, without that package, whose pins pip cannot satisfy beside current
NumPy. Rules beyond the paper's, from COCO's evaluation: unlabelled pixels (id 0) do not count against a prediction; a
crowd segment is neither found nor missed; a prediction with over half of its pixels on unlabelled ones or on crowds of
its own category is no false positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from seg2knet.errors import DataError

VOID = 0
_MAX_ID = 1 << 24


class PanopticQuality:
    """Counts over a data set with COCO's panoptic ``categories``: ``add`` images, ``merge`` what other processes
    counted, then ``summary``.
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
        """Count one image, which errors call ``name``.

        Args:
            truth, predicted: ``(H, W)`` segment ids, 0 = unlabelled, below 2**24.
            truth_segments, predicted_segments: ``segments_info``: ``id``, ``category_id``; truth also ``iscrowd``.

        Raises:
            DataError: sizes differ, a segment is in the map but not in the list or the reverse, or a category is
                unknown.
        """
        if truth.shape != predicted.shape:
            raise DataError(
                "truth and prediction differ in size", file=name, found=str(predicted.shape), expected=str(truth.shape)
            )
        pairs, overlaps = np.unique(truth.astype(np.int64) * _MAX_ID + predicted, return_counts=True)
        truth_ids, predicted_ids = pairs // _MAX_ID, pairs % _MAX_ID
        gold = _SegmentTable(truth_ids, overlaps, truth_segments, self._place, f"{name} (truth)")
        guess = _SegmentTable(predicted_ids, overlaps, predicted_segments, self._place, f"{name} (prediction)")

        rows, columns = gold.index(truth_ids), guess.index(predicted_ids)
        excused = np.zeros(len(guess.ids))
        unlabelled = (truth_ids == VOID) & (columns >= 0)
        excused[columns[unlabelled]] = overlaps[unlabelled]

        both = (rows >= 0) & (columns >= 0)
        rows, columns, overlaps = rows[both], columns[both], overlaps[both].astype(np.float64)
        iou = overlaps / (guess.areas[columns] + gold.areas[rows] - overlaps - excused[columns])
        same = gold.places[rows] == guess.places[columns]
        hit = same & ~gold.crowd[rows] & (iou > 0.5)  # over a half: at most one a segment, by the paper's theorem
        missed, wrong = ~gold.crowd, np.ones(len(guess.ids), bool)
        missed[rows[hit]] = wrong[columns[hit]] = False

        # One crowd a category and image counts, the last listed: so does COCO's evaluation.
        last = {gold.places[row]: row for row in sorted(np.flatnonzero(gold.crowd), key=lambda row: gold.order[row])}
        crowd = same & np.array([last.get(gold.places[row]) == row for row in rows], dtype=bool)
        np.add.at(excused, columns[crowd], overlaps[crowd])
        wrong &= excused / guess.areas <= 0.5
        for column, places, value in (
            (0, gold.places[rows[hit]], iou[hit]),
            (1, gold.places[rows[hit]], 1),
            (2, guess.places[wrong], 1),
            (3, gold.places[missed], 1),
        ):
            np.add.at(self.counts[:, column], places, value)

    def merge(self, counts: np.ndarray) -> None:
        """Add the ``counts`` of another process."""
        self.counts += counts

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
        figures = {key.upper(): float(summary["All"][key]) for key in ("pq", "sq", "rq")}
        groups = [group for group in ("Things", "Stuff") if summary[group]["n"]]
        return {**figures, **{f"PQ_{group.lower()}": float(summary[group]["pq"]) for group in groups}}, [
            {"name": row["name"], "PQ": row["pq"], "SQ": row["sq"], "RQ": row["rq"], "objects": row["tp"] + row["fn"]}
            for row in summary["per_class"]
        ]


class _SegmentTable:
    """The segments of one map by index into the sorted ids: places of categories, areas, crowds, place in the list."""

    def __init__(
        self,
        ids: np.ndarray,
        pixels: np.ndarray,
        listed: Iterable[Mapping[str, Any]],
        places: Mapping[int, int],
        name: str,
    ) -> None:
        info = list(listed)
        unknown = sorted({int(segment["category_id"]) for segment in info} - set(places))
        if unknown:
            raise DataError("segments of a category that is not listed", file=name, found=str(unknown))
        declared = np.array([int(segment["id"]) for segment in info], dtype=np.int64)
        self.order = order = np.argsort(declared, kind="stable")
        self.ids = declared[order]
        if len(np.unique(self.ids)) != len(self.ids) or VOID in self.ids:
            raise DataError("segment ids must be unique and not 0", file=name)
        self.places = np.array([places[int(segment["category_id"])] for segment in info], dtype=np.int64)[order]
        self.crowd = np.array([bool(segment.get("iscrowd", 0)) for segment in info], dtype=bool)[order]
        rows = self.index(ids)
        stray = np.unique(ids[(rows < 0) & (ids != VOID)])
        if len(stray):
            raise DataError("segments in the map that segments_info does not list", file=name, found=str(stray[:5]))
        self.areas = np.bincount(rows[rows >= 0], pixels[rows >= 0], len(self.ids))
        if not self.areas.all():
            empty = self.ids[self.areas == 0][:5]
            raise DataError("segments in segments_info that have no pixel in the map", file=name, found=str(empty))

    def index(self, ids: np.ndarray) -> np.ndarray:
        """Index of each id, -1 for those that are not listed."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        spot = np.clip(np.searchsorted(self.ids, ids), 0, len(self.ids) - 1)
        return np.where(self.ids[spot] == ids, spot, -1)


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    count = len(rows)
    return {key: sum(row[key] for row in rows) / count if count else 0.0 for key in ("pq", "sq", "rq")} | {"n": count}
