"""Defects of COCO panoptic: the set of ``small_sets.coco``, three images in train and three in val."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from planting import PANOPTIC, TRAIN, Case, Plant, deleted, edited, renamed, several
from small_sets import segments, write_png

PNGS, VAL = "annotations/panoptic_train2017", "annotations/panoptic_val2017.json"
CAT, DOG, SKY, GRASS = range(4)
"""Places of the segments 1001, 2002, 70000 and 3 in every entry."""
PNG = f"{PNGS}/train_0.png"


def panoptic(edit: Any) -> Plant:
    return edited(PANOPTIC, edit)


def in_both(edit: Any) -> Plant:
    """An edit of the instance file and of the panoptic file of train."""
    return several(edited(TRAIN, edit), panoptic(edit))


def both_splits(edit: Any) -> Plant:
    return several(edited(PANOPTIC, edit), edited(VAL, edit))


def segment(place: int, entry: int = 0, **values: Any) -> Plant:
    return panoptic(lambda content: content["annotations"][entry]["segments_info"][place].update(values))


def without(place: int, key: str) -> Plant:
    return panoptic(lambda content: content["annotations"][0]["segments_info"][place].pop(key))


def every_segment(edit: Any) -> Plant:
    return panoptic(lambda content: [edit(each) for entry in content["annotations"] for each in entry["segments_info"]])


def repainted(change: Any) -> Plant:
    """The first PNG with other ids."""

    def plant(root: Path) -> None:
        ids = segments()
        change(ids)
        write_png(root / PNG, ids)

    return plant


def measured(place: int, change: Any) -> Plant:
    """Area and box of a segment as they are once the ids are changed."""

    def plant(root: Path) -> None:
        ids = segments()
        number = (1001, 2002, 70000, 3)[place]
        change(ids)
        ys, xs = np.nonzero(ids == number)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        segment(place, area=int((ids == number).sum()), bbox=box)(root)

    return plant


def patch(number: int) -> Any:
    def change(ids: np.ndarray) -> None:
        ids[40:44, 2:6] = number

    return change


def swapped_pngs(root: Path) -> None:
    """The PNGs of the first two images exchanged, the second one with ids and shapes of its own."""
    ids = np.full((48, 64), 9)
    ids[10:40, 30:60] = 8
    write_png(root / f"{PNGS}/train_1.png", ids)
    panoptic(
        lambda c: c["annotations"][1].update(
            segments_info=[
                {"id": 8, "category_id": 1, "area": 900, "bbox": [30, 10, 30, 30], "iscrowd": 0},
                {"id": 9, "category_id": 3, "area": 2172, "bbox": [0, 0, 64, 48], "iscrowd": 0},
            ]
        )
    )(root)
    shutil.move(root / PNG, root / "x.png")
    shutil.move(root / f"{PNGS}/train_1.png", root / PNG)
    shutil.move(root / "x.png", root / f"{PNGS}/train_1.png")


def dog(number: int) -> Plant:
    """The dog has another id, in the JSON and in the PNG, where nothing is void."""

    def change(ids: np.ndarray) -> None:
        ids[ids == 0] = 3
        ids[ids == 2002] = number

    return several(repainted(change), segment(DOG, id=number), measured(GRASS, change))


def added(**values: Any) -> Plant:
    new = {"id": 5, "category_id": 1, "area": 9, "bbox": [0, 0, 3, 3], "iscrowd": 1, **values}
    return panoptic(lambda content: content["annotations"][0]["segments_info"].append(new))


def split_sky(ids: np.ndarray) -> None:
    ids[:24, :2] = 71000


def two_skies(root: Path) -> None:
    more = {"id": 71000, "category_id": 3, "area": 48, "bbox": [0, 0, 2, 24], "iscrowd": 0}
    several(repainted(split_sky), measured(SKY, split_sky), added(**more))(root)


def mode(convert: str) -> Plant:
    def plant(root: Path) -> None:
        with Image.open(root / PNG) as png:
            png.convert(convert).save(root / PNG)

    return plant


def palette(root: Path) -> None:
    ids = segments()
    numbers, places = np.unique(ids, return_inverse=True)
    png = Image.fromarray(places.reshape(ids.shape).astype(np.uint8), "P")
    colours = [[number % 256, number // 256 % 256, number >> 16] for number in numbers.tolist()]
    png.putpalette([channel for colour in colours for channel in colour])
    png.save(root / PNG)


def things_gone(ids: np.ndarray) -> None:
    ids[ids == 1001] = 70000
    ids[ids == 2002] = 3


def no_thing(root: Path) -> None:
    several(
        repainted(things_gone),
        measured(SKY, things_gone),
        measured(GRASS, things_gone),
        panoptic(lambda content: content["annotations"][0]["segments_info"].__delitem__(slice(0, 2))),
    )(root)


def mostly_void(root: Path) -> None:
    def change(ids: np.ndarray) -> None:
        ids[(ids == 70000) | (ids == 3)] = 0

    repainted(change)(root)
    panoptic(lambda content: content["annotations"][0]["segments_info"].__delitem__(slice(2, 4)))(root)


def called(name: str) -> Plant:
    """The first image under another name, in the folder and in both files."""
    return several(
        renamed("train2017/train_0.jpg", f"train2017/{name}"),
        in_both(lambda content: content["images"][0].update(file_name=name)),
    )


def two_spellings(root: Path) -> None:
    """``IMG.JPG`` beside ``IMG.jpeg``: both would be called ``IMG.jpg``."""
    called("IMG.JPG")(root)
    renamed("train2017/train_1.jpg", "train2017/IMG.jpeg")(root)
    in_both(lambda content: content["images"][1].update(file_name="IMG.jpeg"))(root)


PANOPTIC_CASES = [
    Case("no isthing", "CP001", edited(PANOPTIC, lambda c: c["categories"][3].pop("isthing")), also="SP002"),
    Case("isthing 7", "CP001", edited(PANOPTIC, lambda c: c["categories"][3].update(isthing=7)), also="SP002 CP016"),
    Case(
        "a class of the instance file is stuff",
        "CP001",
        both_splits(lambda c: c["categories"][1].update(isthing=0)),
        also="CP016",
        count=2,
    ),
    Case(
        "stuff before things",
        "CP002",
        both_splits(lambda c: c["categories"].reverse()),
        "safe",
        both_splits(lambda c: c.update(categories=[c["categories"][place] for place in (1, 0, 3, 2)])),
        count=2,
    ),
    Case("PNG missing", "CP003", deleted(PNG)),
    Case("folder of PNGs missing", "CP003", lambda root: shutil.rmtree(root / PNGS), words="folder"),
    Case(
        "PNG of another name",
        "CP004",
        several(
            renamed(PNG, f"{PNGS}/other.png"), panoptic(lambda c: c["annotations"][0].update(file_name="other.png"))
        ),
        "safe",
    ),
    Case("PNG named wrongly", "CP004", panoptic(lambda c: c["annotations"][0].update(file_name="other.png")), "safe"),
    Case("image called .jpeg", "CP004", called("train_0.jpeg"), "safe"),
    Case("image called .JPG", "CP004", called("train_0.JPG"), "safe"),
    Case("images that would get one name", "CP004", two_spellings, count=2, also="IM008"),
    Case(
        "PNG of twice the size", "CP005", lambda root: write_png(root / PNG, np.kron(segments(), np.ones((2, 2), int)))
    ),
    Case("PNG with alpha", "CP006", mode("RGBA"), "safe"),
    Case("PNG with a palette", "CP006", palette, "safe"),
    Case("PNG grey", "CP006", mode("L")),
    Case("segment without a pixel", "CP007", added(), "safe"),
    Case("segment with a wrong id", "CP007", segment(CAT, id=7), "safe"),
    Case("two segments with wrong ids", "CP007", several(segment(CAT, id=7), segment(DOG, id=8)), "safe", count=2),
    Case("PNG of another image", "CP007", swapped_pngs, also="CP008", count=6, words="another image"),
    Case("region without a segment", "CP008", several(repainted(patch(99)), measured(GRASS, patch(99)))),
    Case("segment id 0", "CP009", segment(CAT, id=0), "safe"),
    Case("segment id over 24 bits", "CP009", segment(CAT, id=1001 + (1 << 24)), "safe"),
    Case("segment id 0 in the PNG too", "CP009", dog(0), "safe", dog(70001)),
    Case("segment id twice", "CP010", added(id=1001, category_id=2)),
    Case("segment's area wrong", "CP011", segment(CAT, area=190), "safe"),
    Case("segment without area", "CP011", without(CAT, "area"), "safe"),
    Case("segment's box wrong", "CP012", segment(CAT, bbox=[4, 4, 20, 16]), "safe"),
    Case("segment without box", "CP012", without(CAT, "bbox"), "safe"),
    Case("segment's box as two corners", "CP012", segment(DOG, bbox=[34, 14, 50, 26]), "safe"),
    Case("two skies", "CP013", two_skies, "safe"),
    Case("most of an image void", "CP014", mostly_void),
    Case("image without a thing", "CP015", no_thing),
    Case("more things than instances", "CP016", edited(TRAIN, lambda c: c["annotations"].pop(0))),
    Case(
        "categories of the instance file differ",
        "CP016",
        edited(TRAIN, lambda c: c["categories"][0].update(name="lynx")),
        also="SP002 SP003 SP005",
    ),
    Case(
        "image ids of the two files differ",
        "CP016",
        edited(
            TRAIN,
            lambda c: (
                c["images"][0].update(id=77),
                [e.update(image_id=77) for e in c["annotations"] if e["image_id"] == 1],
            ),
        ),
    ),
    Case("segment without iscrowd", "CP017", without(CAT, "iscrowd"), "safe"),
    Case("no iscrowd anywhere", "CP017", every_segment(lambda each: each.pop("iscrowd")), "safe", words="12 of 12"),
    Case(
        "two entries of one image",
        "CP018",
        panoptic(lambda c: c["annotations"].append(dict(c["annotations"][0]))),
        also="CP016",
    ),
    Case("image without an entry", "CP019", panoptic(lambda c: c["annotations"].pop(2))),
    Case(
        "isthing differs between splits",
        "SP002",
        edited(VAL, lambda c: c["categories"][2].update(isthing=1)),
        also="CP016",
    ),
    Case("panoptic iscrowd a boolean", "CI045", segment(CAT, iscrowd=False), "safe"),
    Case("panoptic image_id a string", "CI003", panoptic(lambda c: c["annotations"][0].update(image_id="1")), "safe"),
    Case("segment of no category", "CI010", segment(CAT, category_id=77), also=""),
    Case(
        "entry of no image",
        "CI009",
        panoptic(lambda c: c["annotations"].append({**c["annotations"][0], "image_id": 77})),
        "unsafe",
    ),
]
