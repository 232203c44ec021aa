"""Errors of known kinds put into sound annotations, to measure how many of them an audit finds."""

from __future__ import annotations

import copy
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from seg2knet.judge.objects import rle_of
from seg2knet.judge.suspects import MERGED, MISSING, SPLIT, SPURIOUS, WRONG_CLASS, WRONG_OUTLINE, Suspect

Content = dict[str, Any]


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
) -> list[bool]:
    """Whether each suspect names something that was planted, whatever it calls the kind; each planted error once."""
    from pycocotools import mask as coco_mask

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
        marks.append(place is not None)
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
        import numpy as np
        from pycocotools import mask as coco_mask

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
        from pycocotools import mask as coco_mask

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
        import numpy as np
        from pycocotools import mask as coco_mask

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
        import numpy as np
        from pycocotools import mask as coco_mask

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
        from pycocotools import mask as coco_mask

        return coco_mask.decode(self._rle(annotation))

    def _set(self, annotation: Content, code: Any) -> None:
        from pycocotools import mask as coco_mask

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
