"""OpenImages' masks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from folders import kinds, labels, mask, masks, one, picture, read, reasons

from seg2knet.converters.detection import detect
from seg2knet.converters.readers.openimages import OpenImagesReader
from seg2knet.errors import DataError

HEAD = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"


@pytest.fixture
def openimages(tmp_path: Path) -> Path:
    drawn = np.zeros((10, 20), bool)
    drawn[2:5, 3:9] = True
    for split, image in (("train", "0a"), ("validation", "0b")):
        picture(tmp_path / split / f"{image}.jpg", 20, 10)
        mask(tmp_path / f"{split}-masks-0" / f"{image}_m01x_1.png", drawn)
        row = f"{image}_m01x_1.png,{image},/m/01x,1,0,1,0,1,0.8,\n"
        (tmp_path / f"{split}-annotations-object-segmentation.csv").write_text(HEAD + row)
    (tmp_path / "class-descriptions.csv").write_text("/m/02y,Dog\n/m/01x,Cat\n")
    return tmp_path


def test_masks_have_their_classes_and_splits(openimages: Path) -> None:
    reader = OpenImagesReader(openimages)
    assert reader.scan().classes.names == ("Cat",)
    samples = read(pickle.loads(pickle.dumps(reader)))
    assert list(samples) == ["train:0a.jpg", "val:0b.jpg"]
    assert [labels(sample) for sample in samples.values()] == [["Cat"], ["Cat"]]
    assert masks(samples["train:0a.jpg"])[0].sum() == 18


def test_a_mask_of_another_size_is_stretched(openimages: Path) -> None:
    drawn = np.zeros((5, 10), bool)
    drawn[1:3, 1:4] = True
    mask(openimages / "train-masks-0/0a_m01x_1.png", drawn)
    sample = read(OpenImagesReader(openimages))["train:0a.jpg"]
    assert masks(sample)[0].sum() == 4 * 6
    assert kinds(sample) == ["mask-resized"]


def test_what_is_missing_is_told(openimages: Path) -> None:
    table = openimages / "train-annotations-object-segmentation.csv"
    table.write_text(table.read_text() + "0a_none.png,0a,/m/01x,2,0,1,0,1,0,\n0c_m01x_3.png,0c,/m/01x,3,0,1,0,1,0,\n")
    assert reasons(OpenImagesReader(openimages).scan()) == ["mask-missing", "image-missing"]


def test_a_class_without_a_name_is_called_by_its_id(openimages: Path) -> None:
    (openimages / "class-descriptions.csv").unlink()
    assert labels(read(OpenImagesReader(openimages))["train:0a.jpg"]) == ["/m/01x"]


def test_a_table_of_classes_that_cannot_be_read_is_an_error(openimages: Path) -> None:
    (openimages / "class-descriptions.csv").write_bytes(b"/m/01x,C\rat\n")
    with pytest.raises(DataError, match=r"class-descriptions\.csv: not a CSV file"):
        OpenImagesReader(openimages).scan()


def test_it_is_named_and_no_mask_folder(openimages: Path, tmp_path: Path) -> None:
    assert detect([openimages])[0] == "openimages"
    with pytest.raises(DataError, match="object-segmentation"):
        OpenImagesReader(tmp_path / "none").scan()


def test_datumaros_sample(shared: Path) -> None:
    reader = OpenImagesReader(shared / "corpora/openimages-masks__datumaro__open_images_v6")
    sample = one(reader)
    assert labels(sample) == ["Generic label #0"]
    assert masks(sample)[0].sum() == 4
