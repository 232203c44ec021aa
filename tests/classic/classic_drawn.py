"""Draws small data sets: instances, panoptic and ADE of the same images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

THINGS = ("driver's disc", "box")
STUFF = ("sky", "ground")
SIZE = (96, 128)
CHECKOUT = Path(__file__).with_name("checkout")
SMALL = {"model.backbone.depth": 18, "model.neck.in_channels": [64, 128, 256, 512]}
"""A ResNet-18 instead of a ResNet-50, for the models of mmdet."""


def _scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[tuple[int, np.ndarray]]]:
    """Picture (H, W, 3), stuff map (H, W) of 0 sky and 1 ground, and (label, mask) of each thing, apart."""
    height, width = SIZE
    horizon = int(rng.integers(30, 60))
    stuff = np.zeros(SIZE, np.uint8)
    stuff[horizon:] = 1
    picture = np.where(stuff[..., None] == 1, (60, 120, 60), (220, 180, 120)).astype(np.uint8)
    picture = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    things = []
    for place in range(2):
        label = int(rng.integers(2))
        x, y = int(rng.integers(16, width // 2 - 16)) + place * width // 2, int(rng.integers(20, height - 20))
        mask = np.zeros(SIZE, np.uint8)
        if label == 0:
            cv2.circle(mask, (x, y), 13, 1, -1)
        else:
            cv2.rectangle(mask, (x - 12, y - 10), (x + 12, y + 10), 1, -1)
        picture[mask == 1] = (40, 40, 230) if label == 0 else (230, 60, 40)
        things.append((label, mask))
    return picture, stuff, things


def draw(root: Path, train: int = 6, val: int = 3) -> tuple[Path, Path]:
    """Write ``root/coco`` (instances and panoptic) and ``root/ade``; one training picture is empty of things.

    Returns:
        the two folders.
    """
    rng = np.random.default_rng(7)
    coco, ade = root / "coco", root / "ade"
    for split, count in (("train", train), ("val", val)):
        _draw_split(coco, ade, split, count, rng)
    names = (*THINGS, *STUFF)
    rows = ["Idx\tRatio\tTrain\tVal\tName", *(f"{i + 1}\t0.1\t{train}\t{val}\t{name}" for i, name in enumerate(names))]
    (ade / "objectInfo.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return coco, ade


def _draw_split(coco: Path, ade: Path, split: str, count: int, rng: np.random.Generator) -> None:
    ade_name = {"train": "training", "val": "validation"}[split]
    pictures, pngs = coco / f"{split}2017", coco / "annotations" / f"panoptic_{split}2017"
    for folder in (pictures, pngs, ade / "images" / ade_name, ade / "annotations" / ade_name):
        folder.mkdir(parents=True)
    images: list[dict] = []
    instances: list[dict] = []
    panoptic: list[dict] = []
    for number in range(1, count + 1):
        picture, stuff, things = _scene(rng)
        suffix = ".png" if number == 2 else ".jpg"
        name = f"{split}_{number}{suffix}"
        if split == "train" and number == 3:
            things = []
        for file in (pictures / name, ade / "images" / ade_name / f"{split}_{number}.jpg"):
            assert cv2.imwrite(str(file), picture)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        segments, ids, labels = [], np.zeros(SIZE, np.int32), stuff + 3
        for place, (label, mask) in enumerate(((label, mask) for label, mask in things), 10):
            ids[mask == 1] = place
            labels[mask == 1] = label + 1
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            box = [int(side) for side in cv2.boundingRect(mask)]
            shared = {"category_id": label + 1, "iscrowd": 0, "area": int(mask.sum()), "bbox": box}
            outline = [contours[0].reshape(-1).astype(float).tolist()]
            instances.append({"id": len(instances) + 1, "image_id": number, "segmentation": outline, **shared})
            segments.append({"id": place, **shared})
        for label in (0, 1):
            mask = ((stuff == label) & (ids == 0)).astype(np.uint8)
            ids[mask == 1] = label + 1
            box = [int(side) for side in cv2.boundingRect(mask)]
            segments.append(
                {"id": label + 1, "category_id": label + 3, "iscrowd": 0, "area": int(mask.sum()), "bbox": box}
            )
        png = f"{split}_{number}.png"
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        cv2.imwrite(str(pngs / png), rgb[..., ::-1])
        cv2.imwrite(str(ade / "annotations" / ade_name / png), labels.astype(np.uint8))
        panoptic.append({"image_id": number, "file_name": png, "segments_info": segments})
    things_only = [{"id": i + 1, "name": name, "supercategory": ""} for i, name in enumerate(THINGS)]
    categories = [{**each, "isthing": 1} for each in things_only]
    categories += [{"id": i + 3, "name": name, "supercategory": "", "isthing": 0} for i, name in enumerate(STUFF)]
    # images in another order than annotations: mmdet pairs them by place, which is wrong
    for file, content in (
        (f"instances_{split}2017.json", {"images": images, "categories": things_only, "annotations": instances}),
        (f"panoptic_{split}2017.json", {"images": images[::-1], "categories": categories, "annotations": panoptic}),
    ):
        (coco / "annotations" / file).write_text(json.dumps(content), encoding="utf-8")
