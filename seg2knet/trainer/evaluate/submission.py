"""What COCO's and ADE20K's evaluation servers take: predictions for pictures whose truth they keep, in one zip.

Names and forms: https://cocodataset.org/#format-results and http://sceneparsing.csail.mit.edu.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from seg2knet.dataset import coco_json
from seg2knet.dataset.folder import DataFolder
from seg2knet.dataset.label_image import rgb_of
from seg2knet.errors import DataError
from seg2knet.trainer.predict.inference import Prediction
from seg2knet.trainer.predict.predictions import coco_results


class Submission:
    """Collects predictions into a zip.

    Instance: ``detections_SET_seg2knet_results.json``. Panoptic: ``panoptic_SET_seg2knet_results.json`` and a folder of
    that name with PNGs. Semantic: a label PNG a picture, 1.. = classes.

    Args:
        file: the zip; its folder is made.
        folder: the data set, whose category ids the predictions bear.
        split: the split predicted on.

    Raises:
        DataError: no annotation file says what the category ids are.
    """

    def __init__(self, file: Path, folder: DataFolder, split: str) -> None:
        self.folder = folder
        self.task = folder.task
        self.ids = category_ids(folder)
        name = folder.splits[split].annotations.stem
        self.set = name.removeprefix("image_info_").removeprefix("instances_").removeprefix("panoptic_")
        self.results: list[dict[str, Any]] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        self._part = file.with_name(f".{file.name}.part")
        self._file = file
        self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED)

    def add(self, found: Prediction, image_id: int) -> None:
        """Take one picture's predictions."""
        stem = found.path.stem
        if self.task == "instance":
            results = coco_results(found, image_id)
            for result, label in zip(results, found.labels.tolist()):
                result["category_id"] = self.ids[label]
            self.results += results
        elif self.task == "panoptic":
            self.results.append(self._panoptic(found, image_id))
        else:
            assert found.labelmap is not None
            self._png(f"{stem}.png", (found.labelmap + 1).astype(np.uint8))

    def _panoptic(self, found: Prediction, image_id: int) -> dict[str, Any]:
        ids = np.zeros((found.height, found.width), np.int32)
        segments = []
        for number, (label, mask) in enumerate(zip(found.labels.tolist(), found.masks), 1):
            ids[mask] = number
            segments.append({"id": number, "category_id": self.ids[label]})
        name = f"{found.path.stem}.png"
        colors = rgb_of(ids)[..., ::-1]  # BGR for OpenCV
        self._png(f"panoptic_{self.set}_seg2knet_results/{name}", colors)
        return {"image_id": image_id, "file_name": name, "segments_info": segments}

    def _png(self, name: str, array: np.ndarray) -> None:
        import cv2

        self._zip.writestr(name, cv2.imencode(".png", array)[1].tobytes())

    def close(self) -> None:
        """Write what is left, and put the zip in its place."""
        if self.task == "instance":
            self._zip.writestr(f"detections_{self.set}_seg2knet_results.json", json.dumps(self.results))
        elif self.task == "panoptic":
            content = {"annotations": self.results}
            self._zip.writestr(f"panoptic_{self.set}_seg2knet_results.json", json.dumps(content))
        self._zip.close()
        self._part.replace(self._file)


def category_ids(folder: DataFolder) -> dict[int, int]:
    """Label -> category id in the data set's own files, by name; semantic: labels from 1.

    Raises:
        DataError: no split with truth says what the ids are.
    """
    if folder.task == "semantic":
        return {label: label + 1 for label in range(len(folder.classes))}
    for split in folder.splits.values():
        if split.has_truth:
            kind = coco_json.Panoptic if folder.task == "panoptic" else coco_json.Instances
            categories = coco_json.read(split.annotations, kind).categories
            named = {category.name: category.id for category in categories}
            if all(name in named for name in folder.classes.names):
                return {label: named[name] for label, name in enumerate(folder.classes.names)}
    raise DataError(
        "no annotation file says which category ids the classes have", file=folder.root,
        expected="annotations/instances_val2017.json, or another split with truth",
    )  # fmt: skip
