"""Large images in overlapping tiles, and mirrored images: predictions of several views joined into one."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import mask_to_rle, rle_to_mask
from seg2knet.dataset.sides import Sides, find_sides
from seg2knet.knet.recipe import IGNORE
from seg2knet.trainer.predict.inference import one_image
from seg2knet.trainer.predict.prediction import Prediction

SAME_OBJECT = 0.5
"""Objects of two views are one where their masks have this intersection over union, among pixels that both see."""
Member = tuple[int, int]
"""An object of a view: the view's number, and the object's place in its prediction."""


class View(NamedTuple):
    """A part of an image that is segmented by itself, in pixels of the image. ``core`` (top, left, bottom, right) is
    the part that no other view is as central to; cores cover the image once.
    """

    top: int
    left: int
    bottom: int
    right: int
    core: tuple[int, int, int, int]


class TiledSegmenter:
    """A segmenter that sees an image in tiles, so that small objects of large images keep their size; see
    :func:`seg2knet.trainer.api.load`. ``tile`` 0 is the whole image. With ``mirror`` each tile is segmented a second
    time, mirrored: an object found once has half its score; semantic: the mean of both probabilities decides.
    """

    def __init__(self, model: Any, tile: int, overlap: float, mirror: bool, batch_size: int) -> None:
        self.model, self.tile, self.overlap, self.mirror, self.batch_size = model, tile, overlap, mirror, batch_size
        self.task, self.classes, self.score_thr, self.dedup = model.task, model.classes, model.score_thr, model.dedup
        self.judged_score, names = model.judged_score, self.classes.names
        steps = model.config.get("train_pipeline", ())
        pairs = next((step["pairs"] for step in steps if step["type"] == "SwapSides"), find_sides(names).pairs)
        self._in_mirror = np.array(Sides(tuple((left, right) for left, right in pairs)).swapped(names))

    def __call__(self, image: Any) -> Prediction:
        """Segment one image: see :meth:`~seg2knet.trainer.predict.inference.Segmenter.__call__`."""
        return one_image(self, image)

    def arrays(self, images: Sequence[np.ndarray], path: Path = Path("image")) -> list[Prediction]:
        """Segment ``(H, W, 3)`` uint8 BGR arrays."""
        return [self._segment(image, path) for image in images]

    def _segment(self, image: np.ndarray, path: Path) -> Prediction:
        height, width = image.shape[:2]
        side = self.tile or max(height, width)
        rows, columns = cuts(height, side, self.overlap), cuts(width, side, self.overlap)
        views = [View(t, left, b, r, (ct, cl, cb, cr)) for t, b, ct, cb in rows for left, r, cl, cr in columns]
        parts = [image[view.top : view.bottom, view.left : view.right] for view in views]
        if self.task == "semantic":
            found = self._batches(parts, self._mean_of_both if self.mirror else self.model.arrays)
            prediction = Prediction.of_labelmap(path, _labelmap(views, found, (height, width)))
            prediction.classes = self.classes
            return prediction
        found = self._batches(parts, self.model.arrays)
        if self.mirror:
            mirrored = self._batches([part[:, ::-1] for part in parts], self.model.arrays)
            found, views = found + [self._turned(prediction) for prediction in mirrored], views * 2
        things = {index for index, kind in enumerate(self.classes) if kind.isthing}
        joint = joined(views, found, things)
        scored = [(_score(members, found, len(parts)) / (1 + self.mirror), members) for members in joint]
        labels, scores, rles = [], [], []
        taken = np.zeros((height, width), bool)
        for score, members in sorted(scored, key=lambda pair: -pair[0]):
            mask = _mask(members, views, found, (height, width))
            if self.task == "panoptic":  # segments do not overlap: a pixel belongs to the best of them
                mask &= ~taken
                taken |= mask
            if mask.any():
                labels.append(int(found[members[0][0]].labels[members[0][1]]))
                scores.append(score)
                rles.append(mask_to_rle(mask))
        kept = np.array(labels, np.int64), np.array(scores, np.float32), rles
        return Prediction(path, width, height, *kept, classes=self.classes)

    def _turned(self, seen: Prediction) -> Prediction:
        """What is seen in the mirror, as it is: left is right."""
        masks = [mask_to_rle(mask[:, ::-1]) for mask in seen.masks]
        return Prediction(seen.path, seen.width, seen.height, self._in_mirror[seen.labels], seen.scores, masks)

    def _mean_of_both(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        mirrored = self.model.class_shares([np.ascontiguousarray(image[:, ::-1]) for image in images])
        shares = self.model.class_shares(images) + mirrored.flip(-1)[:, self._in_mirror]
        return [Prediction.of_labelmap(Path("image"), labelmap) for labelmap in shares.argmax(1).cpu().numpy()]

    def _batches(self, parts: Sequence[np.ndarray], segment: Callable[..., list[Prediction]]) -> list[Prediction]:
        found: list[Prediction] = []
        for begin in range(0, len(parts), self.batch_size):
            found += segment([np.ascontiguousarray(part) for part in parts[begin : begin + self.batch_size]])
        return found


def cuts(length: int, tile: int, overlap: float) -> list[tuple[int, int, int, int]]:
    """Tiles along one side, all of one length: begin, end, begin and end of the core."""
    tile = min(tile, length)
    count = 1 if length == tile else -(-(length - tile) // max(1, round(tile * (1 - overlap)))) + 1
    begins = [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]
    borders = [0, *((a + tile + b) // 2 for a, b in zip(begins, begins[1:])), length]
    return [(begin, begin + tile, borders[i], borders[i + 1]) for i, begin in enumerate(begins)]


def joined(views: Sequence[View], found: Sequence[Prediction], things: Container[int]) -> list[list[Member]]:
    """What is one object of the image: the members of each, best first.

    Objects of one class that agree where two views see the same pixels are one; so are all segments of a stuff class.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    members = [(v, i) for v, prediction in enumerate(found) for i in range(len(prediction.labels))]
    links = [pair for a, b in combinations(range(len(views)), 2) for pair in _same_objects(a, b, views, found, things)]
    of_stuff: dict[int, Member] = {}
    for v, i in members:
        label = int(found[v].labels[i])
        if label not in things:
            links.append(((v, i), of_stuff.setdefault(label, (v, i))))
    number = {member: place for place, member in enumerate(members)}
    ends = np.array([(number[one], number[other]) for one, other in links], int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(links)), ends), (len(members), len(members)))
    object_of = connected_components(graph, directed=False)[1] if members else ()
    ranked = sorted(members, key=lambda m: -found[m[0]].scores[m[1]])
    return list(grouped((object_of[number[member]], member) for member in ranked).values())


