"""How many planted label errors an audit finds, beside hotcoco's candidates and cleanlab's scores of boxes.

    python benchmarks/planting.py --data ../shared/data/carparts --checkpoint last.pth --json planting.json

In images that the model has never seen a share of the objects gets one of six errors each, in turn: removed, another
class, outline moved, merged with another of its class, split in two, copied to another image. Precision and recall are
those of the first N suspects, N the number planted (so both are the same number); a suspect is right that names a
planted error, whatever it calls it. Means over ``--seeds`` plantings.

``--half 1`` is to choose weights of ``seg2knet audit`` by, ``--half 2`` to measure them on.

hotcoco (https://pypi.org/project/hotcoco) names candidates by ``image_diagnostics``, cleanlab
(https://pypi.org/project/cleanlab) scores boxes; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from pycocotools import mask as coco_mask

from seg2knet.judge.analysis import evaluated
from seg2knet.judge.objects import rle_of
from seg2knet.judge.suspects import MERGED, MISSING, SPLIT, SPURIOUS, WRONG_CLASS, WRONG_OUTLINE, Suspect, suspects

Content = dict[str, Any]
PLANTED = (MISSING, WRONG_CLASS, WRONG_OUTLINE, MERGED, SPLIT, SPURIOUS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Car Parts, or any data set in COCO layout")
    parser.add_argument("--checkpoint", type=Path, help="of an instance model that has not seen the split")
    parser.add_argument("--results", type=Path, help="its COCO results instead (seg2knet test --out)")
    parser.add_argument("--split", default="test", help="[test]")
    parser.add_argument("--share", type=float, default=0.1, help="of the objects that get an error  [0.1]")
    parser.add_argument("--seeds", type=int, default=5, help="plantings  [5]")
    parser.add_argument("--half", type=int, choices=(1, 2), help="of the images, drawn by chance  [all of them]")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    if (given.checkpoint is None) == (given.results is None):
        parser.error("give one of --checkpoint and --results")
    with tempfile.TemporaryDirectory() as temporary:
        truth, results = judged(given, Path(temporary))
    if given.half is not None:
        truth, results = half_of(truth, results, given.half)
    text = json.dumps(measure(truth, results, given.share, given.seeds), indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")


def judged(given: argparse.Namespace, work: Path) -> tuple[Content, list[Content]]:
    """Annotations of the split, and what the model sees on its images."""
    from seg2knet.dataset.folder import read_folder
    from seg2knet.trainer.evaluate.evaluation import evaluate

    data = given.data
    if (data / "testset").is_dir():
        from carparts import converted

        data = converted(data, work / "data")
    part = read_folder(data, "instance").split(given.split)
    results = json.loads(given.results.read_bytes()) if given.results else None
    return json.loads(part.annotations.read_bytes()), results or evaluate(
        given.checkpoint, data, given.split
    ).predictions


def half_of(truth: Content, results: list[Content], half: int) -> tuple[Content, list[Content]]:
    """One of two halves of the images, with what belongs to them."""
    numbers = sorted(image["id"] for image in truth["images"])
    random.Random(0).shuffle(numbers)
    middle = len(numbers) // 2
    kept = set(numbers[:middle] if half == 1 else numbers[middle:])
    images = [image for image in truth["images"] if image["id"] in kept]
    annotations, results = (
        [one for one in many if one["image_id"] in kept] for many in (truth["annotations"], results)
    )
    return {**truth, "images": images, "annotations": annotations}, results


def measure(truth: Content, results: list[Content], share: float, seeds: int) -> Content:
    """Means over plantings: share of the planted errors among the first N suspects, in all and by kind."""
    rows: dict[str, list[Content]] = defaultdict(list)
    for seed in range(seeds):
        bad, planted = plant(truth, share, seed)
        for name, ranking in RANKINGS.items():
            try:
                ranked = ranking(bad, results)[: len(planted)]
            except ImportError:
                continue
            marks = hits(planted, ranked, bad, results)
            found = [one for one in marks if one is not None]
            row = {"recall": len(found) / len(planted)}
            row["kind_right"] = sum(one is not None and one.kind == s.kind for one, s in zip(marks, ranked)) / len(
                planted
            )
            row["first_quarter"] = sum(one is not None for one in marks[: len(planted) // 4]) / (len(planted) // 4)
            for kind in PLANTED:
                row[f"recall of {kind}"] = _share(
                    sum(one.kind == kind for one in found), sum(one.kind == kind for one in planted)
                )
                named = [one is not None for one, suspect in zip(marks, ranked) if suspect.kind == kind]
                row[f"precision of {kind}"], row[f"named {kind}"] = _share(sum(named), len(named)), len(named)
            rows[name].append(row)
    figures = {
        name: {key: _mean([row[key] for row in of_name]) for key in of_name[0]} for name, of_name in rows.items()
    }
    return {"images": len(truth["images"]), "objects": len(truth["annotations"]), "planted": len(planted), **figures}


def _share(part: int, whole: int) -> Optional[float]:
    return part / whole if whole else None


def _mean(values: list[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def hotcoco_candidates(truth: Content, results: Sequence[Content]) -> list[Suspect]:
    """hotcoco's candidates, surest first: annotations of another class than a detection on them, and missing ones."""
    kinds = {"wrong_label": WRONG_CLASS, "missing_annotation": MISSING}
    ranked = []
    for entry in evaluated(truth, results).image_diagnostics(iou_thr=0.5, score_thr=0.05)["label_errors"]:
        annotation, place = entry.get("gt_id"), entry["dt_id"] - 1  # detections are numbered from 1
        numbers = (annotation,) if annotation is not None else ()
        ranked.append(Suspect(kinds[entry["type"]], entry["dt_score"], entry["image_id"], numbers, place, None, ""))
    return sorted(ranked, key=lambda suspect: -suspect.score)


