"""COCO (https://cocodataset.org/#format-data): instances and panoptic, and the ways in which tools export it.

A source is a JSON file, or a folder with some: ``annotations/instances_train2017.json``, Roboflow's
``train/_annotations.coco.json``, CVAT's ``annotations/instances_default.json``, or any other name. Polygons and
run-length codes pass through as they are, number for number.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np
from typing_extensions import Literal

from seg2knet.converters.base import Evidence, Handle, ReaderOptions, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.coco import index as coco_index
from seg2knet.converters.readers.coco.index import contains, is_results, listing
from seg2knet.converters.readers.coco.shapes import instances, segments
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.json_reader import size_of
from seg2knet.converters.readers.common.lists import ordered
from seg2knet.converters.readers.common.sources import SourceReader, absent, documents, mapped, unread
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.coco_json import LISTS
from seg2knet.dataset.files import load_json, parse_json
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.errors import DataError

_SPLIT = re.compile(r"(?:^|[_\-. ])(train|val|valid|validation|test)(?:\d{4})?(?=[_\-. ]|$)", re.IGNORECASE)
_OTHER = re.compile(r"^(person_keypoints|captions|labels|image_info|stuff)_")
_BACKGROUND = frozenset({"background", "bg"})


class CocoOptions(ReaderOptions):
    annotations: Literal["instances", "panoptic"] = option(
        "instances", "Which of them to read where a folder has both."
    )
    results_of: Optional[Path] = option(
        None, "COCO file with the images and categories of a results JSON [one beside it]."
    )
    crowd: Literal["auto", "keep"] = option(
        "auto", "Masks that a tool marks iscrowd one and all, as CVAT does, are objects; keep: they stay crowds."
    )


class _File(msgspec.Struct):
    """One JSON file of the source: the split that its name or folder says, classes by category id, whether its masks
    that are marked as crowds are crowds, where its images may be, the likeliest first."""

    path: Path
    split: Optional[str]
    classes: dict[Any, ClassInfo]
    panoptic: bool
    crowds: bool
    roots: list[str]


@register_reader
class CocoReader(SourceReader):
    name = "coco"
    title = "COCO instances or panoptic"
    Options = CocoOptions

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        super().__init__(source, options)
        self._files: dict[str, _File] = {}
        self._maps: dict[str, mmap.mmap] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_maps": {}}  # each process maps the files itself

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        files = documents(source, ".json")
        fits = [path for path in files[:12] if contains(path, *LISTS)]
        if not fits:
            results = [path for path in files[:12] if is_results(path) and listing(path)]
            return Evidence(0.9, (f"{results[0].name} is a list of results",)) if results else None
        reason = f'{fits[0].name} has the lists "images", "annotations" and "categories"'
        return Evidence(0.95 if len(fits) == len(files[:12]) else 0.7, (reason,))

    def scan(self) -> Scan:
        paths = self._chosen()
        classes = ClassList()
        skips: list[Skip] = []
        handles: list[Handle] = []
        meta: Optional[dict[str, Any]] = None
        others = [path for path in documents(self.source, ".json") if path not in paths and not _is_known(path)]
        notes = unread("json-not-read", others, "not COCO annotations")
        for path in paths:
            index = coco_index.Index(path, self.options.results_of)
            notes += [Note(kind, str(path), detail) for kind, detail in index.notes]
            kept = _without_background(index, path, notes)
            classes = classes.merged(ClassList(tuple({info.name: info for info in kept.values()}.values())))
            split = _split(path, self.source)
            crowds = self.options.crowd == "keep" or not index.masks_are_crowds
            if not crowds:
                detail = "all masks are marked iscrowd, so they are taken as objects; --crowd keep takes them as crowds"
                notes.append(Note("crowd-taken-as-object", str(path), detail))
            file = _File(path, split, index.categories, index.panoptic, crowds, self._roots(path, split))
            self._files[str(path)] = file
            meta = index.meta if len(paths) == 1 or meta is None or meta == index.meta else {}
            handles += _handles(index, file, notes)
            count, first = index.orphans
            if count:
                skips.append(Skip("unknown-image", f"{path}: annotation {first}", count, detail="no such image id"))
        return Scan(ordered(handles), classes, tuple(skips), tuple(notes), meta)

    def read(self, handle: Handle) -> Sample:
        if not self._files:
            self.scan()
        path, spans = handle.where
        file = self._files[path]
        record = self._json(path, spans[0][0])
        place = f"{path}: image {handle.name!r}"
        extra = {key: value for key, value in record.items() if key not in ("id", "file_name", "width", "height")}
        declared = size_of((record.get("width"), record.get("height")))
        canvas = Canvas(handle.name, place, path=self._image(file, record), declared=declared, extra=extra or None)
        annotations = []
        for _, places in spans:
            parts = np.frombuffer(places, np.int64).reshape(-1, 2).tolist() if isinstance(places, bytes) else places
            annotations += [self._json(path, part) for part in parts]
        if file.panoptic:
            folders = [file.path.with_suffix(""), file.path.parent / "masks", file.path.parent]
            segments(canvas, annotations, file.classes, list(map(str, folders)))
        else:
            instances(canvas, annotations, file.classes, self.options.boxes, file.crowds)
        return canvas.sample(handle.split)

    def _chosen(self) -> list[Path]:
        files = documents(self.source, ".json")
        if not files:
            raise absent("a COCO JSON, or a folder with some", self.source)
        if self.source.is_file():
            return files
        fits = [path for path in files if contains(path, *LISTS)]
        # One that cannot be read is refused with what is wrong with it: its images would be missing without a word.
        damaged = [path for path in files if path not in fits and _was_to_be_coco(path, self.source)]
        plain = [path for path in fits + damaged if not _OTHER.match(path.name)]
        named = {path for path in damaged if path.name.startswith("panoptic_")}  # sound ones say what they are
        panoptic = [path for path in plain if path in named or contains(path, "segments_info")]
        instances = [path for path in plain if path not in panoptic]
        chosen = (panoptic or instances) if self.options.annotations == "panoptic" else (instances or panoptic)
        chosen = chosen or [path for path in fits if not _of_whole_images(path)] or list(filter(is_results, files))
        if not chosen:
            coco_index.Index(files[0])  # says what is wrong with it
            found = f"{len(files)} JSON files of other kinds"
            raise DataError("no COCO annotation here", file=self.source, found=found)
        return chosen

    def _roots(self, path: Path, split: Optional[str]) -> list[str]:
        """Folders in which tools put the images of a file."""
        if self.options.images is not None:
            return [str(self.options.images)]
        names = ["images", "JPEGImages", "data", "img", "imgs"]
        if split:
            folders = {"val": ("val", "valid", "validation")}.get(split, (split,))
            names = [f"{name}{year}" for name in folders for year in ("2017", "2014", "")] + names
            names = [*(f"images/{name}" for name in folders for name in (f"{name}2017", name)), *names]
        default = path.stem.replace("instances_", "").replace("panoptic_", "")
        above = list(path.parents[:3])
        bases = above[:2] if path.parent.name != "annotations" else above[1::-1]
        if len(above) == 3 and above[1].name == "annotations":  # annotations/train/some.json
            bases.insert(0, above[2])
        roots = [base / name for base in bases for name in (*names, f"images/{default}", default, "")]
        return list(dict.fromkeys(str(root) for root in roots if root.is_dir()))

    def _image(self, file: _File, record: dict[str, Any]) -> Optional[str]:
        """The image's file: where tools put it, else the one of its name in the source; DataError where several are."""
        tails = list(_tails(record))
        known = (f"{root}/{tail}" for tail in tails for root in file.roots)
        return next(filter(os.path.isfile, known), None) or self.images.only(tails, file.path)

    def _json(self, path: str, span: Any) -> dict[str, Any]:
        if isinstance(span, bytes):
            return parse_json(span, path)
        if path not in self._maps:
            self._maps[path] = mapped(path)
        return parse_json(self._maps[path][slice(*span)], path)


