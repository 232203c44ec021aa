"""What a planted defect is, and the hands that plant it: edits of a clean data set on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from seg2knet.validators.fixing.remakes import plain_rgb

Plant = Callable[[Path], Any]
Content = dict[str, Any]
TRAIN, VAL = "annotations/instances_train2017.json", "annotations/instances_val2017.json"
PANOPTIC = "annotations/panoptic_train2017.json"


class Case(NamedTuple):
    """One defect.

    Attributes:
        name: what is wrong, in a few words.
        code: the rule that must name it.
        plant: puts it into a clean set.
        fix: ``safe``, ``unsafe``, or empty for none.
        mended: what a clean set must go through to look like the set after the fix; nothing for a set like new.
        also: codes of findings that the defect necessarily has too.
        left: codes that the fix may leave.
        words: what the message must say.
        count: how many findings of the code, 0 for any number.
    """

    name: str
    code: str
    plant: Plant
    fix: str = ""
    mended: Plant | None = None
    also: str = ""
    left: str = ""
    words: str = ""
    count: int = 1


def edited(path: str, edit: Callable[[Content], Any]) -> Plant:
    """Edit a JSON file of the set."""

    def plant(root: Path) -> None:
        content = json.loads((root / path).read_text("utf-8"))
        edit(content)
        (root / path).write_text(json.dumps(content, ensure_ascii=False), "utf-8")

    return plant


def train(edit: Callable[[Content], Any]) -> Plant:
    return edited(TRAIN, edit)


def both(edit: Callable[[Content], Any]) -> Plant:
    return several(edited(TRAIN, edit), edited(VAL, edit))


def several(*plants: Plant) -> Plant:
    def plant(root: Path) -> None:
        for each in plants:
            each(root)

    return plant


def raw(change: Callable[[bytes], bytes], path: str = TRAIN) -> Plant:
    """Change a file's bytes."""
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes()))


def annotation(row: int, **values: Any) -> Plant:
    return train(lambda content: content["annotations"][row].update(values))


def without(table: str, row: int, key: str) -> Plant:
    return train(lambda content: content[table][row].pop(key))


def image(row: int, **values: Any) -> Plant:
    return train(lambda content: content["images"][row].update(values))


def category(row: int, **values: Any) -> Plant:
    return train(lambda content: content["categories"][row].update(values))


def each_annotation(edit: Callable[[Content], Any]) -> Callable[[Content], Any]:
    """An edit of all annotations."""

    def change(content: Content) -> None:
        for entry in content["annotations"]:
            edit(entry)

    return change


def removed(*rows: int) -> Plant:
    """Annotations taken out of train."""
    return train(
        lambda content: content.update(
            annotations=[entry for row, entry in enumerate(content["annotations"]) if row not in rows]
        )
    )


def images_removed(*ids: int, path: str = TRAIN) -> Plant:
    """Images taken out of a file, with what is annotated on them."""

    def change(content: Content) -> None:
        content["images"] = [entry for entry in content["images"] if entry["id"] not in ids]
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] not in ids]

    return edited(path, change)


def saved(path: str, pixels: np.ndarray, **options: Any) -> Plant:
    return lambda root: Image.fromarray(pixels).save(root / path, **options)


def renamed(old: str, new: str) -> Plant:
    def plant(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return plant


def plain(path: str) -> Plant:
    """An image as the fix of its mode makes it."""
    return lambda root: (root / path).write_bytes(plain_rgb(root / path))


def deleted(*paths: str) -> Plant:
    return lambda root: [(root / path).unlink() for path in paths]


def state(root: Path) -> dict[str, Any]:
    """What a set looks like: JSON as objects, images as pixels, other files as bytes; backups aside."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        if not path.is_file() or ".bak" in path.name:
            continue
        name = path.relative_to(root).as_posix()
        data = path.read_bytes()
        if path.suffix == ".json":
            try:
                found[name] = json.loads(data)
            except ValueError:
                found[name] = data
        elif path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif"):
            try:
                with Image.open(path) as image_file:
                    image_file.load()
                    facts = (image_file.mode, image_file.size, image_file.getexif().get(0x0112, 1))
                    found[name] = (*facts, hashlib.sha256(image_file.tobytes()).hexdigest())
            except OSError:
                found[name] = data
        else:
            found[name] = data
    return found
