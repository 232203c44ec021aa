"""Where a YOLO data set has its pictures, labels and names: ``data.yaml``, darknet's ``obj.data``, or folders alone.

Rules: https://docs.ultralytics.com/datasets/segment/ and ``img2label_paths`` as documented there: the label of
``.../images/a/b.jpg`` is ``.../labels/a/b.txt``, at the last ``images`` in the path; else it stands beside the picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common.lists import Splits, short_name
from seg2knet.converters.readers.common.sources import absent, load_yaml, read_list, relative
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import SUFFIXES, is_image
from seg2knet.dataset.sample import Note, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError

_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "class_names.txt", "names.txt")
_NOT_LABELS = frozenset((*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "notes.txt", "readme.txt"))


class Found(msgspec.Struct):
    """Pictures of a data set.

    Attributes:
        pictures: by split, the name in the data set, the picture, its label file or ``None``.
        skips, notes: what is missing.
    """

    pictures: list[tuple[Optional[str], str, str, Optional[str]]]
    skips: list[Skip]
    notes: list[Note]


def find(source: Path, pictures: Optional[Path]) -> Found:
    """
    Args:
        source: a folder, or a YAML file.
        pictures: the folder of the pictures, where they are not by the labels.

    Raises:
        DataError: nothing is there, or the YAML says what is not there.
    """
    config = config_file(source)
    if config is not None:
        found = _Configured(config).find()
    elif source.is_dir():
        found = _Folder(source, pictures).find()
    else:
        raise absent("a folder with data.yaml, or with images/ and labels/", source)
    if not found.pictures:
        raise absent("pictures, and labels of the same names", source)
    if not any(label for *_, label in found.pictures):
        raise DataError(
            "none of the pictures has a label file",
            file=source,
            found=f"{len(found.pictures)} pictures, as {found.pictures[0][2]}",
            expected=label_path(found.pictures[0][2]),
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


def label_path(picture: str) -> str:
    """Where the label of a picture belongs."""
    path = picture.replace(os.sep, "/")
    head, images, tail = path.rpartition("/images/")
    if not images:
        match = re.match("(.*)/images/(.*)$", path, re.IGNORECASE | re.DOTALL)
        if match:
            head, images, tail = match[1], "Images", match[2]
    if images:
        folder = "labels" if images != "Images" or os.path.isdir(f"{head}/labels") else "Labels"
        return f"{head}/{folder}/{os.path.splitext(tail)[0]}.txt"
    return f"{os.path.splitext(path)[0]}.txt"


def label_of(picture: str) -> Optional[str]:
    """The label file of a picture where there is one; beside it, if not where it belongs."""
    for path in (label_path(picture), os.path.splitext(picture)[0] + ".txt"):
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
        folders: list[tuple[str, str, list[str]]] = []
        for key, split in _KEYS.items():
            for value in self._values(key):
                folders.append((split, *self._pictures(key, value)))
        if not folders:
            raise DataError(
                "no split", file=self.config, found=", ".join(map(str, self.document)), expected="train: and val:"
            )
        pictures: list[tuple[Optional[str], str, str, Optional[str]]] = []
        seen: set[tuple[str, str]] = set()
        names = _unique(folders, str(self.root))
        for (split, _, paths), short in zip(folders, names):
            for path, name in zip(paths, short):
                if (split, path) not in seen:
                    seen.add((split, path))
                    pictures.append((split, name, path, label_of(path)))
        labels = {label for *_, label in pictures if label}
        skips = _loose({base for _, base, _ in folders if base}, labels)
        return Found(pictures, skips, self.notes)

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

    def _pictures(self, key: str, value: str) -> tuple[str, list[str]]:
        """The folder that names are relative to (empty for a list), and the pictures."""
        place = self._resolve(value, key)
        if place is None:
            if _KEYS[key] == "test":
                self.notes.append(Note("split-not-there", str(self.config), f"{key}: {value}"))
                return "", []
            raise DataError(
                "a split that is not there",
                file=self.config,
                place=key,
                found=f"{key}: {value}",
                expected=f"a folder or list in {self.root}",
                hint="correct the YAML, or copy it into the data set's folder",
            )
        if os.path.isdir(place):
            return place, sorted(walk(place, SUFFIXES), key=natural)
        paths = []
        for line in read_list(place):
            base = os.path.dirname(place) if line.startswith("./") else str(self.root)
            found = next((path for path in _tails(line, [base, os.path.dirname(place)]) if os.path.isfile(path)), None)
            if is_image(line):
                paths.append(found or os.path.join(base, line))
        return "", paths

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

    def __init__(self, source: Path, pictures: Optional[Path]) -> None:
        self.source = source
        self.pictures = pictures

    def find(self) -> Found:
        root = str(self.pictures or self.source)
        splits = Splits.find(self.source, ("",))
        paths = sorted(walk(root, SUFFIXES), key=natural)
        kept = [(path, relative(path, root)) for path in paths]
        chosen = [splits.of(name) for _, name in kept]
        if None in chosen and not splits:
            chosen = [None] * len(kept)
        short = [short_name(name) for _, name in kept]
        taken: dict[tuple[Optional[str], str], int] = {}
        for key in zip(chosen, short):
            taken[key] = taken.get(key, 0) + 1
        pictures = [
            (split, tail if taken[split, tail] == 1 else name, path, self._label(path, name))
            for split, tail, (path, name) in zip(chosen, short, kept)
        ]
        labels = {label for *_, label in pictures if label}
        return Found(pictures, _loose({str(self.source)}, labels), [])

    def _label(self, path: str, name: str) -> Optional[str]:
        if self.pictures is None:
            return label_of(path)
        stem = os.path.splitext(name)[0]
        beside = [str(self.source / f"{stem}.txt"), str(self.source / "labels" / f"{stem}.txt")]
        return next((label for label in beside if os.path.isfile(label)), None) or label_of(path)

    def names(self) -> Optional[dict[int, str]]:
        for folder in (self.source, self.source / "labels", self.source.absolute().parent):
            for name in _NAME_FILES:
                if (folder / name).is_file():
                    return _numbered(read_list(folder / name), folder / name)
        return None


def _unique(folders: Iterable[tuple[str, str, list[str]]], root: str) -> list[list[str]]:
    """Names of the pictures of each folder: relative to it; relative to ``root`` where two would be called the same."""
    short = [
        [relative(path, base) if base else _listed_name(path, root) for path in paths] for _, base, paths in folders
    ]
    counts: dict[tuple[str, str], set[str]] = {}
    for (split, _, paths), names in zip(folders, short):
        for path, name in zip(paths, names):
            counts.setdefault((split, name), set()).add(path)
    return [
        [name if len(counts[split, name]) == 1 else _inside(path, root) for path, name in zip(paths, names)]
        for (split, _, paths), names in zip(folders, short)
    ]


def _listed_name(path: str, root: str) -> str:
    """A listed picture's name: what follows the last ``images``, without the split's folder."""
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
    """Label files that belong to no picture."""
    loose = set()
    for folder in folders:
        labels = label_path(os.path.join(folder, "x"))[: -len("/x.txt")]
        place = labels if os.path.isdir(labels) else folder
        for path in walk(place, (".txt",)):
            if os.path.basename(path).lower() not in _NOT_LABELS:
                loose.add(os.path.normpath(path))
    loose -= {os.path.normpath(path) for path in used}
    return [Skip("label-without-picture", path) for path in sorted(loose, key=natural)]
