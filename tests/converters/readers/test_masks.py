"""Mask images in eight encodings."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from folders import VOC_PALETTE, kinds, labels, mask, masks, one, picture, read, reasons
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as pillow

from seg2knet.converters.api import convert
from seg2knet.converters.detection import detect
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.encodings import Decoder
from seg2knet.converters.readers.masks.reader import MaskOptions, MaskReader
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.errors import DataError, Seg2KNetError, UsageError

CLASSES = np.array(
    [
        [0, 1, 1, 0, 1, 0],
        [0, 1, 1, 0, 1, 0],
        [2, 2, 2, 2, 2, 255],
        [0, 0, 0, 0, 0, 255],
    ],
    np.uint8,
)


def source(root: Path, labels: Any, name: str = "a", suffix: str = ".png", **more: Any) -> Path:
    height, width = np.asarray(labels).shape[:2]
    picture(root / f"images/{name}.jpg", width, height)
    mask(root / f"masks/{name}{suffix}", labels, **more)
    return root


def reader(root: Path, **options: Any) -> MaskReader:
    return MaskReader(root, MaskOptions(**options))


def guessed(found: MaskReader) -> str:
    (note,) = [note for note in found.scan().notes if note.kind == "encoding-guessed"]
    return note.detail.split(":")[0]


def test_classes_are_taken_apart_and_255_is_nobodys(tmp_path: Path) -> None:
    found = reader(source(tmp_path, CLASSES))
    sample = one(found)
    assert guessed(found) == "classes"
    assert labels(sample) == ["1", "1", "2"]
    assert "classes-called-by-number" in kinds(found.scan())
    assert (np.any(masks(sample), axis=0) == np.isin(CLASSES, (1, 2))).all()


def test_one_object_a_class_where_asked(tmp_path: Path) -> None:
    sample = one(reader(source(tmp_path, CLASSES), instances="per-class"))
    assert labels(sample) == ["1", "2"]
    assert (masks(sample)[0] == (CLASSES == 1)).all()


def test_stuff_is_one_region_though_things_are_taken_apart(tmp_path: Path) -> None:
    document = {"labels": [{"name": "none"}, {"name": "car", "instances": True}, {"name": "sky", "instances": False}]}
    (tmp_path / "config.json").write_text(json.dumps(document))
    twice = CLASSES.copy()
    twice[2, 2] = 0
    sample = one(reader(source(tmp_path, twice)))
    assert labels(sample) == ["car", "car", "sky"]
    classes = MaskReader(tmp_path).scan().classes
    assert (classes.things, classes.stuff) == (("car",), ("sky",))


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("labels.txt", "car\nroad\n", ["car", "road"]),
        ("labels.txt", "background\ncar\nroad\n", ["car", "road"]),
        ("class_names.txt", "__ignore__\n_background_\ncar\nroad\n", ["car", "road"]),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:1,2,3::\nroad:3,2,1::\n",
         ["car", "road"]),
        ("classes.json", '{"0": "background", "1": "car", "2": "road"}', ["car", "road"]),
        ("classes.json", '["car", "road"]', ["car", "road"]),
        ("labelmap.csv", "name,r,g,b\nbackground,0,0,0\ncar,1,1,1\nroad,2,2,2\n", ["car", "road"]),
        ("labelmap.csv", "id;name\n2;road\n1;car\n", ["car", "road"]),
        ("objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t3\t2\tcar, auto\n2\t0.1\t1\t1\troad\n",
         ["car, auto", "road"]),
    ],
)  # fmt: skip
def test_names_from_every_kind_of_file(tmp_path: Path, file: str, text: str, names: list[str]) -> None:
    source(tmp_path, CLASSES)
    (tmp_path / file).write_text(text)
    found = MaskReader(tmp_path)
    assert list(found.scan().classes.names) == names
    assert labels(one(found)) == [names[0], names[0], names[1]]


def test_a_class_file_that_is_named(tmp_path: Path) -> None:
    names = tmp_path / "other/names.txt"
    names.parent.mkdir()
    names.write_text("car\nroad\n")
    assert labels(one(reader(source(tmp_path / "set", CLASSES), labelmap=names))) == ["car", "car", "road"]


def test_numbers_that_no_file_names_are_told(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("car\n")
    sample = one(MaskReader(source(tmp_path, CLASSES)))
    assert labels(sample) == ["car", "car"]
    assert reasons(sample) == ["number-without-a-class"]


def test_number_0_is_a_class_where_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"0": "road", "1": "car", "2": "van"}')
    sample = one(reader(source(tmp_path, CLASSES), instances="per-class"))
    assert labels(sample) == ["road", "car", "van"]


def test_other_numbers_to_ignore(tmp_path: Path) -> None:
    assert labels(one(reader(source(tmp_path, CLASSES), ignore="2, 255"))) == ["1", "1"]


COLOURS = np.zeros((4, 6, 3), np.uint8)
COLOURS[CLASSES == 1] = (255, 0, 0)
COLOURS[CLASSES == 2] = (0, 128, 64)


@pytest.mark.parametrize("option", ["car=255,0,0; road=#008040", "car=#ff0000;road=0 128 64"])
def test_colours_by_option(tmp_path: Path, option: str) -> None:
    found = reader(source(tmp_path, COLOURS), colors=option)
    assert labels(one(found)) == ["car", "car", "road"]
    assert guessed(found) == "colors"
    assert found.scan().classes[1].color == (0, 128, 64)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labelmap.txt", "bg:0,0,0::\ncar:255,0,0::\nroad:0,128,64::\n"),
        ("label_colors.txt", "255 0 0\tcar\n0 128 64\troad\n"),
        ("class_dict.csv", "name,r,g,b\ncar,255,0,0\nroad,0,128,64\n"),
        (
            "dataset_meta.json",
            json.dumps(
                {
                    "label_map": {"0": "Void", "1": "car", "2": "road"},
                    "segmentation_colors": [[0, 0, 0], [255, 0, 0], [0, 128, 64]],
                    "background_label": "0",
                }
            ),
        ),
    ],
)
def test_colours_by_file(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert labels(one(MaskReader(source(tmp_path, COLOURS)))) == ["car", "car", "road"]


@pytest.mark.parametrize("number", ["--1", "²", "1" * 10])
def test_a_class_s_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    meta = {"label_map": {number: "car"}, "segmentation_colors": [[255, 0, 0]]}
    (tmp_path / "dataset_meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="a class's number is not a number"):
        MaskReader(source(tmp_path, COLOURS)).scan()


def test_colours_of_no_class_are_told_and_black_is_background(tmp_path: Path) -> None:
    odd = COLOURS.copy()
    odd[3, 0] = (9, 9, 8)
    sample = one(reader(source(tmp_path, odd), colors="car=255,0,0;road=0,128,64"))
    assert labels(sample) == ["car", "car", "road"]
    assert reasons(sample) == ["colour-without-a-class"]
    assert "(9, 9, 8)" in sample.skips[0].detail


def test_two_colours_of_one_class_that_touch_are_one_piece(tmp_path: Path) -> None:
    drawn = np.zeros((4, 6, 3), np.uint8)
    drawn[0:2, 1] = (255, 0, 0)
    drawn[2:4, 1] = (254, 0, 0)
    (sample,) = read(reader(source(tmp_path, drawn), colors="car=255,0,0;car=254,0,0")).values()
    assert [each.sum() for each in masks(sample)] == [4]


def test_a_palette_image_by_its_colours(tmp_path: Path) -> None:
    source(tmp_path, CLASSES % 255, colors=VOC_PALETTE)
    sample = one(reader(tmp_path, encoding="colors", colors="bicycle=0,128,0;plane=128,0,0"))
    assert labels(sample) == ["bicycle", "plane", "plane"]


def test_colours_without_classes_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--colors"):
        MaskReader(source(tmp_path, COLOURS)).scan()


def test_grey_saved_in_colour_is_grey(tmp_path: Path) -> None:
    found = MaskReader(source(tmp_path, np.repeat(CLASSES[..., None], 3, axis=2)))
    assert guessed(found) == "classes"
    assert labels(one(found)) == ["1", "1", "2"]


INSTANCES = np.array([[0, 1, 1, 0, 3, 0]] * 2 + [[2] * 5 + [0]] + [[0] * 6], np.uint8)


def test_instances_and_classes_in_two_images(tmp_path: Path) -> None:
    source(tmp_path, CLASSES)
    (tmp_path / "masks").rename(tmp_path / "labels")
    mask(tmp_path / "instances/a.png", INSTANCES)
    found = MaskReader(tmp_path)
    assert guessed(found) == "instances+classes"
    sample = one(found)
    assert labels(sample) == ["1", "2", "1"]
    assert [(each == (number == INSTANCES)).all() for number, each in enumerate(masks(sample), 1)] == [True] * 3


def test_instances_and_classes_in_folders_that_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "photos here/a.jpg", 6, 4)
    mask(tmp_path / "x/a.png", INSTANCES)
    mask(tmp_path / "y/a.png", CLASSES)
    sample = one(reader(tmp_path, images=Path("photos here"), masks="x", class_masks="y"))
    assert labels(sample) == ["1", "2", "1"]


def test_folders_elsewhere(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.jpg", 6, 4)
    mask(tmp_path / "other/drawn/a.png", CLASSES)
    found = reader(tmp_path / "photos", images=Path("."), masks=str(tmp_path / "other/drawn"))
    assert labels(one(found)) == ["1", "1", "2"]


def test_cityscapes_numbers(tmp_path: Path) -> None:
    ids = np.array([[7, 26001, 26001, 26002, 26, 0]] * 2, np.uint16)
    picture(tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png", 6, 2)
    mask(tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png", ids)
    mask(tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png", (ids % 255).astype(np.uint8))
    found = MaskReader(tmp_path)
    assert guessed(found) == "class*1000+instance"
    ((key, sample),) = read(found).items()
    assert key == "train:aachen/aachen_000000_000019_leftImg8bit.png"
    assert [(each.label, each.iscrowd) for each in sample.objects] == [
        ("road", False),
        ("car", True),  # a group that nobody told apart
        ("car", False),
        ("car", False),
    ]
    assert found.scan().classes.things[0] == "person"


def test_mots_numbers(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("car\npedestrian\n")
    source(tmp_path, np.array([[0, 1001, 1002, 2001, 10000, 0]] * 2, np.uint16))
    found = MaskReader(tmp_path)
    assert guessed(found) == "class*1000+instance"
    assert labels(one(found)) == ["car", "car", "pedestrian"]


def test_kitti_and_mapillary_numbers(tmp_path: Path) -> None:
    source(tmp_path, np.array([[0, 256, 257, 6913, 6914, 0]] * 2, np.uint16))
    found = MaskReader(tmp_path)
    assert guessed(found) == "class*256+instance"
    assert labels(one(found)) == ["1", "1", "27", "27"]


def test_mapillarys_class_0_is_a_class(tmp_path: Path) -> None:
    document = {"labels": [{"readable": "Bird", "instances": True}, {"readable": "Unlabeled", "instances": False}]}
    (tmp_path / "config_v1.2.json").write_text(json.dumps(document))
    source(tmp_path, np.array([[0, 1, 256, 256]], np.uint16))
    assert labels(one(reader(tmp_path, encoding="class*256+instance"))) == ["Bird", "Bird"]


def test_16_bits_with_small_numbers_are_classes(tmp_path: Path) -> None:
    found = MaskReader(source(tmp_path, CLASSES.astype(np.uint16) % 255))
    assert guessed(found) == "classes"
    assert labels(one(found)) == ["1", "1", "2"]


def test_numbers_that_fit_two_encodings_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--encoding"):
        MaskReader(source(tmp_path, np.array([[0, 256 * 125, 256 * 125]], np.uint16))).scan()


@pytest.mark.parametrize("top", [255, 1])
def test_binary(tmp_path: Path, top: int) -> None:
    drawn = (CLASSES == 1).astype(np.uint8) * top
    sample = one(reader(source(tmp_path, drawn), encoding="binary", class_name="cell"))
    assert labels(sample) == ["cell", "cell"]
    assert (np.any(masks(sample), axis=0) == (CLASSES == 1)).all()


def test_binary_is_guessed(tmp_path: Path) -> None:
    found = MaskReader(source(tmp_path, (CLASSES == 1).astype(np.uint8) * 255))
    assert guessed(found) == "binary"
    assert labels(one(found)) == ["object", "object"]


def test_one_bit_images(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", 6, 4)
    (tmp_path / "masks").mkdir()
    pillow.fromarray(CLASSES == 1).save(tmp_path / "masks/a.png")
    assert (np.any(masks(one(MaskReader(tmp_path))), axis=0) == (CLASSES == 1)).all()


def test_soft_edges_and_jpeg_specks(tmp_path: Path) -> None:
    drawn = np.zeros((16, 16), np.uint8)
    drawn[4:12, 4:12] = 255
    drawn[4, 4:12] = 100
    sample = one(reader(source(tmp_path, drawn), encoding="binary"))
    assert masks(sample)[0].sum() == 56
    root = source(tmp_path / "jpeg", np.zeros((16, 16), np.uint8) + 3, suffix=".jpg")
    assert not one(reader(root, encoding="binary")).objects


def test_jpeg_masks_of_classes_are_refused(tmp_path: Path) -> None:
    drawn = np.kron(np.arange(16).reshape(4, 4) * 15, np.ones((8, 8))).astype(np.uint8)
    with pytest.raises(DataError, match="PNG"):
        MaskReader(source(tmp_path, drawn, suffix=".jpg")).scan()


@pytest.mark.parametrize(
    "files",
    [
        {"masks/a/car_1.png": "car", "masks/a/car_2.png": "car", "masks/a/big van_1.png": "big van"},
        {"masks/car/a.png": "car", "masks/van/a.png": "van"},
        {"masks/car/a_1.png": "car", "masks/car/a_2.png": "car"},
        {"masks/a_car_1.png": "car", "masks/a_car_2.png": "car", "masks/a_van_1.png": "van"},
        {"masks/a_1.png": "object", "masks/a_2.png": "object"},
        {"masks/a/0.png": "object", "masks/a/1.png": "object"},
    ],
)
def test_a_file_an_object(tmp_path: Path, files: dict[str, str]) -> None:
    picture(tmp_path / "images/a.jpg", 6, 4)
    for column, path in enumerate(files):
        drawn = np.zeros((4, 6), np.uint8)
        drawn[1:3, column] = 255
        mask(tmp_path / path, drawn)
    found = MaskReader(tmp_path)
    assert guessed(found) == "object-files"
    sample = one(found)
    assert sorted(labels(sample)) == sorted(files.values())
    assert all(each.sum() == 2 for each in masks(sample))


def test_nuclei_as_kaggle_lays_them_out(tmp_path: Path) -> None:
    name = "00ae65c1c6631ae6f2be1a449902976e6eb8483bf6b0740d00530220832c6d3e"
    picture(tmp_path / f"{name}/images/{name}.png", 6, 4)
    for column, stem in enumerate(
        ("07a9bf1d7594af2763c86e93f05d22c4d5181353c6d3ab30a345b908ffe5aadc", "0e548d0af63ab451616f")
    ):
        drawn = np.zeros((4, 6), np.uint8)
        drawn[:, column * 2] = 255
        mask(tmp_path / f"{name}/masks/{stem}.png", drawn)
    sample = one(MaskReader(tmp_path))
    assert labels(sample) == ["object", "object"]


def test_an_empty_file_of_an_object_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", 6, 4)
    mask(tmp_path / "masks/a/car_1.png", np.full((4, 6), 255, np.uint8))
    mask(tmp_path / "masks/a/car_2.png", np.zeros((4, 6), np.uint8))
    mask(tmp_path / "masks/a/car_3.png", np.full((3, 3), 255, np.uint8))
    sample = one(reader(tmp_path, encoding="object-files"))
    assert labels(sample) == ["car"]
    assert reasons(sample) == ["no-pixels", "size-differs"]


@pytest.mark.parametrize(
    ("shown", "drawn"),
    [
        ("images/x.jpg", "masks/x.png"),
        ("imgs/x_img.jpg", "gts/x_gt.png"),
        ("images/image_x.png", "masks/gt_x.png"),
        ("JPEGImages/x.JPG", "SegmentationClassRaw/x.PNG"),
        ("train/x.png", "trainannot/x.png"),
        ("train/images/x.jpg", "train/masks/x.png"),
        ("images/train/x.jpg", "labels/train/x.png"),
        ("x.jpg", "x_mask.png"),
        ("x.jpg", "masks/x.png"),
        ("x_img.png", "x_gt.png"),
        ("images/größe 1.v2.jpg", "masks/größe 1.v2.png"),
        ("images/x.jpg", "masks/x.jpg.png"),
        ("images/img_1.jpg", "masks/img_1.png"),
        ("images/img_1.jpg", "masks/mask_1.png"),
        ("images/x.jpg", "masks/x.tif"),
        ("images/x.jpg", "masks/x.bmp"),
    ],
)
def test_images_and_masks_find_one_another(tmp_path: Path, shown: str, drawn: str) -> None:
    picture(tmp_path / shown, 6, 4)
    mask(tmp_path / drawn, CLASSES)
    sample = one(MaskReader(tmp_path))
    assert sample.image.path == str(tmp_path / shown)
    assert labels(sample) == ["1", "1", "2"]


def test_a_jpg_and_a_png_of_one_stem(tmp_path: Path) -> None:
    for suffix, number in ((".jpg", 1), (".png", 2)):
        picture(tmp_path / f"images/a{suffix}", 6, 4)
        mask(tmp_path / f"masks/a{suffix}.png", np.full((4, 6), number, np.uint8))
    samples = read(MaskReader(tmp_path))
    assert {name: labels(sample) for name, sample in samples.items()} == {"a.jpg": ["1"], "a.png": ["2"]}


def test_one_name_in_two_folders(tmp_path: Path) -> None:
    for folder, number in (("day", 1), ("night", 2)):
        picture(tmp_path / f"images/{folder}/a.jpg", 6, 4)
        mask(tmp_path / f"masks/{folder}/a.png", np.full((4, 6), number, np.uint8))
    samples = read(MaskReader(tmp_path))
    assert {name: labels(sample) for name, sample in samples.items()} == {"day/a.jpg": ["1"], "night/a.jpg": ["2"]}


def test_images_and_masks_that_are_alone_are_told(tmp_path: Path) -> None:
    source(tmp_path, CLASSES)
    picture(tmp_path / "images/b.jpg", 6, 4)
    mask(tmp_path / "masks/c.png", CLASSES)
    scan = MaskReader(tmp_path).scan()
    assert reasons(scan) == ["image-without-mask", "mask-without-image"]


def test_folders_and_lists_say_the_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / split / "images/a.jpg", 6, 4)
        mask(tmp_path / split / "masks/a.png", CLASSES)
    assert list(read(MaskReader(tmp_path))) == ["train:a.jpg", "val:a.jpg"]
    root = tmp_path / "listed"
    for name in "abc":
        source(root, CLASSES, name)
    (root / "train.txt").write_text("a\n")
    (root / "val.txt").write_text("images/b.jpg\n")
    scan = MaskReader(root).scan()
    assert [(handle.name, handle.split) for handle in scan.handles] == [("a.jpg", "train"), ("b.jpg", "val")]
    assert "image-in-no-list" in kinds(scan)


def test_test_images_need_no_mask(tmp_path: Path) -> None:
    picture(tmp_path / "train/images/a.jpg", 6, 4)
    mask(tmp_path / "train/masks/a.png", CLASSES)
    picture(tmp_path / "test/images/a.jpg", 6, 4)
    samples = read(MaskReader(tmp_path))
    assert not samples["test:a.jpg"].objects
    assert not MaskReader(tmp_path).scan().skips


def test_several_kinds_of_masks_are_asked_about(tmp_path: Path) -> None:
    picture(tmp_path / "train/images/a.jpg", 6, 4)
    for version in ("v1.2", "v2.0"):
        mask(tmp_path / f"train/{version}/instances/a.png", np.array([[256, 257, 0, 0, 0, 0]] * 4, np.uint16))
        mask(tmp_path / f"train/{version}/labels/a.png", CLASSES)
    with pytest.raises(UsageError, match=r"--masks v1\.2/instances"):
        MaskReader(tmp_path).scan()
    assert labels(one(reader(tmp_path, masks="v2.0/instances"))) == ["1", "1"]


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_tiff(tmp_path: Path, depth: str) -> None:
    picture(tmp_path / "images/a.jpg", 6, 4)
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks/a.tiff", CLASSES.astype(depth))
    assert labels(one(MaskReader(tmp_path))) == ["1", "1", "2"]


def test_a_photo_turned_by_exif(tmp_path: Path) -> None:
    source(tmp_path, CLASSES)
    picture(tmp_path / "images/a.jpg", 6, 4, orientation=8)
    sample = one(MaskReader(tmp_path))
    assert (sample.image.width, sample.image.height) == (4, 6)
    assert (np.any(masks(sample), axis=0) == np.rot90(np.isin(CLASSES, (1, 2)), 1)).all()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    source(tmp_path, CLASSES)
    picture(tmp_path / "images/a.jpg", 12, 8)
    with pytest.raises(DataError, match="different sizes"):
        read(MaskReader(tmp_path))


def test_nothing_here(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="masks"):
        MaskReader(tmp_path).scan()
    picture(tmp_path / "a.jpg")
    assert MaskReader.sniff(tmp_path) is None
    with pytest.raises(Seg2KNetError):
        MaskReader(tmp_path / "none").scan()


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 6)))
def test_instances_survive_bit_for_bit(numbers: np.ndarray) -> None:
    """Holes, touching instances, single pixels: every instance is exactly its pixels."""
    ids = np.where(numbers, numbers.astype(np.int32) * 1000 + 1, 0).astype(np.int32)
    canvas = Canvas("a.png", "m.png", declared=(ids.shape[1], ids.shape[0]))
    Decoder(canvas, None, True).one("class*1000+instance", ids)
    again = np.zeros_like(ids)
    for found in canvas.sample(None).objects:
        again[rle_to_mask(found.shape)] = int(found.label) * 1000 + 1
    assert (again == ids).all()


def test_the_mmseg_toy_set(shared: Path) -> None:
    samples = read(MaskReader(shared / "corpora/maskpng-palette__mmseg-fork__pseudo_dataset"))
    assert [key.split(":")[0] for key in samples] == ["train"] * 4 + ["val"]


def test_mapillarys_panoptic_png_says_the_same(shared: Path) -> None:
    """Instances by number and segments of the panoptic PNG are the same regions."""
    root = shared / "corpora/maskpng+panoptic__datumaro__mapillary_vistas"
    for sample in read(reader(root, masks="v2.0/instances")).values():
        split, stem = ("train", "2") if sample.image.name == "2.jpg" else ("val", sample.image.name[0])
        drawn = np.asarray(pillow.open(root / split / "v2.0/panoptic" / f"{stem}.png"))[..., 0]
        regions = {(drawn == number).tobytes() for number in np.unique(drawn)}
        assert {each.tobytes() for each in masks(sample)} == regions


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_pngs_of_few_bits_keep_their_numbers(tmp_path: Path, bits: int) -> None:
    """Decoders stretch such greys over 0 to 255; a class's number is not a grey."""
    height, width = 4, 6
    drawn = CLASSES % 4
    bit = [[(int(value) >> (bits - 1 - i)) & 1 for value in row for i in range(bits)] for row in drawn]
    lines = b"".join(b"\0" + np.packbits(np.array(row, np.uint8)).tobytes() for row in bit)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    picture(tmp_path / "images/a.jpg", width, height)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    (found,) = read(reader(tmp_path, instances="per-class", ignore="")).values()
    assert {int(each.label): mask.sum() for each, mask in zip(found.objects, masks(found))} == {
        number: (drawn == number).sum() for number in (1, 2, 3)
    }


