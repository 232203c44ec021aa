"""The layout of ADE20K's scene parsing challenge (http://sceneparsing.csail.mit.edu): ``images/training/*.jpg`` and
``annotations/training/*.png``, one number a class, 0 for what is unlabelled; names in ``objectInfo150.txt``.

A class is one object an image, so that writing the same layout again gives the same masks; ``--instances components``
takes it apart. The full releases of 2017 and 2020 are read too (``_ade_full``), where ``--instances objects`` tells
objects apart as their authors did.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Optional

import msgspec
from pydantic import Field
from typing_extensions import Literal

from seg2knet.converters.base import Evidence, Handle, Reader, Scan
from seg2knet.converters.readers.ade import full_releases as _ade_full
from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.encodings import Decoder, mask_canvas
from seg2knet.converters.readers.common.labelmap import Labelmap, LabelmapOptions
from seg2knet.converters.readers.common.lists import Splits, ordered
from seg2knet.converters.readers.common.sources import absent, labels_as_shown, relative
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import SUFFIXES
from seg2knet.dataset.layout import AdeLayout
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import Seg2KNetError, UsageError

_TABLES = ("objectInfo150.txt", "objectInfo.txt", "objectInfo150.csv", "objectInfo.csv")
_INNER = ("", "ADEChallengeData2016", "sampleData")


class AdeOptions(LabelmapOptions):
    """ADE's own options."""

    instances: Literal["per-class", "components", "objects"] = Field(  # type: ignore[assignment]  # one more
        "per-class",
        description="Each class of an image is one object, or each connected piece; or (full ADE20K) each object.",
    )
    map_from_ade: Optional[Path] = Field(
        None, description="For the full ADE20K: mapFromADE.txt, which makes the challenge's 150 classes of its 3,000."
    )


@register_reader
class AdeReader(Reader):
    name = "ade"
    title = "ADE20K layout"
    paint_order = True
    Options = AdeOptions

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        try:
            root = _root(source)
        except Seg2KNetError:
            return None
        if root is None:
            count = len(_ade_full.images(source))
            reason = f"{count} masks *_seg.png beside their images, as the full ADE20K"
            return Evidence(0.9, (reason,)) if count else None
        table = _table(source, root)
        splits = [split for split in AdeLayout.FOLDERS if AdeLayout(root).annotations(split).is_dir()]
        if table is None and not splits:
            return None
        reasons = [f"images/ and annotations/ with {', '.join(AdeLayout.FOLDERS[each] for each in splits) or 'masks'}"]
        if table is not None:
            reasons.append(f"{table.name} names the classes")
        return Evidence(0.95 if table is not None else 0.7, tuple(reasons))

    def scan(self) -> Scan:
        root = _root(self.source)
        if root is None:
            return self._scan_full()
        layout = AdeLayout(root)
        handles: list[Handle] = []
        skips: list[Skip] = []
        notes: list[Note] = []
        places = [(split, layout.images(split), layout.annotations(split)) for split in AdeLayout.FOLDERS]
        if not any(masks.is_dir() for _, _, masks in places):
            places = [("", root / "images", root / "annotations")]
        for split, images, masks in places:
            found = _by_stem(masks, (".png",))
            for stem, path in sorted(_by_stem(images, SUFFIXES).items(), key=lambda item: natural(item[1])):
                mask = found.pop(stem, None)
                if mask is None and split != "test":
                    skips.append(Skip("image-without-mask", path, detail=f"expected in {masks}"))
                else:
                    handles.append(Handle(relative(path, str(images)), [path, mask], split or None))
            skips += [Skip("mask-without-image", path) for path in sorted(found.values(), key=natural)]
        if not handles:
            raise absent("images/training/*.jpg and annotations/training/*.png", self.source)
        if self._labelmap is None:
            detail = "there is no objectInfo150.txt; name one with --labelmap"
            notes.append(Note("classes-called-by-number", str(self.source), detail))
        classes = self._labelmap.classes() if self._labelmap is not None else None
        return Scan(ordered(handles), classes, tuple(skips), tuple(notes))

    def read(self, handle: Handle) -> Sample:
        path, mask = handle.where
        if mask is None:
            return Canvas(handle.name, path, path=path).sample(handle.split)
        labels = labels_as_shown(mask)
        canvas = mask_canvas(handle.name, path, mask, labels)
        if mask.endswith(_ade_full.ENDINGS):
            names = self._labelmap.names if self._labelmap is not None else {}
            _ade_full.draw(canvas, labels, self._mapping, names, self.options.instances == "objects")
        else:
            Decoder(canvas, self._labelmap, self.options.instances == "components").one("classes", labels)
        return canvas.sample(handle.split)

    def _scan_full(self) -> Scan:
        """The full release: masks beside their images, splits by folder."""
        found = _ade_full.images(self.source)
        if not found:
            raise absent("images/training/*.jpg and annotations/training/*.png", self.source)
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
        return _ade_full.read_mapping(self.options.map_from_ade) if self.options.map_from_ade is not None else None

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
        labelmap = msgspec.structs.replace(labelmap, names=named, void=frozenset({0}))
        beside = table.with_suffix(".csv")
        if table.suffix == ".txt" and beside.is_file():
            things = _labelmap.read(beside).things
            if things.keys() == labelmap.names.keys():
                return msgspec.structs.replace(labelmap, things=things)
        return labelmap


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


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    paths = walk(folder, suffixes) if folder.is_dir() else ()
    return {os.path.splitext(relative(path, str(folder)))[0]: path for path in paths}
