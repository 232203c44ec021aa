"""The zip files that COCO's and ADE20K's evaluation servers accept: predictions for images whose truth they keep.

Names and formats: https://cocodataset.org/#format-results and http://sceneparsing.csail.mit.edu.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2

from seg2knet.dataset import coco_json
from seg2knet.dataset.folder import DataFolder
from seg2knet.errors import DataError
from seg2knet.trainer.predict.files import coco_results
from seg2knet.trainer.predict.prediction import Prediction


class Submission:
    """Collects predictions on a split into a zip, with the category ids of the data set.

    Instance: ``detections_SET_seg2knet_results.json``. Panoptic: ``panoptic_SET_seg2knet_results.json`` and a folder of
    that name with PNGs. Semantic: a label PNG an image, 1.. = classes.

    Raises DataError: no annotation file says what the category ids are.
    """

    def __init__(self, file: Path, folder: DataFolder, split: str) -> None:
        self.task = folder.task
        self.ids = category_ids(folder)
        subset = folder.splits[split].annotations.stem
        for prefix in ("image_info_", "instances_", "panoptic_"):
            subset = subset.removeprefix(prefix)
        self.name = f"{'panoptic' if self.task == 'panoptic' else 'detections'}_{subset}_seg2knet_results"
        self.results: list[dict[str, Any]] = []
        self._pngs: set[str] = set()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._part, self._file = file.with_name(f".{file.name}.part"), file
        self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED)

    def add(self, prediction: Prediction, image_id: int) -> None:
        """Add one image's predictions. Raises DataError: another image has its name, and thereby its PNG."""
        png = f"{prediction.path.stem}.png"
        results, pixels = coco_results(prediction, self.task, image_id, self.ids, png)
        self.results += results
        if pixels is not None:
            if png in self._pngs:
                expected = "names that differ in more than folder and suffix, as on the server"
                raise DataError(f"two images have the result {png}", file=prediction.path, expected=expected)
            self._pngs.add(png)
            name = f"{self.name}/{png}" if self.task == "panoptic" else png
            self._zip.writestr(name, cv2.imencode(".png", pixels)[1].tobytes())

    def close(self) -> None:
        """Write what is left, and put the zip in its place."""
        if self.task != "semantic":
            content: Any = self.results if self.task == "instance" else {"annotations": self.results}
            self._zip.writestr(f"{self.name}.json", json.dumps(content))
        self._zip.close()
        self._part.replace(self._file)


def category_ids(folder: DataFolder) -> list[int]:
    """The category id of each label in the data set's own files, by name; semantic: from 1.

    Raises DataError: no split with truth says what the ids are.
    """
    names = folder.classes.names
    if folder.task == "semantic":
        return [label + 1 for label in range(len(names))]
    kind = coco_json.Panoptic if folder.task == "panoptic" else coco_json.Instances
    for split in folder.splits.values():
        if split.has_truth:
            named = {category.name: category.id for category in coco_json.read(split.annotations, kind).categories}
            if named.keys() >= set(names):
                return [named[name] for name in names]
    raise DataError(
        "no annotation file says which category ids the classes have", file=folder.root,
        expected="annotations/instances_val2017.json, or another split with truth",
    )  # fmt: skip
