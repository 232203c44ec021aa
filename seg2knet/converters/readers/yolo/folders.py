"""Where a YOLO data set has its images, labels and names: ``data.yaml``, darknet's ``obj.data``, or folders alone.

Rules: https://docs.ultralytics.com/datasets/segment/ and ``img2label_paths`` as documented there: the label of
``.../images/a/b.jpg`` is ``.../labels/a/b.txt``, at the last ``images`` in the path; else it stands beside the image.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import Handle
from seg2knet.converters.readers.common.lists import Splits, short_name
from seg2knet.converters.readers.common.sources import absent, read_list, relative
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.files import load_yaml, walk
from seg2knet.dataset.images import SUFFIXES, is_image
from seg2knet.dataset.sample import Note, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError

_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "class_names.txt", "names.txt")
_NOT_LABELS = frozenset((*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "notes.txt", "readme.txt"))

Listed = tuple[Optional[str], str, str, str]
"""An image: its split, its name, a longer name for where that is taken, its file."""


class YoloFolder:
    """A data set as its files describe it; ``source`` is a folder, or a YAML file, ``images`` the folder of the images,
    where they are not by the labels. DataError where the YAML cannot be read, or there are several."""

    def __init__(self, source: Path, images: Optional[Path]) -> None:
        self.source = source
        self.images = images
        self.skips: list[Skip] = []
        self.notes: list[Note] = []
        self.config = _config_file(source)
        self.document: Mapping[str, Any] = {}
        self.home = source if self.config is None else self.config.absolute().parent
        if self.config is not None and self.config.suffix == ".data":  # darknet's: ``key = value`` a line
            pairs = (line.partition("=") for line in read_list(self.config))
            self.document = {key.strip(): value.strip() for key, equals, value in pairs if equals}
        elif self.config is not None:
            self.document = load_yaml(self.config)
        if not isinstance(self.document, Mapping):
            found, expected = type(self.document).__name__, "train:, val:, names:"
            raise DataError("not a YOLO data set", file=self.config, found=found, expected=expected)
        self.root = self._root()

    def handles(self) -> list[Handle]:
        """The images, each with its file and label file or ``None``; what is missing is in ``skips`` and ``notes``.
        DataError where nothing is there, or the YAML names what is not there."""
        if self.config is None and not self.source.is_dir():
            raise absent("a folder with data.yaml, or with images/ and labels/", self.source)
        folders: set[str] = set()
        listed = list(dict.fromkeys(self._configured(folders) if self.config is not None else self._plain(folders)))
        if not listed:
            raise absent("images, and labels of the same names", self.source)
        owners = Counter(image[:2] for image in {(split, short, path) for split, short, _, path in listed})
        labels = {path: self._label(path) for *_, path in listed}
        used = {os.path.normpath(label) for label in labels.values() if label}
        if not used:
            found, expected = f"{len(listed)} images, as {listed[0][3]}", label_path(listed[0][3])
            raise DataError("none of the images has a label file", file=self.source, found=found, expected=expected)
        loose = {path for folder in folders for path in _label_files(_labels_of(folder) or folder)} - used
        self.skips += [Skip("label-without-image", path) for path in sorted(loose, key=natural)]
        if self.config is not None:
            known = {os.path.dirname(path) for path in used} | set(map(_labels_of, folders))
            inside = sorted(str(path) for path in (self.root / "labels").glob("*") if path.is_dir())
            detail = "label files in a folder that the YAML does not list are not read"
            unknown = (folder for folder in inside if os.path.normpath(folder) not in known)
            counts = ((folder, len(_label_files(folder))) for folder in unknown)
            self.notes += [Note("labels-not-listed", folder, detail, count) for folder, count in counts if count]
        return [
            Handle(short if owners[split, short] == 1 else long, [path, labels[path]], split)
            for split, short, long, path in listed
        ]

    def names(self) -> Optional[dict[int, str]]:
        """Of the classes, by number; ``None`` where nothing says them."""
        names, file = self.document.get("names"), self.config
        files = list(map(Path, _tails(names, [str(self.home)]))) if isinstance(names, str) else []
        if names is None or files:
            plain = [self.source, self.source / "labels", self.source.absolute().parent]
            files += [folder / name for folder in ([self.root] if self.config else plain) for name in _NAME_FILES]
            file = next(filter(os.path.isfile, files), None)
            names = read_list(file) if file else None
        if names is None and type(self.document.get("nc")) is int:
            return {number: str(number) for number in range(min(self.document["nc"], 100_000))}
        return _numbered(names, file) if names is not None else None

    def _root(self) -> Path:
        """``path`` of the YAML: absolute, relative to the file, or stale, and then the file's own folder."""
        path = self.document.get("path")
        said = path if isinstance(path, str) and path.strip() else "."
        base = self.home / Path(said).expanduser()
        return base if base.is_dir() else self.home

    def _configured(self, folders: set[str]) -> Iterable[Listed]:
        """The images that the YAML names; folders of them are added to ``folders``."""
        if "kpt_shape" in self.document:
            raise DataError(
                "a YOLO pose data set: keypoints, which have no outline", file=self.config, place="kpt_shape",
                expected="a segmentation data set", hint="export the segmentation labels of the same images",
            )  # fmt: skip
        values = {key: self.document.get(key) or [] for key in _KEYS}
        if not any(values.values()):
            found = ", ".join(map(str, self.document))
            raise DataError("no split", file=self.config, found=found, expected="train: and val:")
        for key, split in _KEYS.items():
            for value in values[key] if isinstance(values[key], list) else [values[key]]:
                if value is not None and not isinstance(value, str):
                    found, expected = repr(value)[:100], "a folder or a list"
                    raise DataError("not a path", file=self.config, place=key, found=found, expected=expected)
                if value:
                    yield from self._listed(key, split, value, folders)

    def _listed(self, key: str, split: str, value: str, folders: set[str]) -> Iterable[Listed]:
        """The images of a folder, of a list, or of one line of an inline list."""
        place, root = self._resolve(value, split), str(self.root)
        if place is None and split == "test":
            self.notes.append(Note("split-not-there", str(self.config), f"{key}: {value}"))
        elif place is None:
            raise DataError(
                "a split that is not there", file=self.config, place=key, found=f"{key}: {value}",
                expected=f"a folder or list in {self.root}",
                hint="correct the YAML, or copy it into the data set's folder",
            )  # fmt: skip
        elif os.path.isdir(place):
            folders.add(place)
            for path in sorted(walk(place, SUFFIXES), key=natural):
                yield split, relative(path, place), _inside(path, root), path
        else:
            for line in [place] if is_image(place) else filter(is_image, read_list(place)):
                base = os.path.dirname(place) if line.startswith("./") else root
                tries = _tails(line, [base, os.path.dirname(place)])
                path = next((path for path in tries if os.path.isfile(path)), os.path.join(base, line))
                # What follows the last ``images``, without the split's folder.
                tail = path.replace(os.sep, "/").rpartition("/images/")[2] if "/images/" in path else None
                yield split, short_name(tail or _inside(path, root)), _inside(path, root), path

    def _resolve(self, value: str, split: str) -> Optional[str]:
        """A path of the YAML: as it says, below the root, or, where both are stale, by its end."""
        tries = list(_tails(value, [str(self.root), str(self.home)]))
        # Roboflow writes ../valid/images whatever the folder is called.
        parts = value.replace("\\", "/").split("/")
        for entry in sorted(self.home.iterdir()):
            if entry.is_dir() and canonical(entry.name) == split:
                swapped = [entry.name if canonical(part) == split else part for part in parts]
                tries += _tails("/".join(swapped), [str(self.home)])
        return next((os.path.normpath(path) for path in tries if os.path.exists(path)), None)

    def _plain(self, folders: set[str]) -> Iterable[Listed]:
        """The images of a data set without a file that describes it."""
        folders.add(str(self.source))
        root = str(self.images or self.source)
        splits = Splits.find(self.source, ("",))
        paths = sorted(walk(root, SUFFIXES), key=natural)
        names = [relative(path, root) for path in paths]
        chosen = list(map(splits.of, names))
        if not splits and None in chosen:
            chosen = [None] * len(paths)
        yield from zip(chosen, map(short_name, names), names, paths)

    def _label(self, path: str) -> Optional[str]:
        """The label file of an image where there is one; beside it, if not where it belongs."""
        paths = [label_path(path), os.path.splitext(path)[0] + ".txt"]
        if self.images is not None and self.config is None:
            stem = os.path.splitext(relative(path, str(self.images)))[0]
            paths = [str(self.source / f"{stem}.txt"), str(self.source / "labels" / f"{stem}.txt"), *paths]
        return next(filter(os.path.isfile, paths), None)


