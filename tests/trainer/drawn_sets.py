"""Small data sets drawn by code: discs and boxes (things) on ground and sky (stuff); and a small model for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [
    {"id": 3, "name": "disc", "isthing": 1, "color": [220, 60, 60]},
    {"id": 7, "name": "box", "isthing": 1, "color": [60, 120, 220]},
    {"id": 9, "name": "sky", "isthing": 0, "color": [120, 190, 240]},
    {"id": 11, "name": "ground", "isthing": 0, "color": [110, 160, 80]},
]
SMALL = {
    "model.num_kernels": 8,
    "model.channels": 32,
    "model.neck.out_channels": 32,
    "model.feedforward_channels": 64,
    "model.num_stages": 2,
}
"""A K-Net that trains in seconds."""

COLORS = {3: (60, 60, 220), 7: (220, 120, 60), 9: (240, 190, 120), 11: (80, 160, 110)}


Things = list[tuple[int, np.ndarray]]


def scene(rng: np.random.Generator, size: int, objects: int) -> tuple[np.ndarray, np.ndarray, Things]:
    """An image (BGR), its stuff map (category ids), its things as (category id, mask), later over earlier."""
    horizon = int(rng.uniform(0.3, 0.6) * size)
    stuff = np.full((size, size), 11, np.int32)
    stuff[:horizon] = 9
    picture = np.zeros((size, size, 3), np.float32)
    for category in (9, 11):
        picture[stuff == category] = COLORS[category]
    things = []
    for _ in range(objects):
        category = int(rng.choice([3, 7]))
        x, y = rng.uniform(0.15, 0.85, 2) * size
        radius = rng.uniform(0.1, 0.2) * size
        mask = np.zeros((size, size), np.uint8)
        if category == 3:
            cv2.circle(mask, (round(x), round(y)), round(radius), 1, -1)
        else:
            corner = (round(x - radius), round(y - radius * 0.8))
            cv2.rectangle(mask, corner, (round(x + radius), round(y + radius * 0.8)), 1, -1)
        picture[mask > 0] = np.array(COLORS[category]) + rng.normal(0, 15, 3)
        things.append((category, mask))
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8), stuff, things


def coco(
    root: Path,
    train: int = 8,
    val: int = 4,
    size: int = 64,
    seed: int = 0,
    panoptic: bool = False,
    objects: Optional[int] = None,
) -> Path:
    """A COCO folder; every fourth image is empty, sub-folders and suffixes vary, one object is a crowd.

    With ``objects``, every picture has that many and none is a crowd.
    """
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        _split(root, split, count, size, rng, panoptic, objects)
    return root


def _split(
    root: Path, split: str, count: int, size: int, rng: np.random.Generator, panoptic: bool, objects: Optional[int]
) -> None:
    images, annotations, segments = [], [], []
    pngs = root / "annotations" / f"panoptic_{split}2017"
    for number in range(count):
        drawn = 0 if number % 4 == 3 else int(rng.integers(1, 4))
        picture, stuff, things = scene(rng, size, drawn if objects is None else objects)
        name = f"{'day 1/' if number % 2 else ''}{number:03d}.{'png' if number % 3 == 2 else 'jpg'}"
        path = root / f"{split}2017" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
        images.append({"id": number + 1, "file_name": name, "height": size, "width": size})
        for place, (category, mask) in enumerate(things):
            crowd = number == 5 and place == 0 and objects is None
            annotations.append(_annotation(len(annotations) + 1, number + 1, category, mask, crowd))
        if panoptic:
            segments.append(_panoptic(pngs, number, stuff, things))
    categories = [{"id": each["id"], "name": each["name"]} for each in CATEGORIES if each["isthing"]]
    _write(root / "annotations" / f"instances_{split}2017.json", images, annotations, categories)
    if panoptic:
        _write(root / "annotations" / f"panoptic_{split}2017.json", images, segments, CATEGORIES)


def _annotation(number: int, image: int, category: int, mask: np.ndarray, crowd: bool) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask))
    outline: object = {"size": rle["size"], "counts": rle["counts"].decode()}
    if category == 7 and not crowd:  # boxes as polygons
        ys, xs = np.nonzero(mask)
        left, top, right, bottom = (float(each) for each in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        outline = [[left, top, right, top, right, bottom, left, bottom]]
    return {
        "id": number, "image_id": image, "category_id": category, "iscrowd": int(crowd), "segmentation": outline,
        "area": int(mask.sum()), "bbox": [float(side) for side in coco_mask.toBbox(rle)],
    }  # fmt: skip


def _panoptic(folder: Path, number: int, stuff: np.ndarray, things: list[tuple[int, np.ndarray]]) -> dict:
    ids = np.where(stuff == 9, 1, 2).astype(np.int32)
    category = {1: 9, 2: 11}
    for place, (label, mask) in enumerate(things):
        ids[mask > 0] = 300 + 1000 * place
        category[300 + 1000 * place] = label
    folder.mkdir(parents=True, exist_ok=True)
    name = f"picture {number:03d}.png"
    colors = np.stack([ids // 65536, ids // 256 % 256, ids % 256], axis=-1).astype(np.uint8)  # BGR for OpenCV
    cv2.imwrite(str(folder / name), colors)
    found = []
    for segment in np.unique(ids).tolist():
        ys, xs = np.nonzero(ids == segment)
        box = [int(xs.min()), int(ys.min()), int(xs.max() - xs.min() + 1), int(ys.max() - ys.min() + 1)]
        found.append(
            {"id": segment, "category_id": category[segment], "iscrowd": 0, "area": len(xs), "bbox": box}
        )  # fmt: skip
    return {"image_id": number + 1, "file_name": name, "segments_info": found}


def _write(file: Path, images: list, annotations: list, categories: list) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))


def ade(root: Path, train: int = 6, val: int = 3, size: int = 64, seed: int = 0) -> Path:
    """An ADE folder with four classes and some unlabelled pixels."""
    rng = np.random.default_rng(seed)
    index = {category["id"]: place for place, category in enumerate(CATEGORIES, 1)}
    for split, count in (("training", train), ("validation", val)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture, stuff, things = scene(rng, size, 2)
            labels = np.vectorize(index.get)(stuff).astype(np.uint8)
            for category, mask in things:
                labels[mask > 0] = index[category]
            labels[:3] = 0
            cv2.imwrite(str(root / "images" / split / f"{number:03d}.jpg"), picture)
            cv2.imwrite(str(root / "annotations" / split / f"{number:03d}.png"), labels)
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    rows += [f"{place}\t0.25\t{train}\t{val}\t0\t{each['name']}" for place, each in enumerate(CATEGORIES, 1)]
    (root / "objectInfo.txt").write_text("\n".join(rows) + "\n")
    return root
