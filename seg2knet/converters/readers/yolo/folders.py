"""Where a YOLO data set has its images, labels and names: ``data.yaml``, darknet's ``obj.data``, or folders alone.

Rules: https://docs.ultralytics.com/datasets/segment/ and ``img2label_paths`` as documented there: the label of
``.../images/a/b.jpg`` is ``.../labels/a/b.txt``, at the last ``images`` in the path; else it stands beside the image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec

from seg2knet.converters.readers.common.lists import Splits, short_name
from seg2knet.converters.readers.common.sources import absent, read_list, relative
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.files import load_yaml, walk
from seg2knet.dataset.images import SUFFIXES, is_image
from seg2knet.dataset.sample import Note, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError

_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "class_names.txt", "names.txt")
_NOT_LABELS = frozenset((*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "notes.txt", "readme.txt"))


Listed = tuple[Optional[str], str, str, str]
"""An image: its split, its name, a longer name for where that is taken, its file."""


class Found(msgspec.Struct):
    """Images of a data set.

    Attributes:
        images: of each its split, name in the data set, file, and label file or ``None``.
        skips, notes: what is missing.
    """

    images: list[tuple[Optional[str], str, str, Optional[str]]]
    skips: list[Skip]
    notes: list[Note]


def find(source: Path, images: Optional[Path]) -> Found:
    """
    Args:
        source: a folder, or a YAML file.
        images: the folder of the images, where they are not by the labels.

    Raises:
        DataError: nothing is there, or the YAML names what is not there.
    """
    config = config_file(source)
    if config is None and not source.is_dir():
        raise absent("a folder with data.yaml, or with images/ and labels/", source)
    found = _Configured(config).find() if config is not None else _Folder(source, images).find()
    if not found.images:
        raise absent("images, and labels of the same names", source)
    if not any(label for *_, label in found.images):
        raise DataError(
            "none of the images has a label file",
            file=source,
            found=f"{len(found.images)} images, as {found.images[0][2]}",
            expected=label_path(found.images[0][2]),
        )
    return found


def names(source: Path) -> Optional[dict[int, str]]:
    """Of the classes, by number; ``None`` where nothing says them.

    Raises:
        DataError: what says them cannot be read.
    """
    config = config_file(source)
    return _Configured(config).names() if config is not None else _Folder(source, None).names()


def config_file(source: Path) -> Optional[Path]:
    """The YAML file, or darknet's ``obj.data``, that describes a data set."""
    if source.is_file():
        return source if source.suffix.lower() in (".yaml", ".yml", ".data") else None
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (source / name).is_file():
            return source / name
    others: list[Path] = []
    for pattern in ("*.y*ml", "*/*.y*ml"):
        others = others or [path for path in sorted(source.glob(pattern)) if path.is_file() and _describes(path)]
    if len(others) > 1:
        raise DataError(
            "several files describe data sets",
            file=source,
            found=", ".join(path.name for path in others),
            hint=f"name the one that is meant: seg2knet convert yolo {others[0]}",
        )
    return others[0] if others else next(iter(sorted(source.glob("obj.data"))), None)


def _describes(path: Path) -> bool:
    try:
        document = load_yaml(path)
    except DataError:
        return False
    return isinstance(document, Mapping) and "names" in document and not _KEYS.keys().isdisjoint(document)


def label_path(image: str) -> str:
    """Where the label of an image belongs."""
    path = image.replace(os.sep, "/")
    head, images, tail = path.rpartition("/images/")
    if not images:
        match = re.match("(.*)/images/(.*)$", path, re.IGNORECASE | re.DOTALL)
        if match:
            head, images, tail = match[1], "Images", match[2]
    if images:
        folder = "labels" if images != "Images" or os.path.isdir(f"{head}/labels") else "Labels"
        return f"{head}/{folder}/{os.path.splitext(tail)[0]}.txt"
    return f"{os.path.splitext(path)[0]}.txt"


def label_of(image: str) -> Optional[str]:
    """The label file of an image where there is one; beside it, if not where it belongs."""
    for path in (label_path(image), os.path.splitext(image)[0] + ".txt"):
        if os.path.isfile(path):
            return path
    return None


