"""Predictions as files: pictures, COCO results, LabelMe JSON that LabelMe opens."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.images import is_image
from seg2knet.dataset.label_image import rgb_of
from seg2knet.dataset.rle import as_json, mask_to_rle, rle_bbox
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import UsageError
from seg2knet.trainer.predict.inference import Prediction

FORMATS = ("overlay", "coco", "labelme")
SMOOTH = 0.8
"""LabelMe polygons may stray this many pixels from a mask's outline, so that they have few enough corners to move."""


def find_pictures(sources: Iterable[Union[str, Path]]) -> list[tuple[Path, Path]]:
    """Pictures named by files, folders and globs, each with its name below what named it; none twice.

    Raises:
        UsageError: a source has no pictures.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            here = {each: each.relative_to(path) for each in sorted(path.rglob("*")) if is_image(each)}
        elif path.is_file():
            here = {path: Path(path.name)}
        else:
            here = {each: Path(each.name) for each in _glob(str(source)) if is_image(each)}
        if not here:
            raise UsageError(
                "no pictures here",
                file=source,
                expected="a picture, a folder of pictures, or a pattern like 'in/*.jpg'",
            )
        for each, name in here.items():
            found.setdefault(each.resolve(), name)
    return list(found.items())


def _glob(pattern: str) -> list[Path]:
    import glob

    return [Path(each) for each in sorted(glob.glob(pattern, recursive=True)) if Path(each).is_file()]


class Writer:
    """Writes predictions as they come.

    Args:
        out: folder to write to.
        classes: of the model.
        task: of the model.
        formats: some of ``FORMATS``.

    Leaves ``NAME.png`` beside one another for ``overlay``, ``NAME.json`` for ``labelme``; :meth:`close` writes
    ``predictions.json`` (COCO results) and ``images.json`` (the pictures and categories that its ids mean) for
    ``coco``, with ``labels/NAME.png`` for semantic and ``panoptic/NAME.png`` for panoptic segmentation.
    """

    def __init__(self, out: Path, classes: ClassList, task: str, formats: Sequence[str]) -> None:
        unknown = [each for each in formats if each not in FORMATS]
        if unknown or not formats:
            raise UsageError(
                "--format is not known",
                found=", ".join(unknown) or "none",
                expected=" or ".join(FORMATS) + ", or several",
            )
        self.out = out
        self.classes = classes
        self.task = task
        self.formats = tuple(formats)
        self._taken: set[Path] = set()
        self.images: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []

    def write(self, found: Prediction, name: Path) -> None:
        """Write one picture's predictions under ``name``, relative."""
        if "overlay" in self.formats:
            from seg2knet.trainer.predict import drawing
            from seg2knet.trainer.predict.inference import read_picture

            picture = read_picture(found.path)
            drawn = drawing.overlay(*drawing.enlarged(picture, found), self.classes)
            drawing.save(drawn, self.out / name.with_name(f"{name.name}.png"))
        if "labelme" in self.formats:
            file = self.out / self._json_name(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(labelme(found, self.classes, file.parent), indent=2, ensure_ascii=False) + "\n")
        if "coco" in self.formats:
            self._coco(found, name)

    def _json_name(self, name: Path) -> Path:
        """LabelMe looks for a.json beside a.jpg; where there is an a.png too, the second gets a.png.json."""
        wanted = name.with_suffix(".json")
        if wanted in self._taken:
            wanted = name.with_name(f"{name.name}.json")
        self._taken.add(wanted)
        return wanted

    def _coco(self, found: Prediction, name: Path) -> None:
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name.as_posix(), "width": found.width, "height": found.height})
        if self.task == "panoptic":
            self.results.append(self._panoptic(found, name, number))
        elif found.labelmap is not None:
            self._png(found.labelmap.astype(np.uint8) + 1, Path("labels", name))
        else:
            self.results += coco_results(found, number)

    def _panoptic(self, found: Prediction, name: Path, number: int) -> dict[str, Any]:
        ids = np.zeros((found.height, found.width), np.int32)
        segments = []
        for place, (label, mask) in enumerate(zip(found.labels.tolist(), found.masks), 1):
            ids[mask] = place
            segments.append({"id": place, "category_id": label + 1, "area": int(mask.sum())})
        png = Path("panoptic", name)
        self._png(rgb_of(ids)[..., ::-1], png)
        return {"image_id": number, "file_name": name.with_suffix(".png").as_posix(), "segments_info": segments}

    def _png(self, array: np.ndarray, name: Path) -> None:
        from seg2knet.trainer.predict import drawing

        drawing.save(array, self.out / name.with_suffix(".png"))

    def close(self) -> None:
        """Write what is of all pictures together."""
        if "coco" not in self.formats:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        categories = self.classes.to_coco_panoptic() if self.task == "panoptic" else self.classes.to_coco()
        listed = {"images": self.images, "categories": categories}
        (self.out / "images.json").write_text(json.dumps(listed, ensure_ascii=False))
        if self.task == "panoptic":
            (self.out / "predictions.json").write_text(json.dumps({**listed, "annotations": self.results}))
        elif self.task == "instance":
            (self.out / "predictions.json").write_text(json.dumps(self.results))


