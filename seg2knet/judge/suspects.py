"""Annotations that look wrong to models that have not seen them, ranked.

Each kind of suspicion is a number 0..1 made from what a model says of the place: its scores are trusted as far as its
classes are learned (recall of the class on the same images), and its outlines as far as they usually fit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
from pycocotools import mask as coco_mask

from seg2knet.judge.objects import NEAR, SAME, ImageObjects, Judged, by_image, rle_of
from seg2knet.validators.model import Finding, Fix, Hit, all_rules
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import find

MISSING, WRONG_CLASS, WRONG_OUTLINE, MERGED, SPLIT, SPURIOUS, OUT_OF_PLACE = (
    "missing", "wrong class", "wrong outline", "merged", "split", "spurious", "image out of place",
)  # fmt: skip
KINDS = (MISSING, WRONG_CLASS, WRONG_OUTLINE, MERGED, SPLIT, SPURIOUS, OUT_OF_PLACE)
"""The kinds of suspicion; the rules of the family ML say what each means."""
INSIDE = 0.8
"""Share of a mask that lies in another from which it is a part of it."""
BESIDE = 0.02
"""IoU from which a predicted object may be an annotated one of its class whose outline is wrong."""
TOGETHER = 0.6
"""IoU with the union of its parts from which a mask is made of them."""
EXPECTED = 0.02
"""Share of the objects that are expected to have an error of one kind."""
TINY = 16
"""Pixels below which a prediction is nothing."""
LEAST = 0.05
"""Suspicions below it, before they are weighed, are not reported."""
_FEW = 3
"""Annotated objects that an image out of place has at least."""


@dataclass(frozen=True)
class Suspect:
    """An annotation, or a place without one, that looks wrong."""

    kind: str  # one of ``KINDS``
    score: float  # suspicion, 0..1; suspects are ranked by it
    image_id: int  # of the COCO file
    annotation_ids: tuple[int, ...]  # the annotations in question; empty for a missing one
    result: Optional[int]  # place in the list of results of what the model sees; ``None`` where it sees nothing
    category_id: Optional[int]  # the class that the annotation should have, as the model sees it
    reason: str  # one sentence with the numbers


def suspects(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> list[Suspect]:
    """Annotations that look wrong, by falling score; each is named once, by its strongest suspicion.

    ``truth``: a COCO file's content; ``results``: of models that were not trained on these images, low scores included.
    """
    images = by_image(truth, results)
    known = _Known(images, results, truth)
    found = [one for image in images for one in _of_image(_View(image, results, known)) if one.score >= LEAST]
    return _strongest(_weighed(found, images))


class _Known:
    """How well the models know each class: what their scores and outlines are worth; all by the category's id.

    ``recall``: share of a class's annotations that a prediction of the class matches; ``usual``: the median score of
    right predictions; ``fit``: the median IoU of matches; ``sizes``: areas of the annotations, as shares of their
    images, and whether they are matched.
    """

    def __init__(
        self, images: Iterable[ImageObjects], results: Sequence[dict[str, Any]], truth: dict[str, Any]
    ) -> None:
        self.names = {category["id"]: category["name"] for category in truth["categories"]}
        matches: dict[int, list[tuple[float, float]]] = defaultdict(list)  # score and IoU of the best-scored match
        sizes: dict[int, list[tuple[float, bool]]] = defaultdict(list)
        for image in images:
            predicted = np.array([results[place]["category_id"] for place in image.results], np.int64)
            for column, annotation in enumerate(image.annotations):
                category = annotation["category_id"]
                matching = np.flatnonzero((predicted == category) & (image.iou[:, column] >= SAME))
                sizes[category].append((image.shares[column], len(matching) > 0))
                if len(matching):  # rows, and so results, are in the order of their scores
                    row = int(matching[0])
                    matches[category].append((results[image.results[row]]["score"], float(image.iou[row, column])))
        self.sizes = {category: np.array(rows, float).T for category, rows in sizes.items()}
        self.recall = {category: float(matched.mean()) for category, (_, matched) in self.sizes.items()}
        medians = {category: np.median(matches[category] or [(0.0, SAME)], axis=0).tolist() for category in sizes}
        self.usual = {category: score for category, (score, _) in medians.items()}
        self.fit = {category: fit for category, (_, fit) in medians.items()}

    def found(self, category: int, share: float) -> float:
        """How many of a class's annotations of about this size are matched, 0..1: small ones are missed more often.

        The annotation in question, which is not, counts as its class does.
        """
        shares, matched = self.sizes[category]
        alike = np.exp(-(np.log(np.maximum(shares, 1e-9) / max(share, 1e-9)) ** 2) / 2)
        return min(1.0, float(alike @ matched + self.recall[category]) / float(alike.sum()))

    def confidence(self, category: int, score: float) -> float:
        """A score in relation to the median of its class's right predictions, 0..1, weighted by the class's recall.

        A class that the models never find has scores near nothing: what is above them says nothing.
        """
        usual = self.usual.get(category, 0.0)
        return min(1.0, score / usual) * self.recall[category] if usual > 0 else 0.0


class _View:
    """One image as the judges below look at it.

    ``iou``: ``(R, A)`` of results and annotations; ``own``: the same, 0 for those of two classes; ``unfound``: ``(A,)``
    whether no result of the class matches; ``inside``: share of a result that lies in an annotation; ``covered``: of an
    annotation in a result; ``sure``: ``(R,)`` confidence of each result for its own class, 0..1;
    ``predicted`` and ``annotated``: category ids.
    """

    def __init__(self, image: ImageObjects, results: Sequence[dict[str, Any]], known: _Known) -> None:
        self.image, self.known, self.iou = image, known, image.iou
        self.results = [results[place] for place in image.results]
        size = image.image["height"], image.image["width"]
        self.masks = [rle_of(result["segmentation"], *size) for result in self.results]
        self.truths = [rle_of(annotation["segmentation"], *size) for annotation in image.annotations]
        self.predicted = np.array([result["category_id"] for result in self.results], np.int64)
        self.annotated = np.array([annotation["category_id"] for annotation in image.annotations], np.int64)
        self.sure = np.array([known.confidence(r["category_id"], r["score"]) for r in self.results])
        self.own = np.where(self.predicted[:, None] == self.annotated, self.iou, 0)
        self.unfound = self.own.max(0, initial=0) < SAME
        self.area = coco_mask.area(self.masks).astype(float) if self.masks else np.zeros(0)
        true_area = image.shares * size[0] * size[1]
        shared = self.iou * (self.area[:, None] + true_area) / (1 + self.iou) if self.iou.size else self.iou
        self.inside = shared / np.maximum(self.area[:, None], 1)
        self.covered = shared / np.maximum(true_area, 1)

    def suspect(self, kind: str, score: float, columns: Sequence[int], row: Optional[int], reason: str) -> Suspect:
        return Suspect(
            kind, min(float(score), 1.0), self.image.image["id"],
            tuple(self.image.annotations[column]["id"] for column in columns),
            None if row is None else self.image.results[row],
            None if row is None else int(self.predicted[row]), reason,
        )  # fmt: skip

    def name(self, category: int) -> str:
        return self.known.names[int(category)]

    def union_fits(self, parts: Sequence[Any], whole: Any) -> float:
        """The IoU of the union of some masks with another; 0 where they are not made of one another."""
        fit = float(coco_mask.iou([coco_mask.merge(parts)], [whole], [0])[0, 0])
        return fit if fit >= TOGETHER else 0.0

    def touches(self, row: int, others: Sequence[int]) -> bool:
        """Whether a result overlaps one of ``others``."""
        masks = [self.masks[other] for other in others]
        return bool(masks) and np.max(coco_mask.iou([self.masks[row]], masks, [0] * len(masks))) >= NEAR


def _of_image(view: _View) -> Iterable[Suspect]:
    place = _out_of_place(view)
    if place is not None:
        yield place
        return
    yield from _missing(view)
    for column in range(len(view.truths)):
        judged = (judge(view, column) for judge in (_wrong_class, _wrong_outline, _merged, _spurious))
        yield from filter(None, judged)
    yield from _split(view)


def _missing(view: _View) -> Iterable[Suspect]:
    """Confident objects where nothing is annotated; of several on one place the surest."""
    taken: list[int] = []
    for row in np.argsort(-view.sure, kind="stable").tolist():
        if view.sure[row] < LEAST:
            break
        if view.image.ignored[row] or view.area[row] < TINY or view.inside[row].max(initial=0) >= SAME:
            continue
        overlap = float(view.iou[row].max(initial=0))
        if view.own[row, view.unfound].max(initial=0) >= BESIDE:  # its outline is wrong
            continue
        if overlap >= NEAR * 2 or view.touches(row, taken):
            continue
        taken.append(row)
        score = view.results[row]["score"]
        yield view.suspect(
            MISSING, view.sure[row] * (1 - overlap), (), row,
            f"{view.name(view.predicted[row])} with score {score:.2f}; nothing is annotated there",
        )  # fmt: skip


def _wrong_class(view: _View, column: int) -> Optional[Suspect]:
    matching = np.flatnonzero(view.iou[:, column] >= SAME)
    other = [row for row in matching if view.predicted[row] != view.annotated[column]]
    own = [view.sure[row] for row in matching if view.predicted[row] == view.annotated[column]]
    if not other:
        return None
    row = int(max(other, key=lambda row: view.sure[row]))
    return view.suspect(
        WRONG_CLASS, (view.sure[row] - max(own, default=0.0)) * view.iou[row, column] ** 0.5, (column,), row,
        f"annotated {view.name(view.annotated[column])}, the model says {view.name(view.predicted[row])}"
        f" with score {view.results[row]['score']:.2f}",
    )  # fmt: skip


def _wrong_outline(view: _View, column: int) -> Optional[Suspect]:
    same = (view.own[:, column] >= BESIDE) & (view.iou.argmax(1) == column)  # others are of other objects
    if not same.any():
        return None
    row = int(np.where(same, view.sure * (view.iou[:, column] + 0.1), -1).argmax())
    usual = view.known.fit[int(view.annotated[column])]
    overlap = float(view.iou[row, column])
    return view.suspect(
        WRONG_OUTLINE, view.sure[row] * max(0.0, usual - overlap) / usual, (column,), row,
        f"outlines of {view.name(view.annotated[column])} usually agree to an IoU of {usual:.2f}, this one to"
        f" {overlap:.2f}",
    )  # fmt: skip


def _merged(view: _View, column: int) -> Optional[Suspect]:
    parts: list[int] = []
    for row in np.argsort(-view.sure, kind="stable").tolist():
        if view.predicted[row] != view.annotated[column] or view.inside[row, column] < INSIDE:
            continue
        if view.iou[row, column] >= TOGETHER + 0.1 or view.covered[row, column] < NEAR:
            continue
        if not view.touches(row, parts):
            parts.append(row)
    parts = parts[:4]
    whole = view.union_fits([view.masks[row] for row in parts], view.truths[column]) if len(parts) > 1 else 0.0
    if not whole:
        return None
    return view.suspect(
        MERGED, float(np.mean(view.sure[parts[:2]])) * whole, (column,), parts[0],
        f"{len(parts)} objects of class {view.name(view.annotated[column])} lie in it",
    )  # fmt: skip


def _split(view: _View) -> Iterable[Suspect]:
    for row in range(len(view.results)):
        columns = [
            column
            for column in np.flatnonzero(view.covered[row] >= INSIDE).tolist()
            if view.annotated[column] == view.predicted[row] and view.iou[row, column] < TOGETHER + 0.1
        ]
        whole = view.union_fits([view.truths[c] for c in columns], view.masks[row]) if len(columns) > 1 else 0.0
        if not whole:
            continue
        yield view.suspect(
            SPLIT, view.sure[row] * whole, columns, row,
            f"the model sees one {view.name(view.predicted[row])} with score {view.results[row]['score']:.2f}"
            f" where {len(columns)} are annotated",
        )  # fmt: skip


def _spurious(view: _View, column: int) -> Optional[Suspect]:
    # Where another class fits, there is an object.
    overlap = np.where(view.iou[:, column] >= SAME, 1, view.own[:, column] / SAME)
    support = float((view.sure * overlap).max(initial=0))
    found = view.known.found(int(view.annotated[column]), view.image.shares[column])
    return view.suspect(  # squared: what models often miss, they miss here too
        SPURIOUS, (found * (1 - support)) ** 2, (column,), None,
        f"no {view.name(view.annotated[column])} is predicted there; {found:.0%} of those of about this size are found",
    )  # fmt: skip


def _out_of_place(view: _View) -> Optional[Suspect]:
    """All annotations unfound and all confident predictions without one."""
    count = len(view.image.annotations)
    if count < _FEW:
        return None
    fits = ~view.unfound
    recall = float(np.mean([view.known.recall[int(category)] for category in view.annotated]))
    sure = view.sure >= 0.3
    alone = float(np.mean(view.iou[sure].max(1, initial=0) < SAME)) if sure.any() else 0.0
    if fits.mean() > 0.25 or alone < 0.75:
        return None
    reason = f"{int(fits.sum())} of {count} annotations fit what the model sees"
    score = recall * (1 - float(fits.mean())) * alone
    return view.suspect(OUT_OF_PLACE, score + (1 - score) * 0.5, range(count), None, reason)


def _weighed(found: Sequence[Suspect], images: Sequence[ImageObjects]) -> Iterable[Suspect]:
    """Suspicions of a kind that many objects raise say little of each: the model is then at fault.

    A suspicion keeps ``p / (p + t)`` of its score. t is the share of the objects for which the same kind of suspicion
    is stronger, the mean of that among all objects and that among those of its class (for wrong classes: which are
    taken for the same other class); p = ``EXPECTED`` is the share of objects that are expected to have such an error.
    """
    classes = {one["id"]: one["category_id"] for image in images for one in image.annotations}
    totals: Counter[Any] = Counter(classes.values())
    totals[None] = len(classes)
    stronger: Counter[Any] = Counter()
    for suspect in sorted(found, key=lambda one: -one.score):
        own = classes[suspect.annotation_ids[0]] if suspect.annotation_ids else suspect.category_id
        group = (suspect.kind, own, suspect.category_id if suspect.kind == WRONG_CLASS else None)
        shares = [stronger[key] / max(totals[key[1]], 1) for key in ((suspect.kind, None), group)]
        stronger.update([(suspect.kind, None), group])
        yield replace(suspect, score=round(suspect.score * EXPECTED / (EXPECTED + sum(shares) / 2), 4))


def _strongest(found: Iterable[Suspect]) -> list[Suspect]:
    """By falling score; an annotation, or a prediction, is named by its strongest suspicion alone."""
    taken: set[tuple[str, int]] = set()
    kept = []
    for suspect in sorted(found, key=lambda one: (-one.score, one.image_id, one.annotation_ids, one.kind)):
        keys = {("annotation", number) for number in suspect.annotation_ids}
        if suspect.result is not None:
            keys.add(("result", suspect.result))
        if not keys & taken:
            taken |= keys
            kept.append(suspect)
    return kept


def as_report(judged: Judged, ranked: Sequence[Suspect], file: Path, seconds: float = 0.0) -> Report:
    """Suspects in their order as findings of the family ML on an annotation file; ``seconds``: how long it took."""
    images = {image["id"]: (row, image["file_name"]) for row, image in enumerate(judged.truth["images"])}
    rows = {annotation["id"]: row for row, annotation in enumerate(judged.truth["annotations"])}
    rules, dataset = all_rules(), find(file, images=judged.images)
    findings = []
    for suspect in ranked:
        row, name = images[suspect.image_id]
        pointer, annotation = f"/images/{row}", None
        if suspect.kind not in (MISSING, OUT_OF_PLACE):
            annotation = suspect.annotation_ids[0]
            pointer = f"/annotations/{rows[annotation]}"
        rule = rules[f"ML{KINDS.index(suspect.kind) + 1:03}"]
        message = f"{suspect.reason} (suspicion {suspect.score:.2f})"
        hit = Hit(message, file, pointer, suspect.image_id, name, annotation)
        findings.append(Finding(rule, hit, dataset.show(file), Fix.NONE))
    checked = {"paths": [str(file)], "files": 1, "images": len(images), "annotations": len(rows)}
    return Report(findings, [dataset], checked={**checked, "rules": len(KINDS), "seconds": round(seconds, 1)})
