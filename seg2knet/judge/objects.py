"""What became of every object: found, missed, or mistaken, and for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
from pycocotools import mask as coco_mask

from seg2knet.dataset.grouping import grouped

SAME = 0.5
"""IoU from which a prediction and an annotation are the same object."""
NEAR = 0.1
"""IoU below which a prediction has nothing to do with an annotation."""

FOUND, DUPLICATE, CLASS, PLACE, BOTH, BACKGROUND, MISSED = (
    "found", "duplicate", "class", "place", "both", "background", "missed",
)  # fmt: skip
KINDS = {
    FOUND: "class and mask are right",
    CLASS: "the mask is right, the class is wrong",
    PLACE: f"the class is right, the mask overlaps by an IoU below {SAME:g}",
    BOTH: "class and mask are wrong, but there is an object",
    DUPLICATE: "an object that a better prediction found already",
    BACKGROUND: "nothing is annotated there",
    MISSED: "an annotated object that no prediction matches",
}
"""The kinds of verdicts, those of TIDE (Bolya et al., arXiv 2008.08115) and what they say."""


@dataclass(frozen=True)
class Judged:
    """Annotations, results and where the images are: what pages draw from."""

    truth: dict[str, Any]  # a COCO file's content
    results: Sequence[dict[str, Any]]  # COCO results
    images: Path  # the folder that ``file_name`` is in

    @cached_property
    def entries(self) -> dict[int, dict[str, Any]]:
        """The file's images by id."""
        return {image["id"]: image for image in self.truth["images"]}

    @cached_property
    def annotations(self) -> dict[int, dict[str, Any]]:
        """The file's annotations by id."""
        return {annotation["id"]: annotation for annotation in self.truth["annotations"]}

    def named(self) -> dict[Optional[int], str]:
        """Names of the categories by id."""
        return {category["id"]: category["name"] for category in self.truth["categories"]}


@dataclass(frozen=True)
class Verdict:
    """One predicted object, or an annotated one that no prediction matches."""

    image_id: int  # of the COCO file
    kind: str  # one of ``KINDS``
    annotation_id: Optional[int]  # the annotation it matches or is nearest to; ``None`` for background
    result: Optional[int]  # place in the list of results; ``None`` for a missed object
    # category ids; ``None`` where there is none
    true_class: Optional[int]
    predicted_class: Optional[int]
    iou: float  # of the two masks, 0..1
    score: float  # of the prediction; 0 for a missed object


@dataclass(frozen=True)
class ImageObjects:
    """The annotated and predicted objects of one image, and their overlaps."""

    image: dict[str, Any]  # its entry of the COCO file
    annotations: list[dict[str, Any]]  # those that are no crowd
    shares: np.ndarray  # ``(len(annotations),)`` of the image's pixels
    results: list[int]  # places in the list of results, by falling score
    iou: np.ndarray  # ``(len(results), len(annotations))``
    ignored: np.ndarray  # ``(len(results),)`` bool: predictions that lie on a crowd and match no annotation


def outlined(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations to compare with: with an outline, an image and a class of the file, and not ignored."""
    images, classes = ({entry["id"] for entry in truth[key]} for key in ("images", "categories"))
    return [
        annotation
        for annotation in truth["annotations"]
        if annotation.get("segmentation") and not annotation.get("ignore")
        if annotation["image_id"] in images and annotation["category_id"] in classes
    ]


def rle_of(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A segmentation of a COCO file as compressed run-length code."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def by_image(truth: dict[str, Any], results: Sequence[dict[str, Any]], least_score: float = 0.0) -> list[ImageObjects]:
    """Pair up annotations and results of at least a score image by image, in the file's order."""
    annotated = grouped((annotation["image_id"], annotation) for annotation in outlined(truth))
    scored = ((result["image_id"], place) for place, result in enumerate(results) if result["score"] >= least_score)
    predicted, pairs = grouped(scored), []
    for image in truth["images"]:
        size = image["height"], image["width"]
        own = annotated.get(image["id"], [])
        crowds = [annotation for annotation in own if annotation.get("iscrowd")]
        objects = [annotation for annotation in own if not annotation.get("iscrowd")]
        places = sorted(predicted.get(image["id"], []), key=lambda place: -results[place]["score"])
        masks, true, crowded = (
            [rle_of(entry["segmentation"], *size) for entry in entries]
            for entries in ((results[place] for place in places), objects, crowds)
        )
        shares = (coco_mask.area(true) if true else np.zeros(0)) / (size[0] * size[1])
        iou, ignored = np.zeros((len(places), len(objects))), np.zeros(len(places), bool)
        if masks and true:
            iou = np.asarray(coco_mask.iou(masks, true, [0] * len(true)))
        if masks and crowded:
            on_crowd = np.asarray(coco_mask.iou(masks, crowded, [1] * len(crowded)))
            ignored = (on_crowd.max(1) >= SAME) & (iou.max(1, initial=0) < SAME)
        pairs.append(ImageObjects(image, objects, shares, places, iou, ignored))
    return pairs


def verdicts(images: Iterable[ImageObjects], results: Sequence[dict[str, Any]]) -> list[Verdict]:
    """The verdict on every predicted object, best score first within an image, then on every missed one."""
    return [verdict for image in images for verdict in _of_image(image, results)]


def _of_image(image: ImageObjects, results: Sequence[dict[str, Any]]) -> Iterable[Verdict]:
    number = image.image["id"]
    true = np.array([annotation["category_id"] for annotation in image.annotations], np.int64)
    taken: dict[int, int] = {}  # row of the prediction -> column of the annotation
    for same_class in (True, False):  # a mistaken class never takes an object that a right prediction finds
        for row, place in enumerate(image.results):
            if row in taken or image.ignored[row] or not len(true):
                continue
            free = np.array([column not in taken.values() for column in range(len(true))])
            fits = (image.iou[row] >= SAME) & free & ((true == results[place]["category_id"]) == same_class)
            if fits.any():
                taken[row] = int(np.where(fits, image.iou[row], -1).argmax())
    for row, place in enumerate(image.results):
        if not image.ignored[row]:
            yield _judged(image, row, results[place], true, taken)
    for column, annotation in enumerate(image.annotations):
        if column not in taken.values():
            best = float(image.iou[:, column].max(initial=0))
            yield Verdict(number, MISSED, annotation["id"], None, annotation["category_id"], None, best, 0.0)


def _judged(image: ImageObjects, row: int, result: dict[str, Any], true: np.ndarray, taken: dict[int, int]) -> Verdict:
    overlap = image.iou[row]
    own = np.where(true == result["category_id"], overlap, 0)
    if row in taken:
        column = taken[row]
        kind = FOUND if true[column] == result["category_id"] else CLASS
    elif own.max(initial=0) >= NEAR:
        column = int(own.argmax())
        kind = DUPLICATE if own[column] >= SAME else PLACE
    elif overlap.max(initial=0) >= NEAR:
        column = int(overlap.argmax())
        kind = CLASS if overlap[column] >= SAME else BOTH
    else:
        kind, column = BACKGROUND, -1
    number, true_class = (image.annotations[column]["id"], int(true[column])) if column >= 0 else (None, None)
    iou = float(overlap[column] if column >= 0 else overlap.max(initial=0))
    place, score = image.results[row], float(result["score"])
    return Verdict(image.image["id"], kind, number, place, true_class, result["category_id"], iou, score)
