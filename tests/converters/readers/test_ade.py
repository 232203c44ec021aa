"""The layout of ADE20K's challenge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folders import kinds, labels, mask, masks, picture, read, reasons
from PIL import Image as pillow

from seg2knet.converters.readers.ade import AdeOptions, AdeReader
from seg2knet.dataset.sample import Sample
from seg2knet.errors import DataError

LABELS = np.array([[0, 1, 1, 3], [0, 0, 0, 3], [1, 2, 2, 2]], np.uint8)
TABLE = "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t5\t1\twall\n2\t0.1\t5\t1\tbuilding, edifice\n3\t0.1\t5\t1\tsky\n"


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    for split in ("training", "validation"):
        picture(tmp_path / f"images/{split}/ADE_{split}_1.jpg", 4, 3)
        mask(tmp_path / f"annotations/{split}/ADE_{split}_1.png", LABELS)
    (tmp_path / "objectInfo150.txt").write_text(TABLE)
    return tmp_path


def painted(sample: Sample, names: list[str]) -> np.ndarray:
    result = np.zeros((sample.image.height, sample.image.width), np.uint8)
    for found, region in zip(sample.objects, masks(sample)):
        result[region] = names.index(found.label) + 1
    return result


def test_a_class_is_an_object_and_0_is_nothing(ade: Path) -> None:
    samples = read(AdeReader(ade))
    assert list(samples) == ["train:ADE_training_1.jpg", "val:ADE_validation_1.jpg"]
    sample = samples["train:ADE_training_1.jpg"]
    assert labels(sample) == ["wall", "building, edifice", "sky"]
    assert (painted(sample, list(AdeReader(ade).scan().classes.names)) == LABELS).all()


def test_pieces_where_asked(ade: Path) -> None:
    sample = read(AdeReader(ade, AdeOptions(instances="components")))["train:ADE_training_1.jpg"]
    assert labels(sample) == ["wall", "wall", "building, edifice", "sky"]


def test_inside_its_own_folder(ade: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("data")
    ade.rename(outer / "ADEChallengeData2016")
    assert len(read(AdeReader(outer))) == 2


def test_what_the_csv_says_is_stuff(ade: Path) -> None:
    rows = "1,0.1,5,1,1,wall\n2,0.1,5,1,0,building;edifice\n3,0.1,5,1,1,sky\n"
    (ade / "objectInfo150.csv").write_text("Idx,Ratio,Train,Val,Stuff,Name\n" + rows)
    classes = AdeReader(ade).scan().classes
    assert classes.names == ("wall", "building, edifice", "sky")
    assert classes.stuff == ("wall", "sky")


def test_a_class_that_is_called_background_is_a_class(ade: Path) -> None:
    (ade / "objectInfo150.txt").write_text(TABLE.replace("sky", "background"))
    assert labels(read(AdeReader(ade))["train:ADE_training_1.jpg"]) == ["wall", "building, edifice", "background"]


def test_without_a_table_classes_are_called_by_number(ade: Path) -> None:
    (ade / "objectInfo150.txt").unlink()
    assert labels(read(AdeReader(ade))["train:ADE_training_1.jpg"]) == ["1", "2", "3"]
    assert kinds(AdeReader(ade).scan()) == ["classes-called-by-number"]


def test_what_is_alone_is_told(ade: Path) -> None:
    picture(ade / "images/training/b.jpg", 4, 3)
    mask(ade / "annotations/training/c.png", LABELS)
    assert reasons(AdeReader(ade).scan()) == ["picture-without-mask", "mask-without-picture"]


def test_numbers_over_the_table_are_told(ade: Path) -> None:
    mask(ade / "annotations/training/ADE_training_1.png", np.full((3, 4), 9, np.uint8))
    assert reasons(read(AdeReader(ade))["train:ADE_training_1.jpg"]) == ["number-without-a-class"]


def test_the_full_release_is_another_format(tmp_path: Path) -> None:
    picture(tmp_path / "training/street/1.jpg", 4, 3)
    mask(tmp_path / "training/street/1_seg.png", np.zeros((3, 4, 3), np.uint8))
    assert AdeReader.sniff(tmp_path) is None
    with pytest.raises(DataError, match="full ADE20K"):
        AdeReader(tmp_path).scan()


def test_the_challenges_samples(shared: Path) -> None:
    root = shared / "corpora/ade20k__sceneparsing__sampleData"
    reader = AdeReader(root)
    names = list(reader.scan().classes.names)
    assert len(names) == 150
    for name, sample in read(reader).items():
        drawn = np.asarray(pillow.open(root / "sampleData/annotations" / name.replace(".jpg", ".png")))
        assert (painted(sample, names) == drawn).all()
