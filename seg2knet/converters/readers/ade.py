"""The layout of ADE20K's scene parsing challenge (http://sceneparsing.csail.mit.edu): ``images/training/*.jpg`` and
``annotations/training/*.png``, one number a class, 0 for what is unlabelled; names in ``objectInfo150.txt``.

A class is one object an image, so that writing the same layout again gives the same masks; ``--instances components``
takes it apart.

The full releases of 2017 and 2020 (https://groups.csail.mit.edu/vision/datasets/ADE20K/) have ``X.jpg`` beside
``X_seg.png``, where red and green hold the class (``red // 10 * 256 + green``, 0 for none) and blue the instance; names
are in ``X_atr.txt`` (2017; by instance) or ``X.json`` (2020; by class). Parts of objects are not read.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Optional

import msgspec
import numpy as np
from typing_extensions import Literal

from seg2knet.converters.base import Evidence, Handle, Reader, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.encodings import Decoder, mask_canvas
from seg2knet.converters.readers.common.labelmap import Labelmap, LabelmapOptions
from seg2knet.converters.readers.common.lists import Splits, ordered
from seg2knet.converters.readers.common.sources import absent, by_stem, read_list, relative
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import label_image
from seg2knet.dataset.files import load_json, walk
from seg2knet.dataset.images import SUFFIXES
from seg2knet.dataset.layout import AdeLayout
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError, UsageError

_TABLES = ("objectInfo150.txt", "objectInfo.txt", "objectInfo150.csv", "objectInfo.csv")
_INNER = ("", "ADEChallengeData2016", "sampleData")
_FULL = ("_seg.png",)
_EXPECTED = "images/training/*.jpg and annotations/training/*.png"


class AdeOptions(LabelmapOptions):
    instances: Literal["per-class", "components", "objects"] = option(  # type: ignore[assignment]  # one more
        "per-class", "Each class of an image is one object, or each connected piece; or (full ADE20K) each object."
    )
    map_from_ade: Optional[Path] = option(
        None, "For the full ADE20K: mapFromADE.txt, which makes the challenge's 150 classes of its 3,000."
    )


@register_reader
class AdeReader(Reader):
    name = "ade"
    title = "ADE20K layout"
    paint_order = True
    Options = AdeOptions

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        root = _root(source)
        if root is None:
            count = len(_full_masks(source))
            reason = f"{count} masks *_seg.png beside their images, as the full ADE20K"
            return Evidence(0.9, (reason,)) if count else None
        table = _table(source, root)
        folders = [name for split, name in AdeLayout.FOLDERS.items() if AdeLayout(root).annotations(split).is_dir()]
        reason = f"images/ and annotations/ with {', '.join(folders) or 'masks'}"
        if table is not None:
            return Evidence(0.95, (reason, f"{table.name} names the classes"))
        return Evidence(0.7, (reason,)) if folders else None

    def scan(self) -> Scan:
        root = _root(self.source)
        if root is None:
            return self._scan_full()
        handles: list[Handle] = []
        skips: list[Skip] = []
        layout = next((one for one in (AdeLayout(root), AdeLayout(root, short=True)) if one.splits()), None)
        places = [("", root / "images", root / "annotations")]
        if layout is not None:
            places = [(split, layout.images(split), layout.annotations(split)) for split in AdeLayout.FOLDERS]
        for split, images, masks in places:
            found = by_stem(masks, (".png",))
            for stem, path in sorted(by_stem(images, SUFFIXES).items(), key=lambda item: natural(item[1])):
                mask = found.pop(stem, None)
                if mask is None and split != "test":
                    skips.append(Skip("image-without-mask", path, detail=f"expected in {masks}"))
                else:
                    handles.append(Handle(relative(path, str(images)), [path, mask], split or None))
            skips += [Skip("mask-without-image", path) for path in sorted(found.values(), key=natural)]
        if not handles:
            raise absent(_EXPECTED, self.source)
        if self._labelmap is not None:
            return Scan(ordered(handles), self._labelmap.classes(), tuple(skips))
        detail = "there is no objectInfo150.txt; name one with --labelmap"
        note = Note("classes-called-by-number", str(self.source), detail)
        return Scan(ordered(handles), None, tuple(skips), (note,))

    def read(self, handle: Handle) -> Sample:
        path, mask = handle.where
        if mask is None:
            return Canvas(handle.name, path, path=path).sample(handle.split)
        canvas, labels = mask_canvas(handle.name, path, mask)
        if mask.endswith(_FULL):
            names = self._labelmap.names if self._labelmap is not None else {}
            _draw_full(canvas, labels, self._mapping, names, self.options.instances == "objects")
        else:
            Decoder(canvas, self._labelmap, self.options.instances == "components").one("classes", labels)
        return canvas.sample(handle.split)

    def _scan_full(self) -> Scan:
        """The full release: masks beside their images, splits by folder."""
        found = _full_masks(self.source)
        if not found:
            raise absent(_EXPECTED, self.source)
        if self.options.instances == "components":
            problem, expected = "the full ADE20K knows its objects", "per-class or objects"
            raise UsageError(problem, found="--instances components", expected=expected)
        if self._mapping is not None and self._labelmap is None:
            raise UsageError("--map-from-ade needs the challenge's names", hint="--labelmap objectInfo150.txt")
        skips = [Skip("mask-without-image", mask) for path, mask in sorted(found) if not path]
        images = [(relative(path, str(self.source)), [path, mask]) for path, mask in found if path]
        classes = self._labelmap.classes() if self._labelmap is not None and self._mapping is not None else None
        return Scan(Splits({}).handles(images), classes, tuple(skips))

    @cached_property
    def _mapping(self) -> Optional[dict[int, int]]:
        return _read_mapping(self.options.map_from_ade) if self.options.map_from_ade is not None else None

    @cached_property
    def _labelmap(self) -> Optional[Labelmap]:
        """The classes, numbered as the masks are; what is stuff is said by the CSV alone."""
        root = _root(self.source)
        table = self.options.labelmap or (root and _table(self.source, root))
        if table is None:
            return None
        # The table's names are all classes but for number 0, whatever they are called.
        labelmap = _labelmap.read(table)
        named = {number: name for number, name in labelmap.names.items() if number > 0}
        beside = table.with_suffix(".csv")
        things = _labelmap.read(beside).things if table.suffix == ".txt" and beside.is_file() else {}
        things = things if things.keys() == named.keys() else labelmap.things
        return msgspec.structs.replace(labelmap, names=named, void=frozenset({0}), things=things)


def _root(source: Path) -> Optional[Path]:
    """The folder with ``images`` and ``annotations``, where the latter holds PNGs."""
    for inner in _INNER:
        root = source / inner
        if (root / "images").is_dir() and (root / "annotations").is_dir():
            masks = next(iter(walk(root / "annotations", (".png",))), None)
            panoptic = any(path.name.startswith("panoptic_") for path in (root / "annotations").iterdir())
            if masks is not None and not panoptic:
                return root
    return None


def _table(source: Path, root: Path) -> Optional[Path]:
    folders = (root, source, root.absolute().parent)
    return next((folder / name for folder in folders for name in _TABLES if (folder / name).is_file()), None)


def _full_masks(source: Path) -> list[tuple[str, str]]:
    """Images and their masks, in no order; a mask without its image has an empty path."""
    if not source.is_dir():
        return []
    masks = {mask[: -len(_FULL[0])]: mask for mask in walk(source, _FULL)}
    suffixes = (".jpg", ".JPG", ".jpeg")
    images = ((filter(os.path.isfile, (stem + suffix for suffix in suffixes)), mask) for stem, mask in masks.items())
    return [(next(image, ""), mask) for image, mask in images]


def _read_mapping(path: Path) -> dict[int, int]:
    """``mapFromADE.txt``: the challenge's number and the release's, of which several may have the same, a line each."""
    pairs = [line.split() for line in read_list(path)]
    if not pairs or not all(len(pair) == 2 and all(re.fullmatch(r"\d{1,6}", word) for word in pair) for pair in pairs):
        expected = "the challenge's and the release's, two a line"
        raise DataError("not a map of class numbers", file=path, expected=expected)
    return {int(release): int(challenge) for challenge, release in pairs}


def _draw_full(
    canvas: Canvas, colors: np.ndarray, mapping: Optional[dict[int, int]], names: dict[int, str], by_instance: bool
) -> None:
    """Objects from a mask ``(H, W, 3)``: every instance is one, or every class. ``mapping`` has the release's numbers
    to the challenge's, whose names are ``names``; other classes are left out, as the challenge leaves them unlabelled.
    Without it all classes have their own names, which stand beside the mask."""
    if colors.ndim != 3:
        raise DataError("not a mask of the full ADE20K", file=canvas.place, found="one channel", expected="RGB")
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    runs = label_image.cut((red // 10 * 256 + green) * 256 + blue)
    stem = canvas.place[: -len(_FULL[0])]
    by_class = mapping is not None or os.path.isfile(stem + ".json")  # names by class in 2020, by instance in 2017
    if mapping is None:
        names = _from_json(stem + ".json") if by_class else _from_attributes(stem + "_atr.txt")
    groups: dict[object, tuple[int, str, str]] = {}
    group = np.full(len(runs.values), -1, np.int64)
    for value in np.unique(runs.values).tolist():
        number, instance = divmod(value, 256)
        if number not in mapping if mapping is not None else value == 0:
            continue
        label = names.get(mapping[number] if mapping is not None else number if by_class else instance)
        place = f"class {number}" + f" instance {instance}" * by_instance
        if label is None:
            canvas.skip("number-without-a-class", f"class {number} instance {instance}")
        elif label:
            known = groups.setdefault((label, value) if by_instance else label, (len(groups), label, place))
            group[runs.values == value] = known[0]
    names_and_places = list(groups.values())
    found = label_image.regions(label_image.recoded(runs, group), without=[-1])
    for index, rle in zip(found.values, found.rles):
        _, label, place = names_and_places[index]
        canvas.add(label, rle, place)


def _from_json(path: str) -> dict[int, str]:
    document = load_json(path)
    annotation = document.get("annotation") if isinstance(document, dict) else None
    entries = annotation.get("object") if isinstance(annotation, dict) else None
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    names = {entry.get("name_ndx"): entry.get("name") for entry in entries}
    return {number: name for number, name in names.items() if type(number) is int and isinstance(name, str)}


def _from_attributes(path: str) -> dict[int, str]:
    """``instance # part level # occluded # class # name as typed # "attributes"``; whole objects are of level 0."""
    lines = read_list(path) if os.path.isfile(path) else []
    matches = [re.match(r"(\d{1,6})\s*#\s*0\s*#[^#]*#\s*([^#]*[^#\s])", line) for line in lines]
    return {int(match[1]): match[2] for match in matches if match}
