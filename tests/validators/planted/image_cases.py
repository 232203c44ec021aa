"""Defects of image files and of splits, in the COCO layout of ``coco_cases``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from coco_cases import half, renumbered, scaled_down
from PIL import Image, ImageEnhance
from planting import (
    TRAIN,
    VAL,
    Case,
    Content,
    Plant,
    deleted,
    edited,
    image,
    images_removed,
    plain,
    raw,
    removed,
    renamed,
    saved,
    several,
    train,
)
from shapes_set import ELL, HEIGHT, WIDTH
from small_sets import noise

ONE = "train2017/train1.jpg"
SIZE = (HEIGHT, WIDTH)


BUS = {"id": 4, "name": "bus", "supercategory": "vehicle"}


def named(name: str) -> Plant:
    return image(1, file_name=name)


def moved(name: str, folder: str = "train2017") -> Plant:
    """The file of the second image has another name than the JSON says."""
    return renamed(ONE, f"{folder}/{name}")


def oriented(orientation: int) -> Plant:
    """The second image with an orientation tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda root: Image.open(root / ONE).save(root / ONE, exif=exif, quality="keep")


def turned_upright(root: Path) -> None:
    from seg2knet.dataset.images import upright

    oriented(6)(root)
    (root / ONE).write_bytes(upright(root / ONE))


def mode(convert: str, suffix: str) -> Plant:
    """The second image saved in another mode, and under another suffix where the mode needs it."""

    def plant(root: Path) -> None:
        pixels = noise(77, *SIZE)
        new = Image.fromarray(pixels)
        if convert == "16":
            new = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
        elif convert != "pages":
            new = new.convert(convert)
        (root / ONE).unlink()
        more = {"save_all": True, "append_images": [Image.fromarray(noise(78, *SIZE))]} if convert == "pages" else {}
        new.save(root / f"train2017/train1{suffix}", **more)
        image(1, file_name=f"train1{suffix}")(root)

    return plant


def small(height: int, width: int) -> Plant:
    return several(saved(ONE, noise(3, height, width)), image(1, width=width, height=height), removed(*range(6, 12)))


def copied(source: str, target: str) -> Plant:
    return lambda root: shutil.copy(root / source, root / target)


