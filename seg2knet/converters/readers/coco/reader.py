"""COCO (https://cocodataset.org/#format-data): instances and panoptic, and the ways in which tools export it.

A source is a JSON file, or a folder with some: ``annotations/instances_train2017.json``, Roboflow's
``train/_annotations.coco.json``, CVAT's ``annotations/instances_default.json``, or any other name. Polygons and
run-length codes pass through as they are, number for number.
"""

from __future__ import annotations

import mmap
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import msgspec
import numpy as np
from pydantic import Field
from typing_extensions import Literal

from seg2knet.converters.base import Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.readers.coco import index as coco_index
from seg2knet.converters.readers.coco.shapes import Annotations, Segments, segments
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting.names import safe
from seg2knet.converters.splitting.packed import Packed
from seg2knet.converters.splitting.splits import canonical
from seg2knet.converters.upright import fit, settle
from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import parse_json, picture_header, walk
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.sample import Image, Note, Sample, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError

_SPLIT = re.compile(r"(?:^|[_\-. ])(train|val|valid|validation|test)(?:\d{4})?(?=[_\-. ]|$)", re.IGNORECASE)
_OTHER = re.compile(r"^(person_keypoints|captions|labels|image_info|stuff)_")
_PIECE = 1 << 20
_BACKGROUND = frozenset({"background", "bg"})


class CocoOptions(ReaderOptions):
    """COCO's own options."""

    annotations: Literal["instances", "panoptic"] = Field(
        "instances", description="Which of them to read where a folder has both."
    )


class _File(msgspec.Struct):
    """One JSON file of the source.

    Attributes:
        path: the file.
        split: what its name or folder says.
        classes: category id to class.
        panoptic: its kind; then ``masks`` is the folder of its PNGs.
        roots: where its pictures may be, the likeliest first.
    """

    path: Path
    split: Optional[str]
    classes: dict[Any, ClassInfo]
    panoptic: bool
    roots: list[str]


