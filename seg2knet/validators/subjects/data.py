"""What is validated: a data set, its splits, their files. What a rule is called with stands here."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Optional, Union

from seg2knet.dataset.images import is_image
from seg2knet.dataset.layout import AdeLayout
from seg2knet.dataset.text import natural
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile


@dataclass
class Part:
    """One split: its annotation files and its pictures.

    Attributes:
        split: ``train``, ``val``, ``test``, or empty where nothing says which.
        images_dir: the folder of pictures, ``None`` where there is none.
        pngs_dir: the folder of panoptic PNGs.
        dataset: what it is part of.
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
        files = (self.instances, self.panoptic)
        return [file for file in files if file is not None]

    @cached_property
    def _listed(self) -> list[Path]:

        found: list[Path] = []
        for folder, _, names in os.walk(self.images_dir or ""):
            found.extend(Path(folder, name) for name in names if is_image(name))
        return sorted(found, key=lambda path: natural(str(path)))

    def pictures(self) -> list[Path]:
        """All picture files under ``images_dir``, in natural order; listed once."""
        return self._listed if self.images_dir is not None else []

    def picture(self, file_name: Optional[str]) -> Optional[Path]:
        """Where a picture of that name would be, whether it is there or not; ``None`` for a name that leaves the
        folder, that no file can have, or where there is no folder."""
        if not file_name or self.images_dir is None or "\0" in file_name:
            return None
        place = os.path.normpath(file_name.replace("\\", "/"))
        if os.path.isabs(place) or place.startswith("..") or (len(place) > 1 and place[1] == ":"):
            return None
        return self.images_dir / place


@dataclass
class DataSet:
    """What was found at one path.

    Attributes:
        root: the folder, or the folder of the single file.
        layout: ``coco``, ``ade``, or ``file`` for files outside any known layout.
        parts: the splits.
        ade: the ADE layout, where it is one.
        config: a training configuration to check the data against.
        jobs: how many processes or threads may be used.
        prefix: what shown names begin with.
    """

    root: Path
    layout: str
    parts: list[Part] = field(default_factory=list)
    ade: Optional[AdeLayout] = None
    config: Optional[Path] = None
    jobs: int = 1
    prefix: str = ""

    @property
    def json_files(self) -> list[Union[CocoFile, PanopticFile]]:
        return [file for part in self.parts for file in part.json_files]

    @property
    def instance_files(self) -> list[CocoFile]:
        return [part.instances for part in self.parts if part.instances is not None]

    def show(self, path: Union[str, Path]) -> str:
        """A file's name for people: relative to the data set where it is inside, with forward slashes."""
        try:
            shown = Path(path).relative_to(self.root).as_posix()
        except ValueError:
            shown = Path(os.path.relpath(path, self.root)).as_posix()
            if shown.startswith("../.."):
                shown = Path(path).as_posix()
        return posixpath.normpath(self.prefix + shown) if self.prefix else shown


__all__ = ["AdeLayout", "CocoFile", "DataSet", "JsonFile", "PanopticFile", "Part"]
