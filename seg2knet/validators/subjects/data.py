"""What is validated: a data set, its splits, their files; and how it is found at the path that a user names."""

from __future__ import annotations

import codecs
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Optional, Union

from seg2knet.dataset.images import is_image
from seg2knet.dataset.layout import LEDGER, SPLITS, AdeLayout, find_ade, find_coco
from seg2knet.errors import UsageError
from seg2knet.validators.subjects.config_file import ConfigFile
from seg2knet.validators.subjects.files import CocoFile, PanopticFile

Overlay = Mapping[Path, Path]
"""Files to be read in the place of others: what a fix would write."""

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MARKS = re.compile(rb'"(segments_info|segmentation|bbox)"\s*:')
_TABLE = re.compile(rb'"(images|annotations|categories)"\s*:')
_BLOCK = 1 << 18
_OPENINGS = frozenset(b'{["')


@dataclass
class Part:
    """One split of a data set: its annotation files, its folder of images, its folder of panoptic PNGs.

    ``split`` is ``train``, ``val``, ``test``, or empty where nothing says which.
    """

    dataset: DataSet
    split: str
    images_dir: Optional[Path] = None
    instances: Optional[CocoFile] = None
    panoptic: Optional[PanopticFile] = None
    pngs_dir: Optional[Path] = None

    @property
    def json_files(self) -> list[Union[CocoFile, PanopticFile]]:
        """The annotation files it has, instances first."""
        return [file for file in (self.instances, self.panoptic) if file is not None]

    def image_path(self, file_name: Optional[str]) -> Optional[Path]:
        """Where an image of that name would be, whether it is there or not; ``None`` for a name that leaves the
        folder, that no file can have, or where there is no folder."""
        if not file_name or self.images_dir is None or "\0" in file_name:
            return None
        place = os.path.normpath(file_name.replace("\\", "/"))
        if os.path.isabs(place) or place.startswith("..") or (len(place) > 1 and place[1] == ":"):
            return None
        return self.images_dir / place


def listed(folder: Optional[Path]) -> dict[str, str]:
    """Every image file below a folder: name relative to it, with forward slashes -> path; sorted folder by folder."""
    start = os.path.join(folder, "") if folder is not None else ""
    images: dict[str, str] = {}
    for here, folders, names in os.walk(start) if start else ():
        folders.sort()
        head = os.path.join(here, "")
        inner = head[len(start) :].replace(os.sep, "/")
        images.update((inner + name, head + name) for name in sorted(filter(is_image, names)))
    return images


@dataclass
class DataSet:
    """What was found at one path."""

    root: Path  # the folder, or the folder of the single file
    layout: str  # ``coco``, ``ade``, or ``file`` for files outside any known layout
    parts: list[Part] = field(default_factory=list)
    ade: Optional[AdeLayout] = None
    config: Optional[Path] = None  # a training configuration to check the data against
    jobs: int = 1  # how many processes or threads may be used
    prefix: str = ""  # what shown names begin with
    images: Optional[Path] = None  # the folder of images, where the user named one
    overlay: Overlay = field(default_factory=dict)  # files to read in the place of others
    _shown: dict[Union[str, Path], str] = field(default_factory=dict)

    @property
    def json_files(self) -> list[Union[CocoFile, PanopticFile]]:
        return [file for part in self.parts for file in part.json_files]

    @cached_property
    def config_file(self) -> ConfigFile:
        """The configuration to check against; an empty one, in which rules find nothing, where none was named."""
        return ConfigFile(self.config or Path(os.devnull))

    @cached_property
    def _everywhere(self) -> dict[str, Path]:
        return {posixpath.basename(name): Path(path) for name, path in reversed(listed(self.root).items())}

    def elsewhere(self, name: str) -> Optional[Path]:
        """The first file below the root whose name is the last step of ``name``."""
        return self._everywhere.get(posixpath.basename(name.replace("\\", "/")))

    def owns(self, folder: Path) -> bool:
        """Whether a folder is the data set's own: below its root, or given by the user, and no link leads out of it."""
        own = [given for given in (self.root, self.images) if given is not None]
        # The folder of images of a single file, where it is found beside the file and is no link.
        beside = [part.images_dir for part in self.parts if part.images_dir is not None]
        own += [images for images in beside if self.root not in images.parents and not images.is_symlink()]
        real = Path(os.path.realpath(folder))
        return any(base == real or base in real.parents for base in (Path(os.path.realpath(base)) for base in own))

    def show(self, path: Union[str, Path]) -> str:
        """A file's name for people: relative to the data set where it is inside, with forward slashes."""
        if path not in self._shown:
            shown = Path(os.path.relpath(path, self.root)).as_posix()
            shown = Path(path).as_posix() if shown.startswith("../..") else shown
            self._shown[path] = posixpath.normpath(self.prefix + shown) if self.prefix else shown
        return self._shown[path]