def _handles(index: coco_index.Index, file: _File, notes: list[Note]) -> list[Handle]:
    """The images of a file; entries of one name are one image."""
    rows = grouped((_safe_name(name, file.path, notes), row) for row, name in enumerate(index.names))
    for name, count in ((name, len(same)) for name, same in rows.items() if len(same) > 1):
        detail = f"{count} entries of one image, taken as one image"
        notes.append(Note("image-listed-twice", f"{file.path}: image {name!r}", detail))
    return [Handle(name, [str(file.path), list(map(index.spans, same))], file.split) for name, same in rows.items()]


def _safe_name(name: str, path: Path, notes: list[Note]) -> str:
    """An image's name in the data set: as it is, but relative; one that leads out is refused when it is written."""
    clean, kind = name.replace("\\", "/"), "backslash-in-name"
    if clean.startswith("/") or re.match("[A-Za-z]:", clean):
        clean, kind = clean.rpartition("/")[2], "absolute-name"
    if clean != name:
        notes.append(Note(kind, f"{path}: image {name!r}", f"taken as {clean}"))
    return clean


def _without_background(found: coco_index.Index, path: Path, notes: list[Note]) -> dict[Any, ClassInfo]:
    """The categories but for placeholders that nothing uses: a background, Roboflow's parent of all classes."""
    kept = dict(found.categories)
    parents = {info.supercategory for info in kept.values()}
    for number, info in found.categories.items():
        background = info.name.strip("_ ").lower() in _BACKGROUND
        roboflow = info.supercategory == "none" and info.name in parents
        unused = not found.panoptic and number not in found.used
        if unused and (background or roboflow) and len(kept) > 1:
            del kept[number]
            what = "a background" if background else "the parent of all classes"
            notes.append(Note("category-left-out", f"{path}: category {info.name!r}", f"{what} that no object uses"))
    return kept


