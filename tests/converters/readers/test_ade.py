"""The layout of ADE20K's challenge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from folders import kinds, labels, mask, masks, picture, read, reasons
from PIL import Image as pillow

from seg2knet.converters.readers.ade import AdeOptions, AdeReader
from seg2knet.dataset.sample import Sample
from seg2knet.errors import DataError, UsageError

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


def test_folders_called_train_and_val_are_splits(ade: Path) -> None:
    for folder in ("images", "annotations"):
        for name, short in (("training", "train"), ("validation", "val")):
            (ade / folder / name).rename(ade / folder / short)
    assert list(read(AdeReader(ade))) == ["train:ADE_training_1.jpg", "val:ADE_validation_1.jpg"]


def test_pieces_where_asked(ade: Path) -> None:
    sample = read(AdeReader(ade, AdeOptions(instances="components")))["train:ADE_training_1.jpg"]
    assert labels(sample) == ["wall", "wall", "building, edifice", "sky"]


def test_inside_its_own_folder(ade: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("data")
    ade.rename(outer / "ADEChallengeData2016")
    assert len(read(AdeReader(outer))) == 2


def test_a_number_that_only_looks_like_one_is_refused(ade: Path) -> None:
    (ade / "objectInfo150.txt").write_text(TABLE.replace("2\t", "²\t", 1))
    with pytest.raises(DataError, match="not a line of a label map"):
        AdeReader(ade).scan()


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
    assert reasons(AdeReader(ade).scan()) == ["image-without-mask", "mask-without-image"]


def test_numbers_over_the_table_are_told(ade: Path) -> None:
    mask(ade / "annotations/training/ADE_training_1.png", np.full((3, 4), 9, np.uint8))
    assert reasons(read(AdeReader(ade))["train:ADE_training_1.jpg"]) == ["number-without-a-class"]


FULL = np.zeros((3, 4, 3), np.uint8)
FULL[0] = (10, 145, 1)  # 1 * 256 + 145 = 401
FULL[1] = (10, 145, 2)
FULL[2, :2] = (0, 7, 3)


@pytest.fixture(params=["2017", "2020"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two cars and some sky, as the two releases say it."""
    folder = tmp_path / "set/training/street"
    picture(folder / "1.jpg", 4, 3)
    mask(folder / "1_seg.png", FULL)
    mask(folder / "1_parts_1.png", FULL)
    if request.param == "2017":
        lines = [
            '001 # 0 # 1 # car, auto # car # ""',
            '002 # 0 # 0 # car, auto # car # ""',
            '003 # 0 # 0 # sky # sky # ""',
        ]
        (folder / "1_atr.txt").write_text("\n".join([*lines, '001 # 1 # 0 # wheel # wheel # ""']))
    else:
        entries = [{"name": "car, auto", "name_ndx": 401}, {"name": "sky", "name_ndx": 7}]
        (folder / "1.json").write_text(json.dumps({"annotation": {"object": entries}}))
    return tmp_path / "set"


def test_the_full_releases_by_class_and_by_object(full: Path) -> None:
    assert AdeReader.sniff(full) is not None
    ((key, sample),) = read(AdeReader(full)).items()
    assert key == "train:street/1.jpg"
    assert labels(sample) == ["sky", "car, auto"]
    assert [each.sum() for each in masks(sample)] == [2, 8]
    (sample,) = read(AdeReader(full, AdeOptions(instances="objects"))).values()
    assert labels(sample) == ["sky", "car, auto", "car, auto"]
    assert [each.sum() for each in masks(sample)] == [2, 4, 4]


def test_the_challenges_classes_out_of_the_full_ones(full: Path) -> None:
    (full / "map.txt").write_text("1\t401\n1\t402\n")
    (full / "names.txt").write_text("Idx\tName\n1\tcar\n")
    reader = AdeReader(full, AdeOptions(map_from_ade=full / "map.txt", labelmap=full / "names.txt"))
    assert reader.scan().classes.names == ("car",)
    (sample,) = read(reader).values()
    assert labels(sample) == ["car"]
    assert not sample.skips
    with pytest.raises(UsageError, match="--labelmap"):
        AdeReader(full, AdeOptions(map_from_ade=full / "map.txt")).scan()
    with pytest.raises(DataError, match="class numbers"):
        AdeReader(full, AdeOptions(map_from_ade=full / "names.txt", labelmap=full / "names.txt")).scan()


def test_full_masks_without_names_are_told(full: Path) -> None:
    for path in [*full.rglob("*.json"), *full.rglob("*.txt")]:
        path.unlink()
    assert reasons(read(AdeReader(full))["train:street/1.jpg"]) == ["number-without-a-class"] * 3


def test_datumaros_full_ade(shared: Path) -> None:
    for year in ("2017", "2020"):
        samples = read(AdeReader(shared / f"corpora/ade20k-full__datumaro__ade20k{year}/dataset"))
        assert list(samples) == ["train:street/1.jpg", "val:2.jpg"]
        assert "person, individual, someone, somebody, mortal, soul" in labels(samples["val:2.jpg"])


def test_the_authors_own_conversion(shared: Path, tmp_path: Path) -> None:
    """Their raw mask gives their challenge mask, pixel for pixel, once it is as small."""
    root = shared / "corpora/ade20k__sceneparsing__sampleData"
    raw = pillow.open(root / "convertFromADE/ADE_train_00000970_raw.png")
    picture(tmp_path / "training/a.jpg", *raw.size)
    raw.save(tmp_path / "training/a_seg.png")
    options = AdeOptions(map_from_ade=root / "convertFromADE/mapFromADE.txt", labelmap=root / "objectInfo150.txt")
    reader = AdeReader(tmp_path, options)
    (sample,) = read(reader).values()
    drawn = painted(sample, list(reader.scan().classes.names))
    theirs = pillow.open(root / "convertFromADE/ADE_train_00000970_challenge.png")
    small = pillow.fromarray(drawn).resize(theirs.size, pillow.Resampling.NEAREST)
    assert (np.asarray(small) == np.asarray(theirs)).all()


def test_the_challenges_samples(shared: Path) -> None:
    root = shared / "corpora/ade20k__sceneparsing__sampleData"
    reader = AdeReader(root)
    names = list(reader.scan().classes.names)
    assert len(names) == 150
    for name, sample in read(reader).items():
        drawn = np.asarray(pillow.open(root / "sampleData/annotations" / name.replace(".jpg", ".png")))
        assert (painted(sample, names) == drawn).all()
