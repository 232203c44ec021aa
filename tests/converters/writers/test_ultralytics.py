"""What Ultralytics' own loader makes of the YOLO data set: no image is refused, and the masks are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn import picture

import seg2knet
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import as_json, mask_to_rle, rle_to_mask

utils = pytest.importorskip("ultralytics.data.utils")

HEIGHT, WIDTH, IMAGES = 120, 160, 60


def ellipses(rng: np.random.Generator, parts: int, holes: int) -> np.ndarray:
    """A mask of that many ellipses with that many round holes."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for count, color, largest in ((parts, 1, 40), (holes, 0, 12)):
        for _ in range(count):
            centre = int(rng.integers(20, WIDTH - 20)), int(rng.integers(20, HEIGHT - 20))
            axes = int(rng.integers(4, largest)), int(rng.integers(4, largest))
            cv2.ellipse(mask, centre, axes, float(rng.integers(0, 180)), 0, 360, color, -1)
    return mask


def drawn_by_ultralytics(tmp_path: Path, segmentations: list[Any]) -> list[np.ndarray]:
    """What Ultralytics draws of each object, one an image."""
    images, annotations = [], []
    for number, segmentation in enumerate(segmentations, 1):
        picture(tmp_path / "set" / f"{number:02}.png", WIDTH, HEIGHT, seed=number)
        images.append({"id": number, "file_name": f"{number:02}.png", "width": WIDTH, "height": HEIGHT})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": segmentation})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(document))
    seg2knet.convert("coco", tmp_path / "set", to="yolo", out=tmp_path / "yolo", split="train", jobs=1)
    masks = []
    for number in range(1, len(segmentations) + 1):
        image, label = (tmp_path / "yolo" / kind / "train" / f"{number:02}" for kind in ("images", "labels"))
        checked = utils.verify_image_label((f"{image}.png", f"{label}.txt", "", False, 1, 0, 0, False))
        assert checked[0] is not None, checked[-1]
        (ring,) = checked[3]
        masks.append(utils.polygon2mask((HEIGHT, WIDTH), [(ring * [WIDTH, HEIGHT]).ravel()]))
    return masks


def least(mask: np.ndarray) -> int:
    """Pixels between the parts of a mask, in all, by the shortest way from each to what is joined already."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    joined, left, pixels = labels == 1, set(range(2, count)), 0
    while left:
        distances = cv2.distanceTransform((~joined).astype(np.uint8), cv2.DIST_C, 3)
        distances[~np.isin(labels, list(left))] = np.inf
        nearest = int(distances.argmin())
        pixels += int(distances.flat[nearest]) - 1
        joined |= labels == labels.flat[nearest]
        left.discard(int(labels.flat[nearest]))
    return pixels


@pytest.mark.parametrize(("parts", "holes"), [(1, 0), (1, 1), (1, 3), (2, 1), (3, 1), (5, 3)])
def test_all_is_drawn_again_and_bridges_as_short_as_they_can_be(tmp_path: Path, parts: int, holes: int) -> None:
    rng = np.random.default_rng(parts * 10 + holes)
    masks = [ellipses(rng, parts, holes) for _ in range(IMAGES)]
    for mask, drawn in zip(masks, drawn_by_ultralytics(tmp_path, [as_json(mask_to_rle(mask)) for mask in masks])):
        assert not (mask & ~drawn.astype(bool)).any()
        assert int(drawn.sum()) - int(mask.sum()) == least(mask)
        if cv2.connectedComponents(mask, connectivity=8)[0] == 2 and mask.sum() > 100:
            assert mask.sum() / drawn.sum() >= 0.99


def test_polygons_of_several_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    outlines = [[(rng.random(8) * 30 + shift).tolist() for shift in (5, 45, 85)] for _ in range(IMAGES)]
    for parts, drawn in zip(outlines, drawn_by_ultralytics(tmp_path, outlines)):
        mask = rle_to_mask(geometry.polygons_to_rle(parts, HEIGHT, WIDTH)).astype(np.uint8)
        assert not (mask & ~drawn.astype(bool)).any()
        assert int(drawn.sum()) - int(mask.sum()) <= 1.1 * least(mask) + 1
