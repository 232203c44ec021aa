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
    """Counts over a data set; ``add`` images, ``merge`` what other processes counted, then ``summary``.

    Args:
        categories: COCO panoptic ``categories`` (``id``, ``name``, ``isthing``).
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
        """Count one image.

        Args:
            truth, predicted: ``(H, W)`` segment ids, 0 = unlabelled, below 2**24.
            truth_segments, predicted_segments: ``segments_info``: ``id``, ``category_id``; truth also ``iscrowd``.
            name: what errors call the image.

        Raises:
            DataError: sizes differ, a segment is in the map but not in the list or the other way about, or a category
                is unknown.
        """
        if truth.shape != predicted.shape:
            raise DataError(
                "truth and prediction differ in size", file=name, found=str(predicted.shape), expected=str(truth.shape)
            )
        pairs, overlaps = np.unique(truth.astype(np.int64) * _MAX_ID + predicted, return_counts=True)
        truth_ids, predicted_ids = pairs // _MAX_ID, pairs % _MAX_ID
        gold = _Segments(truth_ids, overlaps, truth_segments, self._place, f"{name} (truth)")
        guess = _Segments(predicted_ids, overlaps, predicted_segments, self._place, f"{name} (prediction)")

        rows, columns = gold.index(truth_ids), guess.index(predicted_ids)
        on_void = np.zeros(len(guess.ids))
        unlabelled = (truth_ids == VOID) & (columns >= 0)
        on_void[columns[unlabelled]] = overlaps[unlabelled]

        both = (rows >= 0) & (columns >= 0)
        rows, columns, overlaps = rows[both], columns[both], overlaps[both].astype(np.float64)
        union = guess.areas[columns] + gold.areas[rows] - overlaps - on_void[columns]
        same = gold.places[rows] == guess.places[columns]
        iou = overlaps / union
        hit = same & ~gold.crowd[rows] & (iou > 0.5)  # over a half: at most one a segment, by the paper's theorem
        np.add.at(self.counts[:, 0], gold.places[rows[hit]], iou[hit])
        np.add.at(self.counts[:, 1], gold.places[rows[hit]], 1)

        missed = ~gold.crowd
        missed[rows[hit]] = False
        np.add.at(self.counts[:, 3], gold.places[missed], 1)

        excused = on_void
        crowd = same & gold.crowd[rows]
        # One crowd a category and image counts, the last listed: so does COCO's evaluation.
        listed = sorted(np.flatnonzero(gold.crowd), key=lambda row: gold.order[row])
        last = {int(gold.places[row]): row for row in listed}
        for row, column, pixels in zip(rows[crowd], columns[crowd], overlaps[crowd]):
            if last[int(gold.places[row])] == row:
                excused[column] += pixels
        wrong = excused / guess.areas <= 0.5
        wrong[columns[hit]] = False
        np.add.at(self.counts[:, 2], guess.places[wrong], 1)

    def merge(self, counts: np.ndarray) -> None:
        """Add the ``counts`` of another process."""
        self.counts += counts

    def summary(self) -> dict[str, Any]:
        """Figures between 0 and 1.

        Returns:
            ``All``, ``Things``, ``Stuff``: each ``pq``, ``sq``, ``rq`` and ``n``, means over the ``n`` categories that
            occur in truth or prediction; ``per_class``: a list of ``category_id``, ``name``, ``pq``, ``sq``, ``rq``,
            ``tp``, ``fp``, ``fn`` (``pq`` is ``None`` for a category that does not occur).
        """
        rows = [self._row(place) for place in range(len(self.categories))]
        groups = {"All": (0, 1), "Things": (1,), "Stuff": (0,)}
        found: dict[str, Any] = {
            group: _mean(
                [
                    row
                    for row, category in zip(rows, self.categories)
                    if row["pq"] is not None and int(category["isthing"]) in wanted
                ]
            )
            for group, wanted in groups.items()
        }
        found["per_class"] = rows
        return found

    def _row(self, place: int) -> dict[str, Any]:
        iou, tp, fp, fn = self.counts[place]
        category = self.categories[place]
        row: dict[str, Any] = {
            "category_id": category["id"],
            "name": category["name"],
            "pq": None,
            "sq": None,
            "rq": None,
        }
        if tp + fp + fn:
            weight = tp + 0.5 * fp + 0.5 * fn
            row.update(pq=iou / weight, sq=iou / tp if tp else 0.0, rq=tp / weight)
        row.update(tp=int(tp), fp=int(fp), fn=int(fn))
        return row


class _Segments:
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
        declared = np.array([int(segment["id"]) for segment in info], dtype=np.int64)
        self.order = order = np.argsort(declared, kind="stable")
        self.ids = declared[order]
        unknown = sorted({int(segment["category_id"]) for segment in info} - set(places))
        if unknown:
            raise DataError("segments of a category that is not listed", file=name, found=str(unknown))
        if len(np.unique(self.ids)) != len(self.ids) or VOID in self.ids:
            raise DataError("segment ids must be unique and not 0", file=name)
        self.places = np.array([places[int(segment["category_id"])] for segment in info], dtype=np.int64)[order]
        self.crowd = np.array([bool(segment.get("iscrowd", 0)) for segment in info], dtype=bool)[order]
        self.areas = np.zeros(len(self.ids))
        rows = self.index(ids)
        stray = np.unique(ids[(rows < 0) & (ids != VOID)])
        if len(stray):
            raise DataError(
                "segments in the map that segments_info does not list", file=name, found=str(stray[:5].tolist())
            )
        np.add.at(self.areas, rows[rows >= 0], pixels[rows >= 0])
        if not self.areas.all():
            empty = self.ids[self.areas == 0][:5].tolist()
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