def _was_to_be_coco(path: Path, source: Path) -> bool:
    """Whether a file in which not all of COCO's lists are seen was to have them: it has two, or its name is COCO's or
    that of a split and it is empty, in UTF-16, or no JSON (under another name, one that speaks of those lists)."""
    if contains(path, "images", "annotations"):
        return not is_results(path)
    own = path.name.startswith(("instances_", "panoptic_"))
    if not own and _split(path, source) is None:
        return False
    try:
        found = load_json(path)
    except DataError:
        text = path.read_bytes().replace(b"\0", b"")
        return own or not text.strip() or b"images" in text or b"annotations" in text
    return (own and not found) or (isinstance(found, dict) and {"images", "annotations"} <= set(found))


def _is_known(path: Path) -> bool:
    """Whether a file is not read for a reason that needs no word: of another of COCO's tasks, or a ledger of ours."""
    return path.name == LEDGER or contains(path, *LISTS) or _OTHER.match(path.name) is not None


def _of_whole_images(path: Path) -> bool:
    """Whether annotations are captions or labels of whole images."""
    outlines = contains(path, "segmentation") or contains(path, "bbox")
    return not outlines and (contains(path, "caption") or contains(path, "category_id"))


def _split(path: Path, source: Path) -> Optional[str]:
    """The split that a file's name says, or that of a folder inside the source."""
    match = _SPLIT.search(path.stem)
    folders = path.relative_to(source).parts[-2::-1] if source.is_dir() else ()
    return canonical(match[1]) if match else next(filter(None, map(canonical, folders)), None)


def _tails(record: dict[str, Any]) -> Iterator[str]:
    """What an image may be called: its name, and where that is absolute or not found, its last parts."""
    for key in ("file_name", "path", "coco_url"):
        name = record.get(key)
        if not isinstance(name, str):
            continue
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." not in parts:
            first = max(len(parts) - 2, 0) if key == "coco_url" else 0
            for start in range(first, min(len(parts), 8)):
                yield "/".join(parts[start:])