def test_damaged_masks_are_refused_without_a_word_of_the_decoder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source(tmp_path, CLASSES)
    path = tmp_path / "masks/a.png"
    data = path.read_bytes()
    for broken in (data[:45], data[:45] + bytes([data[45] ^ 8]) + data[46:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"a\.png"):
            read(reader(tmp_path, encoding="classes"))
    path.write_bytes(data[:-1] + b"?")  # the last chunk alone: its numbers are whole
    assert read(reader(tmp_path, encoding="classes"))
    assert not capfd.readouterr().err


def test_a_second_mask_of_an_image_is_told(tmp_path: Path) -> None:
    source(tmp_path, CLASSES)
    mask(tmp_path / "masks/a.tif", CLASSES)
    found = reader(tmp_path, encoding="classes")
    assert reasons(found.scan()) == ["second-mask"]
    assert len(read(found)) == 1


def counted(count: int, dtype: Any = np.uint8) -> np.ndarray:
    """A mask of ``count`` numbered pieces, none touching another."""
    drawn = np.zeros((6, 4 * count + 4), dtype)
    for number in range(1, count + 1):
        drawn[1:4, 4 * number - 3 : 4 * number] = number
    return drawn


@pytest.mark.parametrize(("dtype", "counts"), [(np.uint8, (1, 3, 2)), (np.uint16, (2, 5, 4)), (np.uint16, (300, 2))])
def test_numbered_objects_of_one_class(tmp_path: Path, dtype: Any, counts: tuple[int, ...]) -> None:
    for number, count in enumerate(counts):
        source(tmp_path, counted(count, dtype), f"cells{number}")
    found = reader(tmp_path, class_name="cell")
    assert guessed(found) == "instances"
    samples = read(found)
    assert [labels(sample) for sample in samples.values()] == [["cell"] * count for count in counts]
    first = masks(next(iter(samples.values())))
    assert all((mask == (counted(counts[0], dtype) == number)).all() for number, mask in enumerate(first, 1))


def test_numbered_objects_touch_and_255_may_be_a_border(tmp_path: Path) -> None:
    drawn = counted(2)
    drawn[1:4, 4] = 2
    drawn[0, 0] = 255
    sample = one(reader(source(tmp_path, drawn), encoding="instances"))
    assert labels(sample) == ["object", "object"]


def test_numbers_that_are_classes_or_objects_are_not_guessed(tmp_path: Path) -> None:
    source(tmp_path, counted(2), "a")
    source(tmp_path, counted(3), "b")
    with pytest.raises(UsageError, match="--encoding instances --class-name"):
        MaskReader(tmp_path).scan()
    (tmp_path / "classes.txt").write_text("one\ntwo\nthree\n")
    assert guessed(MaskReader(tmp_path)) == "classes"


def test_classes_of_several_pieces_are_no_objects(tmp_path: Path) -> None:
    for number, count in enumerate((1, 3, 2)):
        source(tmp_path, np.concatenate([counted(count)] * 2), f"a{number}")
    assert guessed(MaskReader(tmp_path)) == "classes"


@pytest.mark.parametrize(("images", "drawn"), [("PNGImages", "PedMasks"), ("photos of may", "hand drawn")])
def test_two_folders_of_equal_stems(tmp_path: Path, images: str, drawn: str) -> None:
    ending = ".png" if images == "PNGImages" else ".jpg"
    for number in range(1, 4):
        picture(tmp_path / images / f"Ped{number}{ending}", 4 * number + 4, 6)
        mask(tmp_path / drawn / f"Ped{number}_mask.png", counted(number))
    samples = read(MaskReader(tmp_path))
    assert [len(sample.objects) for sample in samples.values()] == [1, 2, 3]
    assert all(sample.image.path and images in sample.image.path for sample in samples.values())


def test_roboflows_table_of_classes(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.jpg", 6, 4)
    mask(tmp_path / "train/a_mask.png", CLASSES % 255)
    (tmp_path / "train/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    assert labels(one(MaskReader(tmp_path))) == ["cat", "cat", "dog"]


@pytest.mark.parametrize("key", ["names", "classes"])
def test_classes_below_a_key(tmp_path: Path, key: str) -> None:
    source(tmp_path, CLASSES)
    (tmp_path / "classes.json").write_text(json.dumps({key: {"1": "door", "2": "wall"}}))
    assert labels(one(MaskReader(tmp_path))) == ["door", "door", "wall"]


def test_cvats_label_map_two_levels_up(tmp_path: Path) -> None:
    root = source(tmp_path / "export/train", np.stack([CLASSES % 255 * 9] * 3, axis=2))
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,9,9::\nvan:18,18,18::\n"
    )
    found = reader(root, encoding="colors")
    assert labels(one(found)) == ["cat", "cat", "van"]


def test_many_kinds_of_masks_are_not_all_listed(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", 6, 4)
    for number in range(40):
        mask(tmp_path / f"masks/kind{number}/a.png", CLASSES)
    with pytest.raises(UsageError, match="object-files") as caught:
        MaskReader(tmp_path).scan()
    assert str(caught.value).count("kind") < 20


def test_cvats_masks_without_their_images(tmp_path: Path) -> None:
    source = tmp_path / "export"
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[1:4, 2:5] = 250, 50, 83
    mask(source / "mask" / "frame 1.png", colors)
    (source / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nwater:250,50,83::\n")
    assert detect([source])[0] == "masks"
    sample = one(MaskReader(source))
    assert (sample.image.name, sample.image.path, labels(sample)) == ("frame 1.jpg", None, ["water"])
    with pytest.raises(DataError, match="not one image") as problem:
        convert("masks", source, out=tmp_path / "out")
    assert "--images none" in str(problem.value)
    assert convert("masks", source, out=tmp_path / "out", images="none").ledger.written == {"coco": 1}


def _smooth(*levels: int) -> np.ndarray:
    """Squares of these numbers with edges as anti-aliasing leaves them."""
    hard = np.zeros((48, 64), np.uint8)
    for place, level in enumerate(levels):
        hard[8:40, 6 + 20 * place : 20 + 20 * place] = level
    return cv2.GaussianBlur(hard, (0, 0), 1)


def test_smooth_edges_are_not_classes(tmp_path: Path) -> None:
    """Each grey level of an edge became a class: 890 objects in place of 10."""
    found = reader(source(tmp_path, _smooth(255, 255)))
    assert guessed(found) == "binary"
    assert labels(one(found)) == ["object", "object"]


def test_smooth_edges_between_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stand on edges alone") as raised:
        reader(source(tmp_path, _smooth(80, 160, 240))).scan()
    assert "without anti-aliasing" in str(raised.value.hint)


def test_many_classes_are_not_smooth_edges(tmp_path: Path) -> None:
    many = np.kron(np.arange(0, 90, 3, dtype=np.uint8).reshape(5, 6), np.ones((8, 8), np.uint8))
    many[:, -1] = 255
    assert guessed(reader(source(tmp_path, many))) == "classes"


def test_a_mask_that_cannot_be_decoded_is_one_images_loss(tmp_path: Path) -> None:
    source(source(tmp_path, CLASSES), CLASSES, "b")
    path = tmp_path / "masks/a.png"
    path.write_bytes(path.read_bytes()[:40])
    found = reader(tmp_path)
    assert guessed(found) == "classes"
    first, second = found.scan().handles
    assert labels(found.read(second)) == ["1", "1", "2"]
    with pytest.raises(DataError, match="cannot be decoded"):
        found.read(first)
