"""A clean COCO data set with every kind of segmentation, as Python objects and on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from small_sets import change

WIDTH, HEIGHT = 96, 80
CLASSES = ("car", "wheel", "sign")
CIRCLE, ELL, PAIR, RING, CROWD, SQUARE = range(6)
"""Rows of the annotations of each image, in this order; image ``i`` has rows ``6 i`` to ``6 i + 5``."""


def circle(x: float, y: float, radius: float, points: int = 24) -> list[float]:
    """A flat polygon with two decimals, as COCO's own files have them."""
    turns = [2 * math.pi * index / points for index in range(points)]
    return [round(each, 2) for turn in turns for each in (x + radius * math.cos(turn), y + radius * math.sin(turn))]


def ell(x: float, y: float) -> list[float]:
    """An L of whole numbers: not seen from its middle as a whole."""
    return [x, y, x + 8, y, x + 8, y + 20, x + 24, y + 20, x + 24, y + 28, x, y + 28]


def official(parts: list[list[float]]) -> dict[str, Any]:
    """Area and box as COCO's own files give them: enclosed by the outline, its extents."""
    area = 0.0
    for part in parts:
        xs, ys = np.array(part[0::2]), np.array(part[1::2])
        area += abs(xs @ np.roll(ys, -1) - ys @ np.roll(xs, -1)) / 2
    xs, ys = np.array([each[0::2] for each in parts]).ravel(), np.array([each[1::2] for each in parts]).ravel()
    box = [xs.min(), ys.min(), np.ptp(xs), np.ptp(ys)]
    return {"segmentation": parts, "area": round(area, 4), "bbox": [round(float(each), 2) for each in box]}


def encoded(segmentation: Any) -> dict[str, Any]:
    """A segmentation of any kind as compressed run-length code."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH))
    listed = isinstance(segmentation["counts"], list)
    return coco_mask.frPyObjects(segmentation, *segmentation["size"]) if listed else segmentation


def code(mask: np.ndarray) -> dict[str, Any]:
    """A mask as JSON has it in a compressed run-length code."""
    return {"size": list(mask.shape), "counts": coco_mask.encode(np.asfortranarray(mask))["counts"].decode()}


def of_mask(segmentation: Any) -> dict[str, Any]:
    """Area and box of the mask, as converters give them."""
    code = encoded(segmentation)
    box = [int(each) for each in coco_mask.toBbox(code)]
    return {"segmentation": segmentation, "area": int(coco_mask.area(code)), "bbox": box}


def ring(x: int, y: int) -> dict[str, Any]:
    """A compressed run-length code with a hole."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + 16, x : x + 16] = 1
    mask[y + 5 : y + 11, x + 5 : x + 11] = 0
    return code(mask)


def crowd() -> dict[str, Any]:
    """A run-length code as a list: two bands of columns."""
    runs = [HEIGHT * 80 + 60, 12, HEIGHT - 12, 12, HEIGHT - 12, 12]
    return {"size": [HEIGHT, WIDTH], "counts": [*runs, HEIGHT * WIDTH - sum(runs)]}


def data(images: int, first: int = 1, stem: str = "train") -> dict[str, Any]:
    """A clean file's content. ``first``: id of the first image and annotation."""
    annotations: list[dict[str, Any]] = []
    entries = []
    for index in range(images):
        shift = index % 4 + (stem == "val") * 3  # no image of val has the layout of one of train
        shapes = [
            ({**official([circle(20 + shift, 20, 14)]), "category_id": 1}),
            ({**of_mask([ell(40 + shift, 2)]), "category_id": 1}),
            ({**official([circle(12 + shift, 56, 6), circle(30 + shift, 56, 6)]), "category_id": 2}),
            ({**of_mask(ring(44 + shift, 40)), "category_id": 3}),
            ({**of_mask(crowd()), "category_id": 2, "iscrowd": 1}),
            ({**of_mask([[72.0, 10.0, 88.0, 10.0, 88.0, 30.0, 72.0, 30.0]]), "category_id": 3}),
        ]
        for shape in shapes:
            own = {"id": first + len(annotations), "image_id": first + index, "iscrowd": 0, "note": "kept: ä"}
            annotations.append({**own, **shape})
        entries.append({"id": first + index, "file_name": f"{stem}{index}.jpg", "width": WIDTH, "height": HEIGHT})
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(CLASSES, 1)]
    return {"info": {"year": 2026}, "images": entries, "annotations": annotations, "categories": categories}


def write(path: Path, content: Any, indent: Optional[int] = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), "utf-8")


def draw(folder: Path, content: dict[str, Any], seed: int) -> None:
    """The images that the file names."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for image in content["images"]:
        pixels = random.integers(0, 255, (image["height"], image["width"], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / image["file_name"])


def folder_set(root: Path) -> Path:
    """The COCO layout, train and val. The train file's path."""
    for seed, (split, images) in enumerate((("train", 3), ("val", 2))):
        content = data(images, 1, split)
        write(root / "annotations" / f"instances_{split}2017.json", content)
        draw(root / f"{split}2017", content, seed)
    return root / "annotations" / "instances_train2017.json"


def spoiled(root: Path) -> tuple[Path, Path]:
    """The COCO layout with two annotations of one id in train, and in val; the paths of both files."""
    train = folder_set(root)
    val = train.with_name("instances_val2017.json")
    for path in (train, val):
        change(path, lambda content: content["annotations"][1].update(id=content["annotations"][0]["id"]))
    return train, val


def single_set(root: Path) -> Path:
    """One file with its images beside it, written with line breaks."""
    content = data(3)
    write(root / "annotations.json", content, indent=2)
    draw(root, content, 0)
    return root / "annotations.json"