def _config_file(source: Path) -> Optional[Path]:
    """The YAML file, or darknet's ``obj.data``, that describes a data set."""
    if source.is_file():
        return source if source.suffix.lower() in (".yaml", ".yml", ".data") else None
    for name in _CONFIGS:
        if (source / name).is_file():
            return source / name
    here, deeper = (filter(_describes, sorted(source.glob(pattern))) for pattern in ("*.y*ml", "*/*.y*ml"))
    others = list(here) or list(deeper)
    if len(others) > 1:
        found, hint = ", ".join(path.name for path in others), f"seg2knet convert yolo {others[0]}"
        problem = "several files describe data sets"
        raise DataError(problem, file=source, found=found, hint=f"name the one that is meant: {hint}")
    return others[0] if others else next(iter(sorted(source.glob("obj.data"))), None)


def _describes(path: Path) -> bool:
    with contextlib.suppress(DataError):
        document = load_yaml(path) if path.is_file() else None
        return isinstance(document, Mapping) and "names" in document and not _KEYS.keys().isdisjoint(document)
    return False


def label_path(image: str) -> str:
    """Where the label of an image belongs."""
    path = image.replace(os.sep, "/")
    label, match = f"{os.path.splitext(path)[0]}.txt", None
    for flags in (re.DOTALL, re.IGNORECASE | re.DOTALL):
        match = match or re.match("(.*)/(images)/(.*)$", label, flags)
    if match is None:
        return label
    lower = match[2] == "images" or os.path.isdir(f"{match[1]}/labels")
    return f"{match[1]}/{'labels' if lower else 'Labels'}/{match[3]}"


