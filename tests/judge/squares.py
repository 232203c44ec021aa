"""A small world of squares: annotations and results whose verdicts can be told by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

CLASSES = ("car", "dog", "tree")
SIDE = 100


def rle(x: int, y: int, side: int) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + side, x : x + side] = 1
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def annotation(
    number: int, image: int, category: int, x: int, y: int, side: int = 20, crowd: int = 0
) -> dict[str, Any]:
    return {
        "id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "area": side * side,
        "bbox": [x, y, side, side], "segmentation": rle(x, y, side),
    }  # fmt: skip


def result(image: int, category: int, x: int, y: int, score: float, side: int = 20) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "score": score, "segmentation": rle(x, y, side)}


def truth(*annotations: dict[str, Any], images: int = 2) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE}
            for number in range(1, images + 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)],
        "annotations": list(annotations),
    }


def draw(folder: Path, content: dict[str, Any], seed: Optional[int] = 0) -> Path:
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for image in content["images"]:
        cv2.imwrite(str(folder / image["file_name"]), random.integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    return folder