def coco_results(found: Prediction, image_id: int) -> list[dict[str, Any]]:
    """COCO results (https://cocodataset.org/#format-results): category ids are places in the class list, from 1."""
    results = []
    for label, score, mask in zip(found.labels.tolist(), found.scores.tolist(), found.masks):
        rle = mask_to_rle(mask)
        results.append(
            {
                "image_id": image_id,
                "category_id": label + 1,
                "score": round(score, 6),
                "bbox": list(rle_bbox(rle)),
                "segmentation": as_json(rle),
            }
        )
    return results


def labelme(found: Prediction, classes: ClassList, folder: Path) -> dict[str, Any]:
    """A LabelMe annotation (labelme 5's format) that stands in ``folder``.

    An object of one piece without holes is a polygon; several pieces are polygons with one ``group_id``; one with
    holes is a mask shape, which keeps them.
    """
    shapes: list[dict[str, Any]] = []
    for group, (label, score, mask) in enumerate(zip(found.labels.tolist(), found.scores.tolist(), found.masks), 1):
        name, note = classes[label].name, f"score {score:.3f}" if found.labelmap is None else ""
        if _has_holes(mask):
            shapes.append(_mask_shape(name, mask, note))
        else:
            parts = _outlines(mask)
            shapes += [_shape(name, part, "polygon", note, group if len(parts) > 1 else None) for part in parts]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": Path(os.path.relpath(found.path, folder.resolve())).as_posix(),
        "imageData": None,
        "imageHeight": found.height,
        "imageWidth": found.width,
    }


def _has_holes(mask: np.ndarray) -> bool:
    """Whether a piece of the mask goes around pixels that are not its own; specks of up to 3 pixels do not count."""
    outlines, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return False
    return any(parent >= 0 and len(outline) > 4 for outline, (_, _, _, parent) in zip(outlines, tree[0]))


def _outlines(mask: np.ndarray) -> list[list[list[float]]]:
    """Polygons around the pieces of a mask, with no more corners than ``SMOOTH`` asks for; specks are left out."""
    exact = geometry.mask_to_polygons(mask)
    if not isinstance(exact, Polygons):
        return []
    parts = []
    for part in exact.parts:
        points = np.array(part, np.float32).reshape(-1, 1, 2)
        fewer = cv2.approxPolyDP(points, SMOOTH, closed=True).reshape(-1, 2)
        if len(fewer) < 3:
            fewer = points.reshape(-1, 2)
        if geometry.polygon_area(fewer.ravel().tolist()) >= 4 or len(exact.parts) == 1:
            parts.append([[round(float(x), 2), round(float(y), 2)] for x, y in fewer])
    return parts


def _mask_shape(label: str, mask: np.ndarray, note: str) -> dict[str, Any]:
    ys, xs = np.nonzero(mask)
    left, top, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())
    _, png = cv2.imencode(".png", mask[top : bottom + 1, left : right + 1].astype(np.uint8))
    found = _shape(label, [[left, top], [right, bottom]], "mask", note, None)
    found["mask"] = base64.b64encode(png.tobytes()).decode()
    return found


def _shape(label: str, points: Sequence[Sequence[float]], kind: str, note: str, group: Optional[int]) -> dict[str, Any]:
    return {
        "label": label,
        "points": [list(point) for point in points],
        "group_id": group,
        "description": note,
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
