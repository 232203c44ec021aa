"""Small clean data sets on disk, and the codes that a validation of them gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image

from seg2knet.validators.engine import validate

FAMILIES = ("IM", "CP", "AD")


def codes(root: Path, *families: str) -> list[str]:
    """The codes found in these families, sorted, with repetitions."""
    return sorted(finding.code for finding in validate(root, select=families or FAMILIES).findings)


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """``(H, W, 3)`` uint8 that differs from any other seed's."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit a JSON file in place."""
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def coco(root: Path, *, panoptic: bool = True, images: int = 3, suffix: str = ".jpg") -> Path:
    """A COCO folder of two splits that no rule of the families IM and CP finds fault with."""
    (root / "annotations").mkdir(parents=True)
    for offset, split in enumerate(("train", "val")):
        names = [f"{split}_{index}{suffix}" for index in range(images)]
        moved = 4 * offset  # no image of val has the layout of one of train
        folder = root / f"{split}2017"
        folder.mkdir()
        for index, name in enumerate(names):
            Image.fromarray(noise(100 * offset + index)).save(folder / name)
        _instances(root / "annotations" / f"instances_{split}2017.json", names, moved)
        if panoptic:
            _panoptic(root / "annotations" / f"panoptic_{split}2017.json", names, moved)
    return root


def _images(names: list[str]) -> list[dict[str, Any]]:
    return [{"id": index + 1, "file_name": name, "width": 64, "height": 48} for index, name in enumerate(names)]


def _instances(path: Path, names: list[str], moved: int) -> None:
    annotations = []
    for image in range(len(names)):
        for place, (x, y) in enumerate(((4, 4), (34 + moved, 14))):
            box = [x, y, 16, 12]
            polygon = [x, y, x + 16, y, x + 16, y + 12, x, y + 12]
            annotations.append(
                {
                    "id": 2 * image + place + 1,
                    "image_id": image + 1,
                    "category_id": place + 1,
                    "segmentation": [[float(number) for number in polygon]],
                    "area": 192.0,
                    "bbox": box,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path.write_text(json.dumps({"images": _images(names), "annotations": annotations, "categories": categories}))


def segments(moved: int = 0) -> np.ndarray:
    """``(48, 64)`` ids: two things 1001 and 2002, sky 70000 above grass 3, a void corner."""
    ids = np.full((48, 64), 3)
    ids[:24] = 70000
    ids[4:16, 4:20] = 1001
    ids[14:26, 34 + moved : 50 + moved] = 2002
    ids[44:, 60:] = 0
    return ids


def write_png(path: Path, ids: np.ndarray) -> None:
    """Ids as COCO panoptic writes them."""
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536 % 256], axis=-1)
    Image.fromarray(rgb.astype(np.uint8)).save(path)


def _panoptic(path: Path, names: list[str], moved: int) -> None:
    folder = path.with_suffix("")
    folder.mkdir()
    ids = segments(moved)
    classes = {1001: 1, 2002: 2, 70000: 3, 3: 4}
    infos = []
    for number, category in classes.items():
        ys, xs = np.nonzero(ids == number)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        area = int((ids == number).sum())
        infos.append({"id": number, "category_id": category, "area": area, "bbox": box, "iscrowd": 0})
    entries = []
    for index, name in enumerate(names):
        png = Path(name).stem + ".png"
        write_png(folder / png, ids)
        entries.append({"image_id": index + 1, "file_name": png, "segments_info": infos})
    categories = [
        {"id": 1, "name": "cat", "isthing": 1},
        {"id": 2, "name": "dog", "isthing": 1},
        {"id": 3, "name": "sky", "isthing": 0},
        {"id": 4, "name": "grass", "isthing": 0},
    ]
    path.write_text(json.dumps({"images": _images(names), "annotations": entries, "categories": categories}))


def ade(root: Path, *, images: int = 3, names: Optional[list[str]] = None) -> Path:
    """An ADE folder of two splits and three classes that no rule finds fault with."""
    for offset, split in enumerate(("training", "validation")):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(images):
            name = f"{split}_{index}"
            Image.fromarray(noise(100 * offset + index)).save(root / "images" / split / f"{name}.jpg")
            Image.fromarray(labels()).save(root / "annotations" / split / f"{name}.png")
    classes = names or ["wall", "sky", "tree"]
    rows = "".join(f"{number}\t0.3\t1\t1\t{name}\n" for number, name in enumerate(classes, 1))
    (root / "objectInfo.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    return root


def labels() -> np.ndarray:
    """``(48, 64)`` uint8: 0 unlabelled, classes 1 to 3."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:16], mask[16:32], mask[32:40] = 1, 2, 3
    return mask