def _labels_of(folder: str) -> str:
    """The folder of the labels of a folder of images; empty where there is none."""
    labels = os.path.normpath(os.path.dirname(label_path(os.path.join(folder, "x"))))
    return labels if os.path.isdir(labels) else ""


def _label_files(folder: str) -> set[str]:
    paths = walk(folder, (".txt",))
    return {os.path.normpath(path) for path in paths if os.path.basename(path).lower() not in _NOT_LABELS}


def _inside(path: str, root: str) -> str:
    name = relative(path, root)
    return name if not name.startswith("../") else os.path.basename(path)


def _tails(value: str, bases: Iterable[str]) -> Iterable[str]:
    """A path as it stands, below each base, and below each base without its first folders, one after another."""
    clean = os.path.expanduser(value.strip().replace("\\", "/"))
    yield from [clean] if os.path.isabs(clean) else [os.path.join(base, clean) for base in bases]
    parts = [part for part in clean.split("/") if part not in ("", ".", "..")]
    for base in bases:
        for start in range(len(parts)):
            yield os.path.join(base, *parts[start:])


def _numbered(names: Any, path: Optional[Path]) -> dict[int, str]:
    try:
        items = list(enumerate(names) if isinstance(names, list) else names.items())
        if any(isinstance(name, (list, dict)) for _, name in items):
            raise ValueError
        numbered = {int(number): str(name) for number, name in items}
    except (AttributeError, ValueError, TypeError, OverflowError):
        raise DataError("names of classes that are none", file=path, place="names", found=repr(names)[:100]) from None
    if any(not name.strip() for name in numbered.values()) or any(number < 0 for number in numbered):
        raise DataError("a class without a name or with a negative number", file=path, place="names")
    return numbered