class _Configured:
    """A data set that a file describes."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.home = config.absolute().parent
        document = _darknet(config) if config.suffix == ".data" else load_yaml(config)
        if not isinstance(document, Mapping):
            raise DataError(
                "not a YOLO data set", file=config, found=type(document).__name__, expected="train:, val:, names:"
            )
        self.document = document
        self.root = self._root()
        self.notes: list[Note] = []

    def find(self) -> Found:
        if "kpt_shape" in self.document:
            raise DataError(
                "a YOLO pose data set: keypoints, which have no outline", file=self.config, place="kpt_shape",
                expected="a segmentation data set", hint="export the segmentation labels of the same images",
            )  # fmt: skip
        images: list[Listed] = []
        folders: set[str] = set()
        for key, split in _KEYS.items():
            for value in self._values(key):
                images += self._images(key, split, value, folders)
        if not any(self._values(key) for key in _KEYS):
            raise DataError(
                "no split", file=self.config, found=", ".join(map(str, self.document)), expected="train: and val:"
            )
        labelled = _labelled(dict.fromkeys(images), label_of)
        used = {label for *_, label in labelled if label}
        notes = [*self.notes, *_unlisted(self.root, folders, used)]
        return Found(labelled, _loose(folders, used), notes)

    def _root(self) -> Path:
        """``path`` of the YAML: absolute, relative to the file, or stale, and then the file's own folder."""
        said = self.document.get("path")
        if isinstance(said, str) and said.strip():
            for base in (Path(said).expanduser(), self.home / said):
                if base.is_dir() and (base.is_absolute() or base != Path(said)):
                    return base
        return self.home

    def _values(self, key: str) -> list[str]:
        value = self.document.get(key)
        values = value if isinstance(value, list) else [value]
        wrong = [each for each in values if each is not None and not isinstance(each, str)]
        if wrong:
            raise DataError(
                "not a path", file=self.config, place=key, found=repr(wrong[0])[:100], expected="a folder or a list"
            )
        return [each for each in values if each]

    def _images(self, key: str, split: str, value: str, folders: set[str]) -> list[Listed]:
        """The images of a folder, which is added to ``folders``, of a list, or of one line of an inline list."""
        place = self._resolve(value, key)
        if place is None:
            if split == "test":
                self.notes.append(Note("split-not-there", str(self.config), f"{key}: {value}"))
                return []
            raise DataError(
                "a split that is not there",
                file=self.config,
                place=key,
                found=f"{key}: {value}",
                expected=f"a folder or list in {self.root}",
                hint="correct the YAML, or copy it into the data set's folder",
            )
        root = str(self.root)
        if os.path.isdir(place):
            folders.add(place)
            paths = sorted(walk(place, SUFFIXES), key=natural)
            return [(split, relative(path, place), _inside(path, root), path) for path in paths]
        if is_image(place):
            return [(split, _listed_name(place, root), _inside(place, root), place)]
        found: list[Listed] = []
        for line in filter(is_image, read_list(place)):
            base = os.path.dirname(place) if line.startswith("./") else root
            tries = _tails(line, [base, os.path.dirname(place)])
            path = next((path for path in tries if os.path.isfile(path)), os.path.join(base, line))
            found.append((split, _listed_name(path, root), _inside(path, root), path))
        return found

    def _resolve(self, value: str, key: str) -> Optional[str]:
        """A path of the YAML: as it says, below the root, or, where both are stale, by its end."""
        for path in _tails(value, [str(self.root), str(self.home)]):
            if os.path.exists(path):
                return os.path.normpath(path)
        # Roboflow writes ../valid/images whatever the folder is called.
        parts = value.replace("\\", "/").split("/")
        for entry in sorted(os.scandir(self.home), key=lambda each: each.name):
            if entry.is_dir() and canonical(entry.name) == _KEYS[key]:
                swapped = [entry.name if canonical(part) == _KEYS[key] else part for part in parts]
                for path in _tails("/".join(swapped), [str(self.home)]):
                    if os.path.exists(path):
                        return os.path.normpath(path)
        return None

    def names(self) -> Optional[dict[int, str]]:
        names = self.document.get("names")
        if isinstance(names, str):
            listed = next((path for path in _tails(names, [str(self.home)]) if os.path.isfile(path)), None)
            names = read_list(listed) if listed else None
        if names is None:
            path = next((self.root / name for name in _NAME_FILES if (self.root / name).is_file()), None)
            names = read_list(path) if path else None
        if names is None and type(self.document.get("nc")) is int:
            return {number: str(number) for number in range(min(self.document["nc"], 100_000))}
        return _numbered(names, self.config) if names is not None else None