def cleanlab_scores(truth: Content, results: Sequence[Content]) -> list[Suspect]:
    """cleanlab's three scores of boxes, the lowest first: swapped, badly located, overlooked."""
    from cleanlab.object_detection import rank

    places = {category["id"]: place for place, category in enumerate(truth["categories"])}
    annotations, predicted = defaultdict(list), defaultdict(list)
    for annotation in truth["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    for place, result in enumerate(results):
        predicted[result["image_id"]].append(place)
    labels, boxes, order = [], [], []
    for image in truth["images"]:
        own = annotations[image["id"]]
        corners = np.array([_corners(annotation["bbox"]) for annotation in own]).reshape(-1, 4)
        classes = np.array([places[annotation["category_id"]] for annotation in own], np.int64)
        labels.append({"bboxes": corners, "labels": classes})
        of_class: list[list[int]] = [[] for _ in places]
        for place in predicted[image["id"]]:
            of_class[places[results[place]["category_id"]]].append(place)
        rows = [[(*_corners(_box(results[i])), results[i]["score"]) for i in numbers] for numbers in of_class]
        boxes.append(np.array([np.array(of_one).reshape(-1, 5) for of_one in rows] + [None], object)[:-1])
        order.append([i for numbers in of_class for i in numbers])
    ranked = []
    for kind, scores in (
        (WRONG_CLASS, rank.compute_swap_box_scores(labels=labels, predictions=boxes)),
        (WRONG_OUTLINE, rank.compute_badloc_box_scores(labels=labels, predictions=boxes)),
        (MISSING, rank.compute_overlooked_box_scores(labels=labels, predictions=boxes)),
    ):
        for image, of_image, numbers in zip(truth["images"], scores, order):
            for row, score in enumerate(of_image):
                if np.isnan(score):
                    continue
                place = numbers[row] if kind == MISSING else None
                ids = () if kind == MISSING else (annotations[image["id"]][row]["id"],)
                ranked.append(Suspect(kind, 1 - float(score), image["id"], ids, place, None, ""))
    return sorted(ranked, key=lambda suspect: -suspect.score)


def _box(result: Content) -> list[float]:
    return [float(value) for value in coco_mask.toBbox(result["segmentation"])]


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


RANKINGS: dict[str, Callable[[Content, list[Content]], list[Suspect]]] = {
    "seg2knet audit": suspects,
    "hotcoco candidates": hotcoco_candidates,
    "cleanlab on boxes": cleanlab_scores,
}


@dataclass(frozen=True)
class Planted:
    """An error that was put in.

    Attributes:
        kind: the suspicion that would be right.
        image_id: where.
        annotation_ids: of the changed annotations as they are now; empty where one was removed.
        segmentation: of the removed object; ``None`` for other kinds.
    """

    kind: str
    image_id: int
    annotation_ids: tuple[int, ...]
    segmentation: Any = None


def plant(truth: Content, share: float = 0.1, seed: int = 0) -> tuple[Content, list[Planted]]:
    """A copy of a COCO file in which a share of the objects has one error each, the six kinds in turn.

    Args:
        truth: a COCO file's content.
        share: of the objects.
        seed: decides which.
    """
    draw = random.Random(seed)
    content = copy.deepcopy(truth)
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    objects = [annotation for annotation in content["annotations"] if not annotation.get("iscrowd")]
    draw.shuffle(objects)
    wanted = round(len(objects) * share)
    field = _Field(content, sizes, draw)
    makers: Sequence[Callable[[Content], Optional[Planted]]] = (
        field.remove, field.relabel, field.shift, field.merge, field.split, field.invent,
    )  # fmt: skip
    planted: list[Planted] = []
    made: Counter[str] = Counter()
    queue = iter(objects)
    while len(planted) < wanted:
        annotation = next(queue, None)
        if annotation is None:
            break
        if annotation["id"] in field.touched:
            continue
        for maker in sorted(makers, key=lambda maker: made[maker.__name__]):  # the rarest kind first
            one = maker(annotation)
            if one is not None:
                made[maker.__name__] += 1
                planted.append(one)
                break
    return content, planted


def hits(
    planted: Sequence[Planted], ranked: Sequence[Suspect], truth: Content, results: Sequence[Content]
) -> list[Optional[Planted]]:
    """The planted error that each suspect names, whatever it calls the kind; each error once."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    by_id = {number: place for place, one in enumerate(planted) for number in one.annotation_ids}
    removed = [place for place, one in enumerate(planted) if one.segmentation is not None]
    found: set[int] = set()
    marks = []
    for suspect in ranked:
        place = next((by_id[n] for n in suspect.annotation_ids if n in by_id and by_id[n] not in found), None)
        if place is None and suspect.result is not None:
            mask = rle_of(results[suspect.result]["segmentation"], *sizes[suspect.image_id])
            for candidate in removed:
                one = planted[candidate]
                if one.image_id == suspect.image_id and candidate not in found:
                    other = rle_of(one.segmentation, *sizes[one.image_id])
                    if coco_mask.iou([mask], [other], [0])[0, 0] >= 0.5:
                        place = candidate
        marks.append(planted[place] if place is not None else None)
        if place is not None:
            found.add(place)
    return marks


class _Field:
    """The annotations while errors are put in."""

    def __init__(self, content: Content, sizes: dict[int, tuple[int, int]], draw: random.Random) -> None:
        self.content, self.sizes, self.draw = content, sizes, draw
        self.touched: set[int] = set()
        self.next_id = max((annotation["id"] for annotation in content["annotations"]), default=0) + 1
        self.categories = sorted({annotation["category_id"] for annotation in content["annotations"]})
        self.neighbours: dict[tuple[int, int], list[Content]] = defaultdict(list)
        for annotation in content["annotations"]:
            self.neighbours[annotation["image_id"], annotation["category_id"]].append(annotation)

    def remove(self, annotation: Content) -> Planted:
        self._take(annotation)
        self.content["annotations"].remove(annotation)
        return Planted(MISSING, annotation["image_id"], (), annotation["segmentation"])

    def relabel(self, annotation: Content) -> Optional[Planted]:
        others = [category for category in self.categories if category != annotation["category_id"]]
        if not others:
            return None
        self._take(annotation)
        annotation["category_id"] = self.draw.choice(others)
        return Planted(WRONG_CLASS, annotation["image_id"], (annotation["id"],))

    def shift(self, annotation: Content) -> Optional[Planted]:
        """Move the outline by a third to a half of its size."""
        mask = self._mask(annotation)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) < 6 or len(columns) < 6:
            return None
        by = [round(self.draw.uniform(0.33, 0.5) * len(edge)) * self.draw.choice((-1, 1)) for edge in (rows, columns)]
        moved = np.zeros_like(mask)
        height, width = mask.shape
        source = mask[max(0, -by[0]) : height - max(0, by[0]), max(0, -by[1]) : width - max(0, by[1])]
        moved[max(0, by[0]) : height - max(0, -by[0]), max(0, by[1]) : width - max(0, -by[1])] = source
        if moved.sum() < mask.sum() / 2:
            return None
        self._take(annotation)
        self._set(annotation, coco_mask.encode(np.asfortranarray(moved)))
        return Planted(WRONG_OUTLINE, annotation["image_id"], (annotation["id"],))

    def merge(self, annotation: Content) -> Optional[Planted]:
        """With another object of the same image and class."""
        others = self.neighbours[annotation["image_id"], annotation["category_id"]]
        others = [one for one in others if one is not annotation and one["id"] not in self.touched]
        if not others:
            return None
        other = self.draw.choice(others)
        self._take(annotation, other)
        self._set(annotation, coco_mask.merge([self._rle(annotation), self._rle(other)]))
        self.content["annotations"].remove(other)
        return Planted(MERGED, annotation["image_id"], (annotation["id"],))

    def split(self, annotation: Content) -> Optional[Planted]:
        """Across the longer side, in the middle."""
        mask = self._mask(annotation)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if max(len(rows), len(columns)) < 12:
            return None
        first, second = mask.copy(), mask.copy()
        if len(rows) > len(columns):
            middle = int(rows[len(rows) // 2])
            first[middle:], second[:middle] = 0, 0
        else:
            middle = int(columns[len(columns) // 2])
            first[:, middle:], second[:, :middle] = 0, 0
        if not first.any() or not second.any():
            return None
        self._take(annotation)
        self._set(annotation, coco_mask.encode(np.asfortranarray(first)))
        half = self._added(annotation, coco_mask.encode(np.asfortranarray(second)))
        return Planted(SPLIT, annotation["image_id"], (annotation["id"], half["id"]))

    def invent(self, annotation: Content) -> Optional[Planted]:
        """The object's outline once more, on another image of the same size or larger, at the same place."""
        mask = self._mask(annotation)
        for image in self.draw.sample(self.content["images"], min(20, len(self.content["images"]))):
            height, width = self.sizes[image["id"]]
            placed = np.zeros((height, width), np.uint8)
            part = mask[:height, :width]
            placed[: part.shape[0], : part.shape[1]] = part
            if image["id"] == annotation["image_id"] or placed.sum() < mask.sum() * 0.9:
                continue
            code = coco_mask.encode(np.asfortranarray(placed))
            others = [self._rle(other) for other in self.neighbours[image["id"], annotation["category_id"]]]
            if others and coco_mask.iou([code], others, [0] * len(others)).max() > 0.1:
                continue
            copied = self._added({**annotation, "image_id": image["id"]}, code)
            return Planted(SPURIOUS, image["id"], (copied["id"],))
        return None

    def _take(self, *annotations: Content) -> None:
        self.touched.update(annotation["id"] for annotation in annotations)

    def _rle(self, annotation: Content) -> Any:
        return rle_of(annotation["segmentation"], *self.sizes[annotation["image_id"]])

    def _mask(self, annotation: Content) -> Any:
        return coco_mask.decode(self._rle(annotation))

    def _set(self, annotation: Content, code: Any) -> None:
        annotation["area"] = float(coco_mask.area(code))
        annotation["bbox"] = [float(value) for value in coco_mask.toBbox(code)]
        annotation["segmentation"] = {"size": list(code["size"]), "counts": code["counts"].decode()}

    def _added(self, like: Content, code: Any) -> Content:
        annotation = {**like, "id": self.next_id}
        self.next_id += 1
        self._take(annotation)
        self._set(annotation, code)
        self.content["annotations"].append(annotation)
        return annotation


if __name__ == "__main__":
    main()
