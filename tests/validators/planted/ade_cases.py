"""Defects of the ADE layout: the set of ``small_sets.ade``, three images in each split, classes wall, sky and tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from planting import Case, Plant, deleted, plain, renamed, saved, several
from small_sets import labels, noise

from seg2knet.dataset.images import decode_labels

MASK, IMAGE = "annotations/training/training_0.png", "images/training/training_0.jpg"
TABLE = "Idx\tRatio\tTrain\tVal\tName\n"


def mask(pixels: np.ndarray) -> Plant:
    return lambda root: Image.fromarray(pixels).save(root / MASK)


def patched(number: int) -> np.ndarray:
    out = labels().astype(np.uint16 if number > 255 else np.uint8)
    out[:4, :4] = number
    return out


def everywhere(change: Callable[[np.ndarray], np.ndarray], split: str = "*") -> Plant:
    def plant(root: Path) -> None:
        for path in (root / "annotations").glob(f"{split}/*.png"):
            Image.fromarray(change(decode_labels(path)).astype(np.uint8)).save(path)

    return plant


def listed(*names: str, first: int = 1) -> Plant:
    rows = "".join(f"{number}\t0.3\t1\t1\t{name}\n" for number, name in enumerate(names, first))
    return lambda root: (root / "objectInfo.txt").write_text(TABLE + rows)


def from_zero(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels == 0, 255, pixels - 1)


def from_one(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels == 0, 255, pixels)


def one_class(pixels: np.ndarray) -> np.ndarray:
    return pixels == 1


def commas(root: Path) -> None:
    info = root / "objectInfo.txt"
    info.write_text(info.read_text().replace("\t", ","))


def one_bit(root: Path) -> None:
    Image.fromarray(labels() == 1).save(root / MASK)


def as_tif(root: Path) -> None:
    Image.fromarray(labels()).save((root / MASK).with_suffix(".tif"))
    (root / MASK).unlink()


def as_png(root: Path) -> None:
    Image.fromarray(noise(70)).save((root / IMAGE).with_suffix(".png"))
    (root / IMAGE).unlink()


def as_jpg(root: Path) -> None:
    as_png(root)
    (root / IMAGE).with_suffix(".png").rename(root / IMAGE)


def cmyk(root: Path) -> None:
    Image.fromarray(noise(5)).convert("CMYK").save(root / IMAGE)


def in_validation(root: Path) -> None:
    shutil.copy(root / IMAGE, root / "images/validation/validation_0.jpg")


BACKGROUND_AND_WALL = several(
    everywhere(lambda pixels: np.where(pixels == 1, 2, 1)),
    lambda root: (root / "objectInfo.txt").write_text(TABLE + "1\t0\t0\t0\tbackground\n2\t0\t0\t0\twall\n"),
)
ADE = [
    Case("no images of validation", "AD001", lambda root: shutil.rmtree(root / "images/validation")),
    Case("no masks of training", "AD001", lambda root: shutil.rmtree(root / "annotations/training")),
    Case("image without mask", "AD002", deleted(MASK), "unsafe", deleted(MASK, IMAGE)),
    Case("mask without image", "AD002", deleted(IMAGE), "unsafe", deleted(MASK, IMAGE)),
    Case("mask called _mask", "AD002", renamed(MASK, "annotations/training/training_0_mask.png"), "unsafe"),
    Case("mask called .jpg.png", "AD002", renamed(MASK, "annotations/training/training_0.jpg.png"), "unsafe"),
    Case("mask in capital letters", "AD002", renamed(MASK, "annotations/training/TRAINING_0.png"), "unsafe"),
    Case("mask of twice the size", "AD003", mask(np.kron(labels(), np.ones((2, 2), np.uint8)))),
    Case("mask in RGB, channels equal", "AD004", mask(np.stack([labels()] * 3, axis=-1)), "unsafe"),
    Case("mask in colours", "AD004", mask(noise(9))),
    Case("mask of 16 bits", "AD005", mask(labels().astype(np.uint16)), "safe"),
    Case("mask of 16 bits, ignored as 65535", "AD005", mask(patched(65535)), "safe", mask(patched(255))),
    Case("mask of 16 bits with class 300", "AD005", mask(patched(300)), also="AD006"),
    Case("mask with class 9 of 3", "AD006", mask(patched(9))),
    Case("classes from 0 in the masks", "AD007", everywhere(from_zero), "unsafe", everywhere(from_one)),
    Case(
        "classes from 0 in the list too",
        "AD007",
        several(everywhere(from_zero), listed("wall", "sky", "tree", first=0)),
        "unsafe",
        everywhere(from_one),
    ),
    Case("254 for ignored", "AD008", mask(patched(254)), "safe", mask(patched(255))),
    Case("mask a JPEG", "AD009", lambda root: Image.fromarray(labels()).save(root / MASK, format="JPEG")),
    Case(
        "class absent from validation",
        "AD010",
        everywhere(lambda p: np.where(p == 3, 2, p), "validation"),
        words="'tree'",
    ),
    Case(
        "40 classes in no mask",
        "AD010",
        listed("wall", "sky", "tree", *[f"class {n}" for n in range(40)]),
        count=2,
        words="40 classes",
    ),
    Case("image called .JPG", "AD011", renamed(IMAGE, "images/training/training_0.JPG"), "safe"),
    Case("image a PNG", "AD011", as_png, "safe", as_jpg),
    Case("mask a TIFF", "AD011", as_tif, "safe"),
    Case("mask called .PNG", "AD011", renamed(MASK, "annotations/training/training_0.PNG"), "safe"),
    Case(
        "masks that would get one name",
        "AD011",
        several(
            as_tif,
            lambda root: Image.fromarray(labels()).save(root / "annotations/training/training_0.PNG", format="PNG"),
        ),
        count=2,
    ),
    Case("300 classes", "AD012", listed("wall", "sky", "tree", *[f"class {n}" for n in range(297)]), also="AD010"),
    Case(
        "masks of 0 and 255, one class",
        "AD013",
        several(everywhere(lambda p: np.where(p == 1, 255, 0)), listed("wall")),
        "unsafe",
        BACKGROUND_AND_WALL,
    ),
    Case("masks of 0 and 255, three classes", "AD013", everywhere(lambda p: np.where(p == 1, 255, 0))),
    Case(
        "masks of 0 and 1, one class",
        "AD014",
        several(everywhere(one_class), listed("wall")),
        "unsafe",
        BACKGROUND_AND_WALL,
    ),
    Case("mask of 1 bit", "AD015", one_bit, "safe", mask((labels() == 1).astype(np.uint8))),
    Case("list of classes with commas", "AD016", commas, "safe"),
    Case("no list of classes", "AD016", deleted("objectInfo.txt")),
    Case("mask without a class", "AD017", mask(np.zeros((48, 64), np.uint8))),
    Case("mask ignored everywhere", "AD017", mask(np.full((48, 64), 255, np.uint8))),
    Case("mask cut off", "IM002", lambda root: (root / MASK).write_bytes((root / MASK).read_bytes()[:-20])),
    Case(
        "image in CMYK",
        "IM010",
        cmyk,
        "unsafe",
        several(cmyk, plain(IMAGE)),
    ),
    Case(
        "image of training in validation",
        "SP001",
        in_validation,
        "unsafe",
        several(in_validation, deleted(MASK, IMAGE)),
    ),
    Case("black image", "IM014", saved(IMAGE, np.zeros((48, 64, 3), np.uint8))),
    Case("image twice", "IM012", lambda root: shutil.copy(root / IMAGE, root / "images/training/training_1.jpg")),
    Case(
        "two images of one name before the suffix",
        "IM008",
        saved("images/training/training_0.png", noise(8)),
        "unsafe",
    ),
]