class _Folder:
    """A data set without a file that describes it."""

    def __init__(self, source: Path, images: Optional[Path]) -> None:
        self.source = source
        self.images = images

    def find(self) -> Found:
        root = str(self.images or self.source)
        splits = Splits.find(self.source, ("",))
        paths = [(path, relative(path, root)) for path in sorted(walk(root, SUFFIXES), key=natural)]
        chosen = [splits.of(name) for _, name in paths]
        if None in chosen and not splits:
            chosen = [None] * len(paths)
        images = [(split, short_name(name), name, path) for split, (path, name) in zip(chosen, paths)]
        labelled = _labelled(images, self._label)
        used = {label for *_, label in labelled if label}
        return Found(labelled, _loose({str(self.source)}, used), [])

    def _label(self, path: str) -> Optional[str]:
        if self.images is not None:
            stem = os.path.splitext(relative(path, str(self.images)))[0]
            beside = [str(self.source / f"{stem}.txt"), str(self.source / "labels" / f"{stem}.txt")]
            label = next((label for label in beside if os.path.isfile(label)), None)
            if label is not None:
                return label
        return label_of(path)

    def names(self) -> Optional[dict[int, str]]:
        for folder in (self.source, self.source / "labels", self.source.absolute().parent):
            for name in _NAME_FILES:
                if (folder / name).is_file():
                    return _numbered(read_list(folder / name), folder / name)
        return None


def _labelled(
    images: Iterable[Listed], label: Callable[[str], Optional[str]]
) -> list[tuple[Optional[str], str, str, Optional[str]]]:
    """Images with their labels; named by the longer name where two files would have one name."""
    owners: dict[tuple[Optional[str], str], set[str]] = {}
    for split, short, _, path in images:
        owners.setdefault((split, short), set()).add(path)
    return [
        (split, short if len(owners[split, short]) == 1 else long, path, label(path))
        for split, short, long, path in images
    ]


def _listed_name(path: str, root: str) -> str:
    """A listed image's name: what follows the last ``images``, without the split's folder."""
    tail = path.replace(os.sep, "/").rpartition("/images/")[2] if "/images/" in path else _inside(path, root)
    return short_name(tail)


def _inside(path: str, root: str) -> str:
    name = relative(path, root)
    return name if not name.startswith("../") else os.path.basename(path)


def _tails(value: str, bases: Iterable[str]) -> Iterable[str]:
    """A path as it stands, below each base, and below each base without its first folders, one after another."""
    clean = os.path.expanduser(value.strip().replace("\\", "/"))
    if os.path.isabs(clean):
        yield clean
    else:
        for base in bases:
            yield os.path.join(base, clean)
    parts = [part for part in clean.split("/") if part not in ("", ".", "..")]
    for base in bases:
        for start in range(len(parts)):
            yield os.path.join(base, *parts[start:])


def _darknet(path: Path) -> dict[str, Any]:
    """``obj.data``: ``key = value`` a line."""
    pairs = (line.partition("=") for line in read_list(path))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _numbered(names: Any, path: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, ValueError, TypeError, OverflowError):
        raise DataError("names of classes that are none", file=path, place="names", found=repr(names)[:100]) from None
    if any(not name.strip() for name in numbered.values()) or any(number < 0 for number in numbered):
        raise DataError("a class without a name or with a negative number", file=path, place="names")
    return numbered


def _loose(folders: Iterable[str], used: set[str]) -> list[Skip]:
    """Label files that belong to no image."""
    loose: set[str] = set()
    for folder in folders:
        labels = label_path(os.path.join(folder, "x"))[: -len("/x.txt")]
        loose |= _label_files(labels if os.path.isdir(labels) else folder)
    loose -= {os.path.normpath(path) for path in used}
    return [Skip("label-without-image", path) for path in sorted(loose, key=natural)]


def _unlisted(root: Path, folders: set[str], used: set[str]) -> list[Note]:
    """Folders of labels whose images the YAML does not list."""
    listed = {os.path.dirname(os.path.normpath(path)) for path in used}
    listed |= {os.path.normpath(label_path(os.path.join(folder, "x"))[: -len("/x.txt")]) for folder in folders}
    inner = sorted(str(path) for path in (root / "labels").iterdir() if path.is_dir()) if _has_labels(root) else []
    counts = {folder: len(_label_files(folder)) for folder in map(os.path.normpath, inner) if folder not in listed}
    detail = "label files in a folder that the YAML does not list are not read"
    return [Note("labels-not-listed", folder, detail, count) for folder, count in counts.items() if count]


def _has_labels(root: Path) -> bool:
    return (root / "labels").is_dir()


def _label_files(folder: str) -> set[str]:
    paths = walk(folder, (".txt",))
    return {os.path.normpath(path) for path in paths if os.path.basename(path).lower() not in _NOT_LABELS}