def made_of(source: str, target: str, change: str) -> Plant:
    """An image that another was made of: coded again, resized, flipped, made brighter."""

    def plant(root: Path) -> None:
        # An image that looks like something: noise has nothing that survives a change of size.
        smooth = Image.fromarray(noise(31, 6, 7)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        smooth.save(root / source, quality=95)
        other = smooth
        if change == "flipped":
            other = smooth.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        elif change == "brighter":
            other = ImageEnhance.Brightness(smooth).enhance(1.15)
        elif change == "resized":
            other = smooth.resize((WIDTH * 2, HEIGHT * 2))
            edited(VAL, lambda c: c["images"][0].update(width=WIDTH * 2, height=HEIGHT * 2))(root)
            edited(VAL, lambda c: c.update(annotations=[e for e in c["annotations"] if e["image_id"] != 1]))(root)
        other.save(root / target, quality=70)

    return plant


def objects_of_train(root: Path) -> None:
    """Val's first image has the objects of train's first; its pixels are others."""
    own = [entry for entry in json.loads((root / TRAIN).read_text("utf-8"))["annotations"] if entry["image_id"] == 1]
    edited(VAL, lambda c: c.update(annotations=own + [e for e in c["annotations"] if e["image_id"] != 1]))(root)


def copy_of_train(root: Path) -> None:
    """Val has the images of train, under names of its own."""
    content = json.loads((root / TRAIN).read_text("utf-8"))
    for path in (root / "val2017").iterdir():
        path.unlink()
    for entry in content["images"]:
        name = entry["file_name"].replace("train", "val")
        shutil.copy(root / "train2017" / entry["file_name"], root / "val2017" / name)
        entry["file_name"] = name
    (root / VAL).write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def without_class(content: Content) -> None:
    content["annotations"] = [entry for entry in content["annotations"] if entry["category_id"] != 2]


def no_category(content: Content) -> None:
    without_class(content)
    content["categories"] = [entry for entry in content["categories"] if entry["id"] != 2]


def one_more(content: Content) -> None:
    content["categories"].insert(0, BUS)
    content["annotations"][ELL]["category_id"] = 4


IMAGE_CASES = [
    Case("image file missing", "IM001", deleted(ONE), "unsafe", several(images_removed(2), deleted(ONE))),
    Case(
        "image in a sub-folder",
        "IM001",
        moved("train1.jpg", "train2017/day 1"),
        "unsafe",
        several(moved("train1.jpg", "train2017/day 1"), named("day 1/train1.jpg")),
    ),
    Case("image in another folder", "IM001", moved("train1.jpg", "more"), words=""),
    Case("folder of images missing", "IM001", lambda root: shutil.rmtree(root / "train2017"), words="folder of images"),
    Case("image cut off", "IM002", raw(lambda data: data[:-400], ONE)),
    Case("image empty", "IM002", raw(lambda data: b"", ONE)),
    Case("image a page of HTML", "IM002", raw(lambda data: b"<html>404 Not Found</html>", ONE)),
    Case("image of other bytes", "IM002", raw(lambda data: bytes(range(256)) * 9, ONE)),
    Case("size too small for the annotations", "IM003", image(1, width=40, height=20), "safe", also="KN006"),
    Case(
        "size of an image without annotations",
        "IM003",
        several(removed(*range(6, 12)), image(1, width=90)),
        "safe",
        removed(*range(6, 12)),
        also="CI042",
        left="CI042",
    ),
    Case(
        "size a little too large",
        "IM003",
        several(removed(9, 10), image(1, width=100, height=90)),
        "unsafe",
        removed(9, 10),
    ),
    Case(
        "images halved after annotation",
        "IM003",
        scaled_down((1, 2, 3)),
        "unsafe",
        several(scaled_down((1, 2, 3)), train(half)),
        words="0.5 times",
    ),
    Case(
        "one image halved after annotation",
        "IM003",
        scaled_down((2,)),
        "unsafe",
        several(scaled_down((2,)), train(lambda c: _half_of(c, 2))),
        words="resized",
    ),
    Case(
        "width and height swapped",
        "IM004",
        several(removed(9, 10), image(1, width=HEIGHT, height=WIDTH)),
        "safe",
        removed(9, 10),
        also="",
    ),
    Case("image turned after annotation", "IM004", saved(ONE, noise(70, WIDTH, HEIGHT)), words="turned"),
    Case("EXIF orientation, annotated as stored", "IM005", oriented(6), "unsafe", oriented(1)),
    Case(
        "EXIF orientation, annotated as shown",
        "IM005",
        several(oriented(6), image(1, width=HEIGHT, height=WIDTH), removed(*range(6, 12))),
        "unsafe",
        several(turned_upright, image(1, width=HEIGHT, height=WIDTH), removed(*range(6, 12))),
        also="CI042",
        left="CI042",
    ),
    Case(
        "name with back-slashes",
        "IM006",
        several(moved("train1.jpg", "train2017/day"), named("day\\train1.jpg")),
        "safe",
        several(moved("train1.jpg", "train2017/day"), named("day/train1.jpg")),
    ),
    Case("name of another machine", "IM006", named("C:\\Users\\me\\train2017\\train1.jpg"), "safe"),
    Case("absolute name", "IM006", named("/home/me/data/train1.jpg"), "safe"),
    Case("name that goes up", "IM006", named("../train2017/train1.jpg"), "safe"),
    Case("URL of a file", "IM006", named("file:///home/me/train1.jpg"), "safe"),
    Case(
        "two names of another machine for one file",
        "IM006",
        several(named("C:\\a\\train1.jpg"), image(2, file_name="C:\\b\\train1.jpg"), deleted("train2017/train2.jpg")),
        count=2,
    ),
    Case("name in capital letters", "IM007", named("TRAIN1.JPG"), "safe"),
    Case(
        "name with %20",
        "IM007",
        several(moved("my train.jpg"), named("my%20train.jpg")),
        "safe",
        several(moved("my train.jpg"), named("my train.jpg")),
    ),
    Case("space after the file name", "IM007", named("train1.jpg "), "safe"),
    Case(
        "accents coded otherwise",
        "IM007",
        several(moved("tr\u00e4in1.jpg"), named("tra\u0308in1.jpg")),
        "safe",
        several(moved("tr\u00e4in1.jpg"), named("tr\u00e4in1.jpg")),
    ),
    Case(
        "name that either of two files may have",
        "IM001",
        several(moved("Train1.jpg"), saved("train2017/tRAIN1.jpg", noise(91, *SIZE)), named("TRAIN1.jpg")),
        also="IM009",
        words="several",
    ),
    Case(
        "name with another suffix",
        "IM008",
        several(deleted(ONE), saved("train2017/train1.png", noise(50, *SIZE))),
        "unsafe",
        several(deleted(ONE), saved("train2017/train1.png", noise(50, *SIZE)), named("train1.png")),
    ),
    Case(
        "two images of one name before the suffix",
        "IM008",
        several(deleted(ONE), saved("train2017/train0.png", noise(50, *SIZE)), named("train0.png")),
        "unsafe",
        several(deleted(ONE), saved("train2017/train0_png.png", noise(50, *SIZE)), named("train0_png.png")),
    ),
    Case("image that nothing names", "IM009", saved("train2017/extra.jpg", noise(50, *SIZE))),
    *[
        Case(name, "IM010", mode(*how), "unsafe", several(mode(*how), plain(f"train2017/train1{how[1]}")))
        for name, how in {
            "CMYK": ("CMYK", ".jpg"),
            "alpha channel": ("RGBA", ".png"),
            "grey with alpha": ("LA", ".png"),
            "16 bits": ("16", ".png"),
            "several pages": ("pages", ".tif"),
        }.items()
    ],
    Case("image of 20 pixels", "IM011", small(20, 64), also="CI042"),
    Case("image of one pixel", "IM011", small(1, 1), also="CI042"),
    Case("image twice in a split", "IM012", copied("train2017/train0.jpg", ONE)),
    Case(
        "image three times in a split",
        "IM012",
        several(copied("train2017/train0.jpg", ONE), copied("train2017/train0.jpg", "train2017/train2.jpg")),
        count=2,
    ),
    Case("WebP called .jpg", "IM013", saved(ONE, noise(5, *SIZE), format="WEBP", lossless=True), words="WEBP"),
    Case("PNG called .jpg", "IM013", saved(ONE, noise(5, *SIZE), format="PNG"), words="PNG"),
    Case("TIFF called .jpg", "IM013", saved(ONE, noise(5, *SIZE), format="TIFF"), words="TIFF"),
    Case("black image", "IM014", saved(ONE, np.zeros((*SIZE, 3), np.uint8))),
    Case("white image", "IM014", saved(ONE, np.full((*SIZE, 3), 255, np.uint8))),
    Case(
        "nearly the same image in a split",
        "IM015",
        made_of("train2017/train0.jpg", ONE, "brighter"),
        words="convert --group-by",
    ),
]
SPLIT_CASES = [
    Case(
        "image of train in val",
        "SP001",
        copied("train2017/train1.jpg", "val2017/val0.jpg"),
        "unsafe",
        several(copied("train2017/train1.jpg", "val2017/val0.jpg"), images_removed(2)),
        left="IM009",
    ),
    Case("val a copy of train", "SP001", copy_of_train, words="copy"),
    Case("categories in another order in val", "SP002", edited(VAL, lambda c: c["categories"].reverse()), "safe"),
    Case("categories with other ids in val", "SP002", edited(VAL, renumbered({1: 2, 2: 3, 3: 1})), "safe"),
    Case(
        "a category more in val",
        "SP002",
        edited(VAL, one_more),
        "safe",
        several(
            train(lambda c: c["categories"].append(BUS)),
            edited(VAL, lambda c: (c["categories"].append(BUS), c["annotations"][ELL].update(category_id=4))),
        ),
        also="SP003",
        left="SP003",
    ),
    Case(
        "a category less in val",
        "SP002",
        edited(VAL, no_category),
        "safe",
        edited(VAL, without_class),
        also="SP005 CI015",
        left="SP005",
    ),
    Case("no object of a class in train", "SP003", train(without_class)),
    Case(
        "no image in val",
        "SP004",
        several(
            edited(VAL, lambda c: c.update(images=[], annotations=[])), lambda root: shutil.rmtree(root / "val2017")
        ),
    ),
    Case("no annotation in val", "SP004", edited(VAL, lambda c: c.update(annotations=[]))),
    Case("no object of a class in val", "SP005", edited(VAL, without_class)),
    Case(
        "two classes missing from val",
        "SP005",
        edited(VAL, lambda c: c.update(annotations=[e for e in c["annotations"] if e["category_id"] == 1])),
        words="classes",
    ),
    Case(
        "image of train coded again in val",
        "SP006",
        made_of("train2017/train0.jpg", "val2017/val0.jpg", "coded"),
        words="convert --group-by",
    ),
    Case(
        "image of train flipped in val",
        "SP006",
        made_of("train2017/train0.jpg", "val2017/val0.jpg", "flipped"),
        words="flipped",
    ),
    Case(
        "image of train resized in val",
        "SP006",
        made_of("train2017/train0.jpg", "val2017/val0.jpg", "resized"),
        also="CI042",
    ),
    Case(
        "image of train made brighter in val", "SP006", made_of("train2017/train0.jpg", "val2017/val0.jpg", "brighter")
    ),
    Case("objects of an image of train in val", "SP007", objects_of_train, words="convert --group-by"),
]


def _half_of(content: Content, number: int) -> None:
    part = {
        "images": [entry for entry in content["images"] if entry["id"] == number],
        "annotations": [entry for entry in content["annotations"] if entry["image_id"] == number],
    }
    half(part)


COCO_IMAGES = [*IMAGE_CASES, *SPLIT_CASES]
