"""What Ultralytics' own loader makes of the YOLO data set: no image is refused, and the masks are the same."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import picture

import seg2knet
from seg2knet.dataset.rle import as_json, mask_to_rle

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


def overlaps(tmp_path: Path, parts: int, holes: int) -> dict[bool, list[float]]:
    """IoU of each object of more than 100 pixels with what Ultralytics draws, by whether it is of one part."""
    rng = np.random.default_rng(parts * 10 + holes)
    masks = [ellipses(rng, parts, holes) for _ in range(IMAGES)]
    images, annotations = [], []
    for number, mask in enumerate(masks, 1):
        picture(tmp_path / "set" / f"{number:02}.png", WIDTH, HEIGHT, seed=number)
        images.append({"id": number, "file_name": f"{number:02}.png", "width": WIDTH, "height": HEIGHT})
        code = as_json(mask_to_rle(mask))
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": code})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(document))
    seg2knet.convert("coco", tmp_path / "set", to="yolo", out=tmp_path / "yolo", split="train", jobs=1)
    found: dict[bool, list[float]] = {True: [], False: []}
    for number, mask in enumerate(masks, 1):
        image, label = (tmp_path / "yolo" / kind / "train" / f"{number:02}" for kind in ("images", "labels"))
        checked = utils.verify_image_label((f"{image}.png", f"{label}.txt", "", False, 1, 0, 0, False))
        assert checked[0] is not None, checked[-1]
        (ring,) = checked[3]
        drawn = utils.polygon2mask((HEIGHT, WIDTH), [(ring * [WIDTH, HEIGHT]).ravel()])
        if mask.sum() > 100:
            iou = float((drawn & mask).sum() / (drawn | mask).sum())
            found[cv2.connectedComponents(mask, connectivity=4)[0] == 2].append(iou)
    return found


@pytest.mark.parametrize("holes", [0, 1, 3])
def test_objects_of_one_part_are_drawn_again(tmp_path: Path, holes: int) -> None:
    assert min(overlaps(tmp_path, 1, holes)[True]) >= 0.99


def test_the_line_between_parts_is_one_pixel_wide(tmp_path: Path) -> None:
    found = overlaps(tmp_path, 3, 1)[False]
    assert np.median(found) >= 0.97
    assert min(found) >= 0.9
