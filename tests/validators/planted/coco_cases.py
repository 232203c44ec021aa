"""Defects of the COCO layout: the set of ``shapes_set``, three images in train and two in val."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from planting import (
    VAL,
    Case,
    Content,
    Plant,
    annotation,
    both,
    category,
    deleted,
    each_annotation,
    edited,
    image,
    raw,
    removed,
    saved,
    several,
    train,
    without,
)
from pycocotools import mask as coco_mask
from shapes_set import (
    CROWD,
    ELL,
    HEIGHT,
    PAIR,
    RING,
    SQUARE,
    WIDTH,
    circle,
    code,
    data,
    ell,
    encoded,
    of_mask,
    official,
)
from small_sets import noise


def polygon(row: int, edit: Any) -> Plant:
    """Edit an annotation's first polygon in place."""
    return train(lambda content: edit(content["annotations"][row]["segmentation"][0]))


def segmentation(row: int, value: Any) -> Plant:
    return annotation(row, segmentation=value)


def part(row: int, points: list[Any]) -> Plant:
    return train(lambda content: content["annotations"][row]["segmentation"].append(points))


def rle(row: int, **values: Any) -> Plant:
    return train(lambda content: content["annotations"][row]["segmentation"].update(values))


def words(table: str, key: str) -> Any:
    """An edit that makes words of ids and of what refers to them."""

    def change(content: Content) -> None:
        for entry in content[table]:
            entry["id"] = f"{key}_{entry['id']}"
        for entry in content["annotations"]:
            entry[f"{key}_id"] = f"{key}_{entry[f'{key}_id']}"

    return change


def numbered(table: str, key: str, first: int) -> Any:
    """An edit that gives a table's rows ids from ``first`` on."""

    def change(content: Content) -> None:
        new = {entry["id"]: first + place for place, entry in enumerate(content[table])}
        for entry in content[table]:
            entry["id"] = new[entry["id"]]
        for entry in content["annotations"]:
            entry[key] = new.get(entry[key], entry[key])

    return change


def renumbered(new: dict[int, int]) -> Any:
    def change(content: Content) -> None:
        for entry in content["categories"]:
            entry["id"] = new[entry["id"]]
        for entry in content["annotations"]:
            entry["category_id"] = new[entry["category_id"]]

    return change


def more_categories(*names: str) -> Any:
    def change(content: Content) -> None:
        first = len(content["categories"]) + 1
        content["categories"] += [{"id": first + place, "name": name} for place, name in enumerate(names)]

    return change


def own_class(row: int, name: str) -> Any:
    """Give one annotation a class of its own."""

    def change(content: Content) -> None:
        more_categories(name)(content)
        content["annotations"][row]["category_id"] = len(content["categories"])

    return change


def points(row: int, make: Any) -> Plant:
    """Write an annotation's polygon as ``make`` writes its ``(N, 2)`` points."""
    return train(
        lambda content: content["annotations"][row].update(
            segmentation=make(np.array(content["annotations"][row]["segmentation"][0]).reshape(-1, 2).tolist())
        )
    )


def mask_of(row: int) -> np.ndarray:
    """The mask of an annotation of the first image."""
    return coco_mask.decode(encoded(data(1)["annotations"][row]["segmentation"]))


def runs(flat: np.ndarray) -> list[int]:
    """Run lengths of a flat mask, ones first where it begins with one."""
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff([0, *edges.tolist(), len(flat)]).tolist()