@register_reader
class CocoReader(Reader):
    name = "coco"
    title = "COCO instances or panoptic"
    Options = CocoOptions

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        super().__init__(source, options)
        self._files: dict[str, _File] = {}
        self._maps: dict[str, mmap.mmap] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # each process maps the files itself

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        files = _json_files(source)
        fits = [path for path in files[:12] if _looks_right(path)]
        if not fits:
            return None
        reason = f'{fits[0].name} has the lists "images", "annotations" and "categories"'
        return Evidence(0.95 if len(fits) == len(files[:12]) else 0.7, (reason,))

    def scan(self) -> Scan:
        paths = self._chosen()
        classes = ClassList()
        skips: list[Skip] = []
        notes: list[Note] = []
        listing = _Listing()
        meta: Optional[dict[str, Any]] = None
        for path in paths:
            found = coco_index.index(path)
            kept = _without_background(found, path, notes)
            classes = classes.merged(ClassList(tuple({info.name: info for info in kept.values()}.values())))
            split = _split(path, self.source)
            file = _File(path, split, found.categories, found.panoptic, self._roots(path, split, found.names[:3]))
            self._files[str(path)] = file
            meta = found.meta if len(paths) == 1 or meta is None or meta == found.meta else {}
            listing.add(found, file, notes)
            count, first = found.orphans
            if count:
                skips.append(Skip("unknown-image", f"{path}: annotation {first}", count, detail="no such image id"))
        return Scan(Packed(Handle, listing.handles()), classes, tuple(skips), tuple(notes), meta)

    def read(self, handle: Handle) -> Sample:
        if not self._files:
            self.scan()
        path, spans = handle.where
        file = self._files[path]
        records = [self._json(path, start, end) for start, end, _ in spans]
        record = records[0]
        picture = self._picture(file, record)
        declared = _declared(record)
        annotations = [self._json(path, begin, end) for *_, places in spans for begin, end in _pairs(places)]
        if picture is None and declared is None:
            raise self._sizeless(file, handle, annotations)
        header = picture_header(picture) if picture is not None else images.Header(*(declared or (0, 0)))
        size = fit(declared, header)
        width, height = declared or (size.width, size.height)
        if file.panoptic:
            read: Union[Segments, Annotations] = segments(
                annotations, file.classes, self._masks(file), width, height, f"{path}: {handle.name}"
            )
        else:
            instances = Annotations(file.classes, self.options.boxes, width, height, path)
            instances.read(annotations)
            read = instances
        objects, skips, notes = settle(size, header, read.objects, f"{path}: image {handle.name!r}")
        image = Image(handle.name, size.width, size.height, picture, header.orientation, extra=_extra(record))
        return Sample(image, objects, handle.split, (*read.skips, *skips), (*read.notes, *notes))

    def _sizeless(self, file: _File, handle: Handle, annotations: list[dict[str, Any]]) -> DataError:
        """What to say where nothing tells an image's size; and what else is wrong with its annotations."""
        read = Annotations(file.classes, self.options.boxes, 1, 1, file.path)
        if not file.panoptic:
            read.read(annotations)
        wrong = [f"{skip.place.rpartition(': ')[2]}: {skip.reason}, {skip.detail}" for skip in read.skips[:1]]
        return DataError(
            "neither the picture nor its size is to be found",
            file=file.path,
            place=f"image {handle.name!r}",
            found="; ".join(['no "width" and "height"', *wrong]),
            hint="name the pictures' folder with --images-dir",
        )

    def _chosen(self) -> list[Path]:
        """The files that are to be read."""
        files = _json_files(self.source)
        if not files:
            expected = "a COCO JSON, or a folder with some"
            raise DataError("no COCO annotation here", file=self.source, found="no .json file", expected=expected)
        if self.source.is_file():
            return files
        fits = [path for path in files if _looks_right(path)]
        plain = [path for path in fits if not _OTHER.match(path.name)]
        panoptic = [path for path in plain if _is_panoptic(path)]
        instances = [path for path in plain if path not in panoptic]
        chosen = (panoptic or instances) if self.options.annotations == "panoptic" else (instances or panoptic)
        chosen = chosen or [path for path in fits if not path.name.startswith(("captions_", "labels_"))]
        if chosen:
            return chosen
        coco_index.index(files[0])  # says what is wrong with it
        raise DataError("no COCO annotation here", file=self.source, found=f"{len(files)} JSON files of other kinds")

    def _roots(self, path: Path, split: Optional[str], wanted: Sequence[str]) -> list[str]:
        """Folders in which a file's pictures may be: by the layouts that tools write, else wherever ``wanted`` are."""
        if self.options.images is not None:
            return [str(self.options.images)]
        names = ["images", "JPEGImages", "data", "img", "imgs"]
        if split:
            folders = {"val": ("val", "valid", "validation")}.get(split, (split,))
            names = [f"{name}{year}" for name in folders for year in ("2017", "2014", "")] + names
            names = [*(f"images/{name}" for name in folders for name in (f"{name}2017", name)), *names]
        default = path.stem.replace("instances_", "").replace("panoptic_", "")
        bases = [path.parent] if path.parent.name != "annotations" else [path.parent.parent, path.parent]
        bases += [path.parent.parent] if path.parent.name != "annotations" else []
        roots = [base / name for base in bases for name in (*names, f"images/{default}", default, "")]
        found = list(dict.fromkeys(str(root) for root in roots if root.is_dir()))
        if any(os.path.isfile(f"{root}/{tail}") for name in wanted for tail in _tails(name) for root in found):
            return found
        tails = {tail.rpartition("/")[2] for name in wanted for tail in _tails(name)[-1:]}
        base = self.source if self.source.is_dir() else path.parent
        pictures = sorted(path for path in walk(base, images.SUFFIXES) if os.path.basename(path) in tails)
        return list(dict.fromkeys([*(os.path.dirname(each) for each in pictures), *found]))

    def _picture(self, file: _File, record: dict[str, Any]) -> Optional[str]:
        """The picture's file; the folder that has it is tried first for the next one."""
        for key in ("file_name", "path"):
            name = record.get(key)
            if not isinstance(name, str) or not name:
                continue
            for tail in _tails(name):
                for index, root in enumerate(file.roots):
                    candidate = f"{root}/{tail}"
                    if os.path.isfile(candidate):
                        if index:
                            file.roots.insert(0, file.roots.pop(index))
                        return os.path.abspath(candidate)
        return None

    def _masks(self, file: _File) -> list[str]:
        folder = file.path.with_suffix("")
        return [str(folder), *(str(path) for path in (file.path.parent / "masks", file.path.parent) if path.is_dir())]

    def _json(self, path: str, start: int, end: int) -> dict[str, Any]:
        if path not in self._maps:
            with open(path, "rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return parse_json(self._maps[path][start:end], path)


class _Listing:
    """The images of all files; entries of one name in a file are one image."""

    def __init__(self) -> None:
        self._keys: list[str] = []  # of each image, what it is sorted by
        self._rows: list[int] = []  # its first entry in its file
        self._files: list[tuple[int, _File, coco_index.Index, dict[int, list[int]]]] = []

    def add(self, found: coco_index.Index, file: _File, notes: list[Note]) -> None:
        """Take in a file."""
        order = {"train": 0, "val": 1, "test": 2, None: 3}[file.split]
        firsts: dict[str, int] = {}
        others: dict[int, list[int]] = {}  # first entry -> the others of its name
        for row, name in enumerate(found.names):
            name = found.names[row] = _safe_name(name, file.path, notes)
            first = firsts.setdefault(name, row)
            if first == row:
                self._keys.append(f"{order}{natural(name)}")
                self._rows.append(row)
            else:
                others.setdefault(first, []).append(row)
        for first, rows in others.items():
            detail = f"{len(rows) + 1} entries of one picture, taken as one image"
            notes.append(Note("image-listed-twice", f"{file.path}: image {found.names[first]!r}", detail))
        self._files.append((len(self._keys), file, found, others))

    def handles(self) -> Iterator[Handle]:
        """All images, split by split, each in natural order."""
        ends = [end for end, *_ in self._files]
        for place in sorted(range(len(self._keys)), key=self._keys.__getitem__):
            _, file, found, others = self._files[bisect_right(ends, place)]
            row = self._rows[place]
            spans = [found.span(each) for each in (row, *others.get(row, ()))]
            yield Handle(found.names[row], (str(file.path), spans), file.split)


def _safe_name(name: str, path: Path, notes: list[Note]) -> str:
    """A picture's name in the data set: as it is, but relative.

    Raises:
        DataError: it leads out of the folder.
    """
    clean = name.replace("\\", "/")
    if clean.startswith("/") or re.match("[A-Za-z]:", clean):
        clean = clean.rpartition("/")[2]
        notes.append(Note("absolute-name", f"{path}: image {name!r}", f"taken as {clean}"))
    elif clean != name:
        notes.append(Note("backslash-in-name", f"{path}: image {name!r}", f"taken as {clean}"))
    try:
        return safe(clean)
    except DataError as error:
        raise DataError(
            error.message, file=path, place="/images", found=error.found, expected=error.expected, hint=error.hint
        ) from None


def _without_background(found: coco_index.Index, path: Path, notes: list[Note]) -> dict[Any, ClassInfo]:
    """The categories but for placeholders that nothing uses: a background, Roboflow's parent of all classes."""
    kept = dict(found.categories)
    if found.panoptic:
        return kept
    parents = {info.supercategory for info in kept.values()}
    for number, info in found.categories.items():
        background = info.name.strip("_ ").lower() in _BACKGROUND
        roboflow = info.supercategory == "none" and info.name in parents
        if number not in found.used and (background or roboflow) and len(kept) > 1:
            del kept[number]
            what = "a background" if background else "the parent of all classes"
            notes.append(Note("category-left-out", f"{path}: category {info.name!r}", f"{what} that no object uses"))
    return kept


def _json_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        return []
    found = walk(source, (".json",))
    return sorted(
        (Path(path) for path in found if Path(path).name != LEDGER), key=lambda path: natural(path.as_posix())
    )


def _contains(path: Path, *words: bytes) -> bool:
    """Whether each word stands in the file as a text of its own; a piece of the file is held at a time."""
    missing = {b'"%b"' % word for word in words}
    longest = max(map(len, missing))
    text = b""
    try:
        with open(path, "rb", buffering=0) as file:
            while missing and (piece := file.read(_PIECE)):
                text = text[-longest:] + piece
                missing = {word for word in missing if word not in text}
    except OSError:
        return False
    return not missing


def _looks_right(path: Path) -> bool:
    return _contains(path, b"images", b"annotations", b"categories")


def _is_panoptic(path: Path) -> bool:
    return _contains(path, b"segments_info")


def _split(path: Path, source: Path) -> Optional[str]:
    """The split that a file's name says, or that of a folder inside the source."""
    match = _SPLIT.search(path.stem)
    if match:
        return canonical(match.group(1))
    if source.is_dir():
        for folder in reversed(path.relative_to(source).parts[:-1]):
            if canonical(folder):
                return canonical(folder)
    return None


def _tails(name: str) -> Sequence[str]:
    """A name, and where it is absolute or not to be found, its last parts."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return ()
    return ["/".join(parts[start:]) for start in range(min(len(parts), 8))]


def _declared(record: dict[str, Any]) -> Optional[tuple[int, int]]:
    width, height = record.get("width"), record.get("height")
    if isinstance(width, (int, float)) and isinstance(height, (int, float)) and width >= 1 and height >= 1:
        return int(width), int(height)
    return None


def _extra(record: dict[str, Any]) -> Optional[dict[str, Any]]:
    extra = {key: value for key, value in record.items() if key not in ("id", "file_name", "width", "height")}
    return extra or None


def _pairs(places: bytes) -> list[list[int]]:
    return np.frombuffer(places, np.int64).reshape(-1, 2).tolist()