def _same_objects(
    a: int, b: int, views: Sequence[View], found: Sequence[Prediction], things: Container[int]
) -> list[tuple[Member, Member]]:
    """Pairs of objects of two views, of one class, whose masks agree in the pixels that both see."""
    top, left = max(views[a].top, views[b].top), max(views[a].left, views[b].left)
    bottom, right = min(views[a].bottom, views[b].bottom), min(views[a].right, views[b].right)
    if top >= bottom or left >= right or not len(found[a].labels) or not len(found[b].labels):
        return []
    seen = []
    for v in (a, b):
        part = found[v].masks[
            :, top - views[v].top : bottom - views[v].top, left - views[v].left : right - views[v].left
        ]
        seen.append(part.reshape(len(part), -1).astype(np.float32))
    both = seen[0] @ seen[1].T
    either = seen[0].sum(1)[:, None] + seen[1].sum(1)[None] - both
    same = (both >= SAME_OBJECT * either) & (both > 0) & (found[a].labels[:, None] == found[b].labels[None])
    return [((a, int(i)), (b, int(j))) for i, j in np.argwhere(same) if int(found[a].labels[i]) in things]


def _score(members: Sequence[Member], found: Sequence[Prediction], plain: int) -> float:
    """The best score of the first ``plain`` views plus that of the others, the mirrored ones; 0 where there is none."""
    best = [0.0, 0.0]
    for v, i in members:
        best[v >= plain] = max(best[v >= plain], float(found[v].scores[i]))
    return sum(best)


def _mask(
    members: Sequence[Member], views: Sequence[View], found: Sequence[Prediction], size: tuple[int, int]
) -> np.ndarray:
    """``(H, W)`` bool: the parts together; of two views of one place the better one gives its part."""
    mask, owner = np.zeros(size, bool), dict[tuple[int, int], int]()
    for v, i in members:
        view = views[v]
        if owner.setdefault((view.top, view.left), v) == v:
            mask[view.top : view.bottom, view.left : view.right] |= rle_to_mask(found[v].rles[i])
    return mask


def _labelmap(views: Sequence[View], found: Sequence[Prediction], size: tuple[int, int]) -> np.ndarray:
    """``(H, W)`` uint8: each view's classes in its core."""
    labelmap = np.full(size, IGNORE, np.uint8)
    for view, prediction in zip(views, found):
        top, left, bottom, right = view.core
        part = prediction.labelmap
        assert part is not None
        labelmap[top:bottom, left:right] = part[
            top - view.top : bottom - view.top, left - view.left : right - view.left
        ]
    return labelmap
