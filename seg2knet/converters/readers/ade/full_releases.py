"""The full ADE20K releases of 2017 and 2020 (https://groups.csail.mit.edu/vision/datasets/ADE20K/): ``X.jpg`` beside
``X_seg.png``, where red and green hold the class (``red // 10 * 256 + green``, 0 for none) and blue the instance.

Names stand beside each image: ``X_atr.txt`` (2017; by instance) or ``X.json`` (2020; by class). Parts of objects,
``X_parts_1.png`` and so on, are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.sources import read_list
from seg2knet.dataset import label_image
from seg2knet.dataset.files import load_json, walk
from seg2knet.errors import DataError

ENDINGS = ("_seg.png",)


def images(source: Path) -> list[tuple[str, str]]:
    """Images and their masks, in no order; a mask without its image has an empty path."""
    if not source.is_dir():
        return []
    masks = {mask[: -len(ENDINGS[0])]: mask for mask in walk(source, ENDINGS)}
    suffixes = (".jpg", ".JPG", ".jpeg")
    images = ((filter(os.path.isfile, (stem + suffix for suffix in suffixes)), mask) for stem, mask in masks.items())
    return [(next(image, ""), mask) for image, mask in images]


def class_numbers(colors: np.ndarray) -> np.ndarray:
    """``(H, W)`` int32, the release's number of each pixel's class, from ``(H, W, 3)`` RGB."""
    return colors[..., 0].astype(np.int32) // 10 * 256 + colors[..., 1]


def read_mapping(path: Path) -> dict[int, int]:
    """``mapFromADE.txt``: the challenge's number and the release's, a line each; several of these may be one of
    those."""
    pairs = [line.split() for line in read_list(path)]
    if not pairs or not all(len(pair) == 2 and all(re.fullmatch(r"\d{1,6}", word) for word in pair) for pair in pairs):
        expected = "the challenge's and the release's, two a line"
        raise DataError("not a map of class numbers", file=path, expected=expected)
    return {int(release): int(challenge) for challenge, release in pairs}


def draw(
    canvas: Canvas,
    colors: np.ndarray,
    mapping: Optional[Mapping[int, int]],
    names: Mapping[int, str],
    by_instance: bool,
) -> None:
    """Find the objects of an image with the mask ``colors``, ``(H, W, 3)``: every instance is one, or every class.

    ``mapping`` has the release's numbers to the challenge's, whose names are ``names``; other classes are left out, as
    the challenge leaves them unlabelled. Without it all classes have their own names, which stand beside the mask.
    """
    if colors.ndim != 3:
        raise DataError("not a mask of the full ADE20K", file=canvas.place, found="one channel", expected="RGB")
    runs = label_image.cut(class_numbers(colors) * 256 + colors[..., 2])
    name_of = _own_names(canvas.place) if mapping is None else _challenge_names(mapping, names)
    keys: list[tuple[str, int, int]] = []
    group = np.full(len(runs.values), -1, np.int64)
    for value in np.unique(runs.values).tolist():
        number, instance = divmod(value, 256)
        label = name_of(number, instance)
        if label is None:
            canvas.skip("number-without-a-class", f"class {number} instance {instance}")
        if not label:
            continue
        key = (label, number, instance if by_instance else 0)
        if not by_instance:
            key = next((one for one in keys if one[0] == label), key)
        if key not in keys:
            keys.append(key)
        group[runs.values == value] = keys.index(key)
    found = label_image.regions(label_image.recoded(runs, group), without=[-1])
    for index, rle in zip(found.values, found.rles):
        label, number, instance = keys[index]
        canvas.add(label, rle, f"class {number}" + f" instance {instance}" * by_instance)


NameOf = Callable[[int, int], Optional[str]]
"""From the release's class number and the instance: the name, empty for nothing, ``None`` where none is said."""


def _challenge_names(mapping: Mapping[int, int], names: Mapping[int, str]) -> NameOf:
    return lambda number, instance: names.get(mapping[number]) if number in mapping else ""


def _own_names(mask: str) -> NameOf:
    """Names that stand beside an image: by class in 2020, by instance in 2017."""
    stem = mask[: -len(ENDINGS[0])]
    if os.path.isfile(stem + ".json"):
        by_class = _from_json(Path(stem + ".json"))
        return lambda number, instance: by_class.get(number) if number or instance else ""
    by_instance = _from_attributes(Path(stem + "_atr.txt")) if os.path.isfile(stem + "_atr.txt") else {}
    return lambda number, instance: by_instance.get(instance) if number or instance else ""


def _from_json(path: Path) -> dict[int, str]:
    document = load_json(path)
    annotation = document.get("annotation") if isinstance(document, dict) else None
    entries = annotation.get("object") if isinstance(annotation, dict) else None
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    names = {entry.get("name_ndx"): entry.get("name") for entry in entries}
    return {number: name for number, name in names.items() if type(number) is int and isinstance(name, str)}


def _from_attributes(path: Path) -> dict[int, str]:
    """``instance # part level # occluded # class # name as typed # "attributes"``; whole objects are of level 0."""
    names = {}
    for line in read_list(path):
        cells = [cell.strip() for cell in line.split("#")]
        if len(cells) >= 4 and re.fullmatch(r"\d{1,6}", cells[0]) and cells[1] == "0" and cells[3]:
            names[int(cells[0])] = cells[3]
    return names
