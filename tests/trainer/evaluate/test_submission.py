"""Predictions for an evaluation server."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.errors import DataError
from seg2knet.trainer.evaluate.submission import Submission
from seg2knet.trainer.predict.prediction import Prediction


def test_images_of_one_name_do_not_replace_one_another(tmp_path: Path) -> None:
    split = Split("val", tmp_path / "images", tmp_path / "annotations", None, 3, 0)
    folder = DataFolder(tmp_path, "semantic", ClassList.of(["road", "tree"]), {"val": split})
    collected = Submission(tmp_path / "out.zip", folder, "val")
    names = ["a/1.jpg", "2.jpg"]
    for number, name in enumerate(names):
        collected.add(Prediction.of_labelmap(split.images / name, np.zeros((4, 6), np.uint8)), number)
    with pytest.raises(DataError, match=r"1\.png"):
        collected.add(Prediction.of_labelmap(split.images / "b/1.jpg", np.ones((4, 6), np.uint8)), 2)
    collected.close()
    with zipfile.ZipFile(tmp_path / "out.zip") as written:
        assert written.namelist() == ["1.png", "2.png"]