def scaled_down(ids: tuple[int, ...]) -> Plant:
    """Images saved at half their size, the JSON as it was."""

    def plant(root: Path) -> None:
        for number in ids:
            saved(f"train2017/train{number - 1}.jpg", noise(900 + number, HEIGHT // 2, WIDTH // 2))(root)

    return plant


def half(content: Content) -> None:
    """Sizes and annotations of the images at half their size; masks too."""
    import cv2

    for entry in content["images"]:
        entry.update(width=WIDTH // 2, height=HEIGHT // 2)
    for entry in content["annotations"]:
        shape = entry["segmentation"]
        if isinstance(shape, list):
            entry["segmentation"] = [[round(number / 2, 4) for number in each] for each in shape]
        else:
            whole, size = coco_mask.decode(encoded(shape)), (WIDTH // 2, HEIGHT // 2)
            entry["segmentation"] = code(cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST))
        entry.update(bbox=[round(side / 2, 4) for side in entry["bbox"]], area=round(entry["area"] / 4, 4))


def fractions(content: Content) -> None:
    for entry in content["annotations"]:
        if isinstance(entry["segmentation"], list):
            entry["segmentation"] = [
                [number / (WIDTH, HEIGHT)[place % 2] for place, number in enumerate(each)]
                for each in entry["segmentation"]
            ]


def boxes_as_fractions(content: Content) -> None:
    for entry in content["annotations"]:
        entry["bbox"] = [number / (WIDTH, HEIGHT)[place % 2] for place, number in enumerate(entry["bbox"])]


def rounded(content: Content) -> None:
    for entry in content["annotations"]:
        if isinstance(entry["segmentation"], list):
            entry["segmentation"] = [[round(number, 4) for number in each] for each in entry["segmentation"]]
        entry["bbox"] = [round(number, 4) for number in entry["bbox"]]


def swapped(points: list[float]) -> list[float]:
    """A flat polygon with x and y exchanged."""
    return np.array(points).reshape(-1, 2)[:, ::-1].ravel().tolist()


def wide_ell(content: Content) -> None:
    """The L with its polygon as x, y swapped."""
    entry = content["annotations"][ELL]
    entry["segmentation"] = [swapped(entry["segmentation"][0])]


def twin(row: int, **values: Any) -> Plant:
    return train(lambda content: content["annotations"].append({**content["annotations"][row], "id": 1000, **values}))


def merged_into_the_first(content: Content) -> None:
    """The second image's objects on the first, those that the first has too left out."""
    del content["images"][1]
    for entry in content["annotations"][6:12]:
        entry["image_id"] = 1
    del content["annotations"][10:12]


def rectangles(content: Content) -> None:
    """Each image with seven rectangles and nothing else."""
    content["annotations"] = [
        {
            **content["annotations"][0],
            **official([[x, 10.0, x + 9, 10, x + 9, 20 + 2 * place, x, 20 + 2 * place]]),
            "id": 10 * number + place,
            "image_id": number,
            "category_id": place % 3 + 1,
        }
        for number in (1, 2, 3)
        for place, x in enumerate(range(2, 86, 12))
    ]


def one_box(content: Content) -> None:
    rectangles(content)
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        entry["segmentation"] = [[x, y, x + width, y, x + width / 2, y + height]]
        entry["area"] = width * height / 2
        entry["bbox"] = [30, 10, 20, 20]


def spike(content: Content) -> None:
    """The square's upper edge goes on to the right and comes back; its box goes with it."""
    content["annotations"][SQUARE].update(
        segmentation=[[72, 10, 88, 10, 95, 10, 88, 10, 88, 30, 72, 30]], bbox=[72, 10, 23, 20]
    )


def giant(content: Content) -> None:
    """Twenty small cars on each image, and one that fills the last."""
    rectangles(content)
    for entry in content["annotations"]:
        x, y, *_ = entry["bbox"]
        entry.update(official([[x, y, x + 3, y, x, y + 3]]), category_id=1)
    content["annotations"] += [
        {
            **content["annotations"][0],
            "id": 500 + row,
            "image_id": 1,
            "category_id": row + 2,
            **official([[1.0, 40 + 20 * row, 30, 40 + 20 * row, 1, 58 + 20 * row]]),
        }
        for row in (0, 1)
    ]
    content["annotations"][-3].update(official([[1.0, 25, 95, 25, 95, 79, 1, 70]]))


def rare(content: Content) -> None:
    more_categories("rare")(content)
    content["annotations"][ELL]["category_id"] = 4
    template = content["annotations"][SQUARE]
    for place in range(140):
        entry = {"id": 100 + place, "file_name": f"more{place}.jpg", "width": WIDTH, "height": HEIGHT}
        content["images"].append(entry)
        content["annotations"].append({**template, "id": 1000 + place, "image_id": 100 + place})


def drawn(names: str, count: int) -> Plant:
    def plant(root: Path) -> None:
        for place in range(count):
            saved(f"train2017/{names}{place}.jpg", noise(5000 + place, HEIGHT, WIDTH))(root)

    return plant


BOWTIE = [40.0, 2.0, 64.0, 30.0, 64.0, 2.0, 40.0, 30.0]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
GONE = "KN006"
"""A trainer drops the object: the count of them says so too."""


def _printed_bytes(content: Content) -> None:
    segmentation = content["annotations"][RING]["segmentation"]
    segmentation["counts"] = str(segmentation["counts"].encode())


JSON_CASES = [
    Case("byte order mark", "CI001", raw(lambda text: b"\xef\xbb\xbf" + text), "safe"),
    Case("UTF-16", "CI001", raw(lambda text: text.decode().encode("utf-16")), "safe"),
    Case("file cut off", "CI001", raw(lambda text: text[:-30])),
    Case("colon missing", "CI001", raw(lambda text: text.replace(b'"annotations":', b'"annotations"', 1))),
    Case("comma after the last element", "CI001", raw(lambda text: text.replace(b'"}]', b'"},]', 1))),
    Case("empty file", "CI001", raw(lambda text: b"")),
    Case("Latin-1", "CI001", raw(lambda text: text.replace("ä".encode(), b"\xe4")), "unsafe"),
    Case("Python's notation", "CI001", raw(lambda text: str(json.loads(text)).encode()), words="json.dump"),
    Case("gzip", "CI001", raw(gzip.compress), words="gzip"),
    Case("HTML page", "CI001", raw(lambda text: b"<!DOCTYPE html><html><body>404</body></html>"), words="HTML"),
    Case("Git LFS pointer", "CI001", raw(lambda text: LFS), words="Git LFS"),
    Case("zip archive", "CI001", raw(lambda text: b"PK\3\4" + text), words="zip"),
    Case(
        "annotations twice",
        "CI001",
        raw(lambda text: text.replace(b'"annotations":', b'"annotations": [], "annotations":', 1)),
        words="'annotations' is there twice",
    ),
    Case(
        "a key twice in an annotation",
        "CI001",
        raw(lambda text: text.replace(b'"iscrowd": 0', b'"iscrowd": 0, "iscrowd": 0', 1)),
        words="'iscrowd' is there twice",
    ),
    Case("no images", "CI002", train(lambda content: content.pop("images"))),
    Case("no categories", "CI002", train(lambda content: content.pop("categories"))),
    Case("categories misspelt", "CI002", train(lambda c: c.update(categoryes=c.pop("categories"))), words="categoryes"),
    Case("a list of results", "CI002", raw(lambda text: json.dumps(json.loads(text)["annotations"]).encode())),
]
TYPE_CASES = [
    Case("image_id a string", "CI003", annotation(ELL, image_id="1"), "safe"),
    Case("category_id a string", "CI003", annotation(ELL, category_id="1"), "safe"),
    Case("annotation id a string", "CI003", annotation(ELL, id="2"), "safe"),
    Case("category's own id a string", "CI003", category(1, id="2"), "safe"),
    Case("image's own id a string", "CI003", image(1, id="2"), "safe"),
    Case("category_id a float", "CI003", annotation(ELL, category_id=1.0), "safe"),
    Case(
        "polygon's numbers strings",
        "CI003",
        polygon(ELL, lambda part: part.__setitem__(slice(None), map(str, part))),
        "safe",
    ),
    Case("area a string", "CI003", annotation(SQUARE, area="320"), "safe"),
    Case("width a string", "CI003", image(0, width=str(WIDTH)), "safe"),
    Case("iscrowd a string", "CI003", annotation(ELL, iscrowd="0"), "safe"),
    Case("image_id true", "CI003", annotation(ELL, image_id=True)),
    Case("iscrowd 2", "CI003", annotation(ELL, iscrowd=2), words="iscrowd"),
    Case(
        "image ids are words",
        "CI003",
        train(words("images", "image")),
        "safe",
        train(numbered("images", "image_id", 1)),
        count=0,
    ),
    Case(
        "category ids are words",
        "CI003",
        both(words("categories", "category")),
        "safe",
        count=0,
        mended=both(numbered("categories", "category_id", 1)),
    ),
    Case(
        "image ids are words, and a reference to a number that no image has",
        "CI003",
        several(
            annotation(ELL, image_id=2),
            train(
                lambda c: [
                    *[e.update(id=f"w{e['id']}") for e in c["images"]],
                    *[e.update(image_id=f"w{e['image_id']}") for r, e in enumerate(c["annotations"]) if r != ELL],
                ]
            ),
        ),
        "safe",
        several(train(numbered("images", "image_id", 3)), annotation(ELL, image_id=2)),
        also="CI009 KN006",
        left="CI009 KN006",
        count=0,
    ),
    Case("annotation id a word", "CI003", annotation(ELL, id="x17"), "safe", annotation(ELL, id=19)),
    Case("polygon outside of a list", "CI003", points(ELL, lambda p: [n for q in p for n in q]), "safe"),
    Case("polygon of words", "CI003", segmentation(ELL, [["a", "b", "c", "d", "e", "f"]])),
    Case("segmentation a number", "CI003", segmentation(ELL, 7)),
    Case("polygon as OpenCV's [[[x, y], ...]]", "CI003", points(ELL, lambda p: [p]), "safe", words="points"),
    Case("polygon as OpenCV's contour [[[x, y]], ...]", "CI003", points(ELL, lambda p: [[q] for q in p]), "safe"),
    Case("polygon as [[x, y], ...]", "CI003", points(ELL, lambda p: p), "safe"),
    Case("polygon as [{x, y}, ...]", "CI003", points(ELL, lambda p: [{"x": x, "y": y} for x, y in p]), "safe"),
    Case(
        "VIA's all_points_x and all_points_y",
        "CI003",
        points(
            ELL, lambda p: {"name": "polygon", "all_points_x": [x for x, _ in p], "all_points_y": [y for _, y in p]}
        ),
        "safe",
        words="VIA",
    ),
    Case("annotations an object", "CI003", train(lambda c: c.update(annotations=c["annotations"][0]))),
    Case("an annotation a list", "CI003", train(lambda c: c["annotations"].__setitem__(ELL, []))),
    Case("image without width", "CI003", without("images", 2, "width"), "safe"),
    Case("image without height", "CI003", without("images", 2, "height"), "safe"),
    Case("width null", "CI003", image(2, width=None), "safe"),
    Case("height 0", "CI003", image(2, height=0), "safe"),
    Case(
        "image without file_name", "CI003", several(without("images", 2, "file_name"), deleted("train2017/train2.jpg"))
    ),
    Case("file_name empty", "CI003", several(image(2, file_name=""), deleted("train2017/train2.jpg"))),
    Case("category without name", "CI003", both(lambda c: c["categories"][2].pop("name")), count=2),
    Case("category name empty", "CI003", both(lambda c: c["categories"][2].update(name="")), count=2),
    Case("category name white space", "CI003", both(lambda c: c["categories"][2].update(name=" ")), count=2),
    Case(
        "category without id",
        "CI003",
        several(
            both(lambda c: c["categories"][2].pop("id")),
            both(lambda c: c.update(annotations=[e for e in c["annotations"] if e["category_id"] != 3])),
        ),
        count=2,
    ),
]
ID_CASES = [
    Case("the same image twice", "CI004", train(lambda c: c["images"].append(dict(c["images"][0]))), "unsafe"),
    Case(
        "image id twice",
        "CI004",
        several(removed(*range(6, 12)), image(1, id=1)),
        "unsafe",
        several(removed(*range(6, 12)), image(1, id=4)),
        left="CI042",
    ),
    Case(
        "file name twice",
        "CI005",
        several(image(1, file_name="train0.jpg"), deleted("train2017/train1.jpg")),
        "unsafe",
        several(train(merged_into_the_first), deleted("train2017/train1.jpg")),
        left="CI041",
    ),
    Case("annotation id twice", "CI006", annotation(ELL, id=1), "safe", annotation(ELL, id=19)),
    Case(
        "annotation id three times",
        "CI006",
        several(annotation(ELL, id=1), annotation(RING, id=1)),
        "safe",
        several(annotation(ELL, id=19), annotation(RING, id=20)),
        count=2,
    ),
    Case("annotation id 0", "CI007", annotation(ELL, id=0), "safe", annotation(ELL, id=19)),
    Case("no annotation id", "CI008", without("annotations", ELL, "id"), "safe", annotation(ELL, id=19)),
    Case("annotation id null", "CI008", annotation(ELL, id=None), "safe", annotation(ELL, id=19)),
    Case("no such image", "CI009", annotation(ELL, image_id=77), "unsafe", removed(ELL), GONE),
    Case("no image_id", "CI009", without("annotations", ELL, "image_id"), "unsafe", removed(ELL), GONE),
    Case(
        "every annotation of an image lost",
        "CI009",
        train(lambda c: [e.update(image_id=70) for e in c["annotations"][:6]]),
        "unsafe",
        removed(*range(6)),
        GONE,
        "CI042",
        count=6,
    ),
    Case(
        "no image is known",
        "CI009",
        train(each_annotation(lambda e: e.update(image_id=e["image_id"] + 50))),
        "unsafe",
        train(lambda c: c.update(annotations=[])),
        left="KN005",
        count=18,
    ),
    Case("no such category", "CI010", annotation(ELL, category_id=77), "unsafe", removed(ELL), GONE),
    Case("no category_id", "CI010", without("annotations", ELL, "category_id"), "unsafe", removed(ELL), GONE),
    Case(
        "category ids count from 0 in annotations",
        "CI010",
        train(each_annotation(lambda e: e.update(category_id=e["category_id"] - 1))),
        "unsafe",
        train(
            lambda c: c.update(
                annotations=[
                    {**e, "category_id": e["category_id"] - 1} for e in c["annotations"] if e["category_id"] > 1
                ]
            )
        ),
        also="KN006 SP003",
        left="SP003",
        count=6,
    ),
]
CATEGORY_CASES = [
    Case("category id twice", "CI011", both(lambda c: c["categories"].append({"id": 3, "name": "bus"})), count=2),
    Case("category name twice", "CI012", both(own_class(ELL, "car")), "unsafe", count=2),
    Case("space after a name", "CI013", both(lambda c: c["categories"][1].update(name="wheel ")), "safe", count=2),
    Case("space before a name", "CI013", category(1, name=" wheel"), "safe", also="SP002"),
    Case("line break after a name", "CI013", category(1, name="wheel\n"), "safe", also="SP002"),
    Case("names that differ by case", "CI013", both(own_class(ELL, "Car")), count=2),
    Case("category id 0", "CI014", both(renumbered({1: 0, 2: 1, 3: 2})), "safe", count=2),
    Case(
        "category id 0 and a reference to nothing",
        "CI014",
        both(lambda c: (renumbered({1: 0, 2: 1, 3: 2})(c), c["annotations"][ELL].update(category_id=3))),
        also="CI010 KN006",
        count=2,
    ),
    Case("gap in the category ids", "CI015", both(renumbered({1: 1, 2: 2, 3: 7})), "safe", count=2),
    Case("category ids from 5 on", "CI015", both(renumbered({1: 5, 2: 6, 3: 7})), "safe", count=2),
    Case(
        "gap in the category ids and a reference into it",
        "CI015",
        both(lambda c: (renumbered({1: 1, 2: 2, 3: 7})(c), c["annotations"][ELL].update(category_id=3))),
        also="CI010 KN006",
        count=2,
    ),
    Case("background without objects", "CI016", both(more_categories("_background_")), "safe", count=2),
    Case("bg without objects", "CI016", both(more_categories("BG")), "safe", count=2),
    Case(
        "background with objects",
        "CI016",
        both(own_class(ELL, "background")),
        "unsafe",
        both(lambda c: c["annotations"].pop(ELL)),
        count=2,
    ),
    Case(
        "background with objects in val alone",
        "CI016",
        several(train(more_categories("background")), edited(VAL, own_class(ELL, "background"))),
        "unsafe",
        edited(VAL, lambda c: c["annotations"].pop(ELL)),
        count=2,
    ),
    Case("unused category", "CI017", both(more_categories("bus")), "unsafe"),
    Case(
        "60 unused categories",
        "CI017",
        both(more_categories(*[f"class {n}" for n in range(60)])),
        "unsafe",
        words="60 classes",
    ),
]
SHAPE_CASES = [
    Case("no segmentation", "CI018", without("annotations", ELL, "segmentation"), "unsafe", removed(ELL)),
    Case("segmentation null", "CI018", segmentation(ELL, None), "unsafe", removed(ELL)),
    Case("segmentation []", "CI019", segmentation(ELL, []), "unsafe", removed(ELL)),
    Case("segmentation [[]]", "CI019", segmentation(ELL, [[]]), "unsafe", removed(ELL)),
    Case(
        "RLE without a pixel",
        "CI019",
        segmentation(CROWD, {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}),
        "unsafe",
        removed(CROWD),
    ),
    Case("polygon of one point", "CI020", segmentation(ELL, [[50.0, 9.0]]), "unsafe", removed(ELL)),
    Case("polygon of one point beside another", "CI020", part(ELL, [50.0, 9.0]), "unsafe"),
    Case("polygon of no point beside two", "CI020", part(PAIR, []), "unsafe"),
    Case("odd number of coordinates", "CI021", polygon(ELL, lambda p: p.pop())),
    Case("a single number", "CI021", segmentation(ELL, [[50.0]])),
    Case("polygon of four numbers", "CI022", segmentation(ELL, [[40.0, 2.0, 64.0, 30.0]]), "unsafe", removed(ELL)),
    Case("polygon of four numbers beside another", "CI022", part(ELL, [40.0, 2.0, 64.0, 30.0]), "unsafe"),
    Case("NaN", "CI023", polygon(SQUARE, lambda p: p.extend([float("nan"), 12.0])), "unsafe"),
    Case("Infinity", "CI023", polygon(SQUARE, lambda p: p.extend([float("inf"), 12.0])), "unsafe"),
    Case("null coordinate", "CI023", polygon(SQUARE, lambda p: p.extend([None, 12.0])), "unsafe"),
    Case("coordinate of 1e9", "CI023", polygon(SQUARE, lambda p: p.extend([1e9, 12.0])), "unsafe"),
    Case(
        "coordinate of 1e999",
        "CI023",
        raw(lambda text: re.sub(rb"88\.0, 30\.0, 72\.0", b"88.0, 30.0, 1e999, 3, 72.0", text, count=1)),
        "unsafe",
    ),
    Case(
        "half a pixel outside",
        "CI024",
        annotation(SQUARE, **official([[80.0, 10, 96.4, 10, 96.4, 30, 80, 30]])),
        "safe",
        several(
            annotation(SQUARE, **official([[80.0, 10, 96.4, 10, 96.4, 30, 80, 30]])),
            segmentation(SQUARE, [[80, 10, 96, 10, 96, 30, 80, 30]]),
        ),
    ),
    Case(
        "a pixel above the image",
        "CI024",
        annotation(SQUARE, **official([[70.0, -0.9, 90.0, -0.9, 90, 30, 70, 30]])),
        "safe",
        several(
            annotation(SQUARE, **official([[70.0, -0.9, 90.0, -0.9, 90, 30, 70, 30]])),
            segmentation(SQUARE, [[70, 0, 90, 0, 90, 30, 70, 30]]),
        ),
    ),
    Case(
        "ten pixels outside",
        "CI024",
        annotation(SQUARE, **official([[80.0, 10, 106, 10, 106, 30, 80, 30]])),
        "unsafe",
        annotation(SQUARE, segmentation=[[80, 10, 80, 30, 96, 30, 96, 10]], bbox=[80, 10, 16, 20], area=320),
    ),
    Case(
        "wholly outside",
        "CI024",
        annotation(SQUARE, **official([[100.0, 10, 120, 10, 120, 30, 100, 30]])),
        "unsafe",
        removed(SQUARE),
        also="KN006",
    ),
    Case(
        "bow tie",
        "CI025",
        annotation(ELL, segmentation=[BOWTIE], area=340, bbox=[40, 2, 24, 28]),
        "unsafe",
        annotation(
            ELL, segmentation=[[40, 30, 52, 16, 40, 2], [64, 2, 52, 16, 64, 30]], area=340, bbox=[40, 2, 24, 28]
        ),
    ),
    Case(
        "points on a line",
        "CI026",
        annotation(ELL, segmentation=[[40, 2, 50, 12, 64, 26]], bbox=[40, 2, 24, 24]),
        "unsafe",
        removed(ELL),
    ),
    Case("flat polygon beside another", "CI026", part(ELL, [44, 6, 46, 6, 47, 6]), "unsafe"),
    Case(
        "sliver without a pixel",
        "CI026",
        annotation(ELL, segmentation=[[40, 2.6, 60, 2.6, 60, 2.8]], bbox=[40, 2.6, 20, 0.2], area=2),
        "unsafe",
        removed(ELL),
        also="KN006",
    ),
    Case("point repeated at the end", "CI027", polygon(ELL, lambda p: p.extend(p[:2])), "safe"),
    Case("point repeated in the middle", "CI027", polygon(ELL, lambda p: p.__setitem__(slice(2, 2), p[2:4])), "safe"),
    Case(
        "hole as a polygon",
        "CI028",
        part(SQUARE, [76.0, 15.0, 84.0, 15.0, 84.0, 25.0, 76.0, 25.0]),
        "unsafe",
        lambda root: annotation(SQUARE, segmentation=code(_square_with_hole()), area=240)(root),
    ),
    Case("RLE size swapped", "CI029", rle(RING, size=[WIDTH, HEIGHT])),
    Case("RLE of another size", "CI029", rle(RING, size=[HEIGHT * 2, WIDTH])),
    Case("RLE too short", "CI030", train(lambda c: c["annotations"][CROWD]["segmentation"]["counts"].pop())),
    Case("RLE too long", "CI030", train(lambda c: c["annotations"][CROWD]["segmentation"]["counts"].append(50))),
    Case("RLE without counts", "CI031", train(lambda c: c["annotations"][RING]["segmentation"].pop("counts"))),
    Case("RLE without size", "CI031", train(lambda c: c["annotations"][RING]["segmentation"].pop("size"))),
    Case("RLE of odd characters", "CI031", rle(RING, counts="äö")),
    Case("RLE of printed bytes", "CI003", train(_printed_bytes), "safe", words="as Python prints bytes"),
    Case(
        "RLE with a negative run",
        "CI031",
        train(lambda c: c["annotations"][CROWD]["segmentation"]["counts"].__setitem__(0, -4)),
    ),
]


def _square_with_hole() -> np.ndarray:
    mask = mask_of(SQUARE)
    mask[15:25, 76:84] = 0
    return mask


def _corner() -> np.ndarray:
    """A mask whose first pixel belongs to the object."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:12, :20] = 1
    return mask


MEASURE_CASES = [
    Case("box of three numbers", "CI032", annotation(ELL, bbox=[1, 2, 3]), "safe", also=GONE),
    Case("no box", "CI032", without("annotations", ELL, "bbox"), "safe", also=GONE),
    Case("box null", "CI032", annotation(ELL, bbox=None), "safe", also=GONE),
    Case("box with NaN", "CI032", annotation(ELL, bbox=[40, 2, float("nan"), 28]), "safe", also=GONE),
    Case("box of words", "CI032", annotation(ELL, bbox="40 2 24 28"), "safe", also=GONE),
    Case("box with negative sides", "CI032", annotation(ELL, bbox=[64, 30, -24, -28]), "safe", also=GONE),
    Case(
        "no box, and the area of something else",
        "CI032",
        several(without("annotations", ELL, "bbox"), annotation(ELL, area=3000)),
        "unsafe",
        also="KN006 CI037",
    ),
    Case("box half a pixel wide", "CI033", annotation(ELL, bbox=[40, 2, 0.5, 28]), "safe", also=GONE),
    Case(
        "object of half a pixel",
        "CI033",
        annotation(ELL, segmentation=[[40, 2.2, 60, 2.2, 60, 3.0, 40, 3.0]], bbox=[40, 2.2, 20, 0.8], area=16),
        "safe",
        annotation(ELL, segmentation=[[40, 2.2, 60, 2.2, 60, 3.0, 40, 3.0]], bbox=[40, 2, 20, 1], area=16),
        also=GONE,
    ),
    Case("box shifted by a third", "CI034", annotation(ELL, bbox=[48, 2, 24, 28]), "safe"),
    Case("box too small", "CI034", annotation(ELL, bbox=[42, 4, 20, 24]), "safe"),
    Case("box too large", "CI034", annotation(ELL, bbox=[36, 0, 32, 34]), "safe"),
    Case("box elsewhere", "CI034", annotation(ELL, bbox=[0, 50, 24, 28]), "unsafe", words="either may be wrong"),
    Case(
        "polygon with x and y swapped, on the diagonal",
        "CI034",
        annotation(ELL, **{**of_mask([ell(30, 25)]), "segmentation": [swapped(ell(30, 25))]}),
        "unsafe",
        annotation(ELL, **of_mask([ell(30, 25)])),
        words="x and y are swapped",
    ),
    Case("polygon with x and y swapped", "CI034", train(wide_ell), "unsafe", words="x and y are swapped"),
    Case(
        "RLE in row order",
        "CI034",
        annotation(SQUARE, segmentation={"size": [HEIGHT, WIDTH], "counts": runs(mask_of(SQUARE).ravel())}),
        "unsafe",
        lambda root: annotation(SQUARE, segmentation=code(mask_of(SQUARE)))(root),
        words="row order",
    ),
    Case(
        "RLE without its leading 0",
        "CI034",
        several(annotation(SQUARE, **of_mask(code(_corner()))), rle(SQUARE, counts=runs(_corner().ravel(order="F")))),
        "unsafe",
        annotation(SQUARE, **of_mask(code(_corner()))),
        words="leading 0",
    ),
    Case("area and box against the mask", "CI034", annotation(ELL, segmentation=[circle(20, 60, 4)]), words="suspect"),
    Case("box as two corners", "CI035", annotation(SQUARE, bbox=[72, 10, 88, 30]), "safe"),
    Case("no area", "CI036", without("annotations", ELL, "area"), "safe", also=GONE),
    Case("area null", "CI036", annotation(ELL, area=None), "safe", also=GONE),
    Case("area NaN", "CI036", annotation(ELL, area=float("nan")), "safe", also=GONE),
    Case("area a word", "CI036", annotation(ELL, area="large"), "safe", also=GONE),
    Case("the box's area", "CI037", annotation(ELL, area=24 * 28), "safe"),
    Case("twice the area", "CI037", annotation(SQUARE, area=640), "safe"),
    Case("a hundredth of the area", "CI037", annotation(SQUARE, area=3.2), "safe"),
    Case("area 0", "CI038", annotation(ELL, area=0), "safe", also=GONE),
    Case("area negative", "CI038", annotation(ELL, area=-352), "safe", also=GONE),
    Case("area infinite", "CI038", annotation(ELL, area=float("inf")), "safe"),
    Case(
        "area 0 and the box elsewhere",
        "CI038",
        annotation(ELL, area=0, bbox=[0, 50, 24, 28]),
        "unsafe",
        also="KN006 CI034",
    ),
    Case("polygons as fractions", "CI044", train(fractions), "unsafe", train(rounded)),
    Case("boxes as fractions", "CI044", train(boxes_as_fractions), "unsafe", train(rounded)),
    Case(
        "polygons and boxes as fractions",
        "CI044",
        train(lambda c: (fractions(c), boxes_as_fractions(c))),
        "unsafe",
        train(rounded),
        count=2,
    ),
]
OBJECT_CASES = [
    Case("no iscrowd", "CI039", without("annotations", ELL, "iscrowd"), "safe"),
    Case(
        "no iscrowd anywhere",
        "CI039",
        train(each_annotation(lambda e: e.pop("iscrowd"))),
        "safe",
        train(each_annotation(lambda e: e.update(iscrowd=0))),
        count=18,
    ),
    Case(
        "all crowds",
        "CI040",
        train(each_annotation(lambda e: e.update(iscrowd=1))),
        "safe",
        train(each_annotation(lambda e: e.update(iscrowd=0))),
    ),
    Case("annotation twice", "CI041", twin(ELL), "unsafe"),
    Case("annotation three times", "CI041", several(twin(ELL), twin(ELL, id=1001)), "unsafe", count=2),
    Case("RLE twice", "CI041", twin(RING), "unsafe"),
    Case(
        "nearly the same annotation",
        "CI041",
        twin(SQUARE, **of_mask([[72.0, 10, 88, 10, 88, 29, 72, 29]])),
        words="nearly",
    ),
    Case("image without annotations", "CI042", removed(*range(6, 12))),
    Case(
        "rare class",
        "CI043",
        several(both(more_categories("rare")), train(lambda c: c["categories"].pop()), train(rare), drawn("more", 140)),
        also="SP005",
    ),
    Case("boolean iscrowd", "CI045", annotation(ELL, iscrowd=False), "safe"),
    Case(
        "boolean iscrowd everywhere",
        "CI045",
        train(each_annotation(lambda e: e.update(iscrowd=bool(e["iscrowd"])))),
        "safe",
    ),
    Case("all masks rectangles", "CI047", train(rectangles)),
    Case("all boxes the same", "CI047", train(one_box), also="CI034", words="same", left="CI047"),
    Case("spike of no width", "CI048", train(spike), "unsafe"),
    Case("speck beside an object", "CI049", part(SQUARE, [50.0, 70.0, 50.5, 70.0, 50.5, 70.5])),
    Case(
        "polygons far apart", "CI049", annotation(SQUARE, **official([[1.0, 1, 4, 1, 4, 4], [92, 76, 95, 76, 95, 79]]))
    ),
    Case("size unusual for its class", "CI050", train(giant)),
    Case("one object in two classes", "CI046", twin(ELL, category_id=3), words="'sign'"),
]

COCO = [*JSON_CASES, *TYPE_CASES, *ID_CASES, *CATEGORY_CASES, *SHAPE_CASES, *MEASURE_CASES, *OBJECT_CASES]