def find(
    path: Path,
    *,
    images: Optional[Path] = None,
    config: Optional[Path] = None,
    jobs: int = 1,
    overlay: Optional[Overlay] = None,
) -> DataSet:
    """The data set at ``path``: a folder of the COCO or ADE layout, a folder with COCO JSON files in it or one level
    below, or one file. The other arguments are those of ``DataSet``.

    Raises UsageError: nothing there that could be validated.
    """
    if not path.exists():
        hint = "name a data set's folder or a COCO JSON file"
        raise UsageError("there is no such file or folder", file=path, hint=hint)
    root = path if path.is_dir() else path.parent
    dataset = DataSet(root, "file", config=config, jobs=jobs, images=images, overlay=overlay or {})
    if path.is_file():
        _add(dataset, path)
    elif not _fill_coco(dataset) and not _fill_ade(dataset):
        for file in _loose_files(root):
            _add(dataset, file)
        if not dataset.parts:
            raise UsageError(
                "nothing here that can be validated",
                file=root,
                found="neither annotations/instances_*.json, nor images/ and annotations/ of ADE, nor a COCO JSON file",
                expected="a data set in the COCO, panoptic or ADE layout, or a COCO JSON file",
                hint="convert it first: seg2knet convert auto " + str(root),
            )
    return dataset


def _fill_coco(dataset: DataSet) -> bool:
    layout = find_coco(dataset.root)
    if layout is None:
        return False
    dataset.layout = "coco"
    for split in SPLITS:
        instances, panoptic, pngs = layout.instances(split), layout.panoptic(split), layout.panoptic_pngs(split)
        if not instances.is_file() and not panoptic.is_file():
            continue
        shared, own = layout.root / "images", layout.images(split)
        folders = [own, shared / own.name, shared / split, shared]
        images = dataset.images or next((folder for folder in folders if folder.is_dir()), None)
        part = Part(dataset, split, images)
        if instances.is_file():
            _open(part, instances)
        if panoptic.is_file():
            beside = layout.root / pngs.name
            _open(part, panoptic, beside if beside.is_dir() and not pngs.is_dir() else pngs)
        dataset.parts.append(part)
    return True


def _fill_ade(dataset: DataSet) -> bool:
    ade = find_ade(dataset.root)
    if ade is None:
        return False
    dataset.root, dataset.layout, dataset.ade = ade.root, "ade", ade
    for split in SPLITS:
        folder = ade.images(split)
        if folder.is_dir() or ade.annotations(split).is_dir():
            dataset.parts.append(Part(dataset, split, folder if folder.is_dir() else None))
    return True


def _loose_files(root: Path) -> Iterator[Path]:
    """JSON files in the folder, one level below or in ``annotations/train``: Roboflow's and the like.

    Lists of images without annotations (``image_info_test2017.json``) are no data to train on and left out.
    """
    below = sorted(folder for folder in (*root.iterdir(), *root.glob("annotations/*")) if folder.is_dir())
    folders = [root, *(folder for folder in below if not folder.name.startswith("."))]
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        usable = path.is_file() and path.name != LEDGER and "_info" not in path.stem
        if usable and kind_of_file(path) is not None:
            yield path


def _open(part: Part, path: Path, pngs: Optional[Path] = None) -> Union[CocoFile, PanopticFile]:
    """Read an annotation file of a split: a panoptic one where there are ``pngs``."""
    content = part.dataset.overlay.get(path)
    file: Union[CocoFile, PanopticFile]
    if pngs is None:
        file = part.instances = CocoFile(path, content, part.dataset.jobs)
    else:
        file = part.panoptic = PanopticFile(path, content)
        part.pngs_dir = pngs
    file.part = part
    return file


def _add(dataset: DataSet, path: Path) -> None:
    part = Part(dataset, split_of(path, dataset.root))
    file = _open(part, path, path.with_suffix("") if kind_of_file(path) == "panoptic" else None)
    part.images_dir = dataset.images or _image_folder(path, file.images.names)
    dataset.parts.append(part)


def split_of(path: Path, root: Path) -> str:
    """The split that a file's name or folder speaks of, or the empty string."""
    names = [path.stem, path.parent.name] if path.parent != root else [path.stem]
    for name in names:
        for word in re.split(r"[^a-z]+", re.sub(r"(set|data)?[0-9]*$", "", name.lower())):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return ""


def _image_folder(path: Path, names: list[Optional[str]]) -> Optional[Path]:
    """The folder that has the images of a single file: the one where the first few of their names are found."""
    tail = path.stem.rsplit("_", 1)[-1]
    parent = path.parent
    folders = [parent, parent / "images", parent / "JPEGImages", parent / "input_images", parent / tail]
    folders += [parent.parent / tail, parent.parent / "images" / tail, parent.parent / "images", parent.parent]
    folders.append(parent.parent.parent / "images" / parent.name)
    wanted = [name.replace("\\", "/") for name in names[:20] if name and "\0" not in name]
    scores = [sum(os.path.isfile(os.path.join(folder, name)) for name in wanted) for folder in folders]
    return folders[scores.index(max(scores))] if any(scores) else None


def kind_of_file(path: Path) -> Optional[str]:
    """``instances`` or ``panoptic``, by the first key that tells; ``None`` for a JSON file that is not a COCO file.

    One that cannot be read, or does not begin as JSON does, counts as instances: the rules say what is wrong with it.
    """
    tables: set[bytes] = set()
    rest = b""
    opening = None
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                text = rest + block
                opening = opening or next(iter(text.lstrip(codecs.BOM_UTF8 + b" \t\r\n")), None)
                mark = _MARKS.search(text)
                tables.update(_TABLE.findall(text))
                if mark and tables:
                    return "panoptic" if mark[1] == b"segments_info" else "instances"
                rest = text[-64:]
    except OSError:
        return "instances"
    return "instances" if len(tables) >= 2 or opening not in _OPENINGS else None
