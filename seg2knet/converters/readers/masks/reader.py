"""Mask images (PNG, TIFF, BMP; 1, 8 or 16 bits, palette or RGB) beside images, in eight encodings.

classes              a pixel is a class's number
colors               a pixel is a class's colour
instances            a pixel is an object's number, all of one class (StarDist, Cellpose, PennFudan)
instances+classes    two images: an instance's number, a class's number
class*1000+instance  Cityscapes (https://github.com/mcordts/cityscapesScripts, helpers/labels.py), MOTS
class*256+instance   KITTI, Mapillary Vistas
binary               one class, 0 and 255 or 0 and 1
object-files         a mask an object; its class is its folder, or stands in its name
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Optional

from typing_extensions import Literal

from seg2knet.converters.base import Evidence, Handle, Reader, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common import pairs as _pairs
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.encodings import Decoder, mask_canvas
from seg2knet.converters.readers.common.labelmap import Labelmap, LabelmapOptions
from seg2knet.converters.readers.common.lists import Splits
from seg2knet.converters.readers.common.sources import absent, labels_as_shown, relative
from seg2knet.converters.readers.masks import guess as _guess
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import images
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import SUFFIXES
from seg2knet.dataset.layout import find_ade
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.errors import UsageError

Encoding = Literal[
    "classes", "colors", "instances", "instances+classes", "class*1000+instance", "class*256+instance", "binary",
    "object-files",
]  # fmt: skip
_ONE_CLASS = ("binary", "object-files", "instances")
_OF_MASKS = ("masks", "class_masks")
"""Options that name folders or kinds of masks."""


class MaskOptions(LabelmapOptions):
    encoding: Optional[Encoding] = option(
        None, "What a pixel's number means; guessed from some of the masks, and said, when not given."
    )
    masks: Optional[str] = option(
        None, "Folder of the masks, or the kind of them to read where there are several (v1.2/instances)."
    )
    class_masks: Optional[str] = option(
        None, "For instances+classes: folder or kind of the masks that say the classes."
    )
    colors: Optional[str] = option(None, 'Classes by colour: "car=255,0,0; road=#804080".')
    ignore: str = option("255", "Numbers that are no class, divided by commas; what a class file names counts.")
    class_name: str = option(
        "object", "The class of binary masks, of numbered instances, and of object-files that name none."
    )


@register_reader
class MaskReader(Reader):
    name = "masks"
    title = "Mask images"
    paint_order = True
    Options = MaskOptions

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        if not source.is_dir():
            return None
        reader = cls(source)
        pairing = reader._pairing()
        if not pairing.pairs or all(kind.endswith("_seg") for kind in _kinds(pairing)):  # that is the full ADE20K
            return None
        score, reasons = 0.7, [f"{len(pairing.pairs)} images have a mask image"]
        try:
            reasons += reader._choice(pairing).reasons
        except UsageError as error:
            score, reasons = 0.5, [*reasons, f"{error.message} {error.found}"]
        # VOC's, ADE's and COCO's folders hold mask images too, of which their readers know more.
        return Evidence(0.3 if _has_a_format(source, pairing) else score, tuple(reasons))

    def scan(self) -> Scan:
        pairing = self._pairing()
        if not pairing.pairs:
            expected = "images and masks of the same names, in folders such as images/ and masks/"
            raise absent(expected, self.source, "name the folders: --images-dir DIR --masks DIR")
        choice = self._choice(pairing)
        cityscapes = self._labelmap is None and _is_cityscapes(choice, pairing)
        labelmap = _labelmap.CITYSCAPES if cityscapes else self._labelmap
        labelmap = labelmap if choice.encoding not in _ONE_CLASS else None
        place, splits = str(self.source), Splits.find(self.source)
        notes: list[Note] = []
        skips: list[Skip] = []
        if choice.reasons:
            notes.append(Note("encoding-guessed", place, f"{choice.encoding}: {'; '.join(choice.reasons)}"))
        if labelmap is None and choice.encoding not in _ONE_CLASS:
            detail = "no file says their names; name one with --labelmap"
            notes.append(Note("classes-called-by-number", place, detail))
        kept = []
        for pair in [*pairing.pairs, *(_pairs.Pair(path, []) for path in pairing.bare)]:
            if not splits.listed(pair.image):
                continue
            masks = [mask for mask in pair.masks if choice.kind in (None, mask.kind)]
            masks, second = (masks, []) if choice.kind is None else (masks[:1], masks[1:])
            classes = next((mask.path for mask in pair.masks if mask.kind == choice.classes), None)
            masks = masks if choice.classes is None or classes is not None else []
            detail = "one mask of a kind is read; --encoding object-files reads all as objects"
            skips += [Skip("second-mask", self.path(mask.path), detail=detail) for mask in second]
            if masks or splits.of(pair.image) == "test":
                # A list, for there may be 100,000: what comes last are class and path of each mask.
                drawn = [part for mask in masks for part in (_class_in(mask, pair.image), self.path(mask.path))]
                image = self.path(pair.image) if pairing.images_there else None
                where = [choice.encoding, image, classes and self.path(classes), cityscapes, *drawn]
                kept.append((pair.image, where))
                if not masks:
                    notes.append(Note("test-image-without-mask", self.path(pair.image), "kept, without truth"))
            else:
                skips.append(Skip("image-without-mask", self.path(pair.image), detail="is it without objects?"))
        skips += [Skip("mask-without-image", self.path(path)) for path in pairing.loose]
        if unlisted := sum(not splits.listed(pair.image) for pair in pairing.pairs):
            notes.append(Note("image-in-no-list", place, f"in none of {splits.files}, so left out", unlisted))
        known = labelmap.classes() if labelmap is not None else None
        return Scan(splits.handles(kept), known, tuple(skips), tuple(notes))

    def read(self, handle: Handle) -> Sample:
        encoding, image, classes, cityscapes, *masks = handle.where
        if not masks:
            return Canvas(handle.name, image, path=image).sample(handle.split)
        canvas, labels = mask_canvas(handle.name, image, masks[1])
        labelmap = _labelmap.CITYSCAPES if cityscapes else self._labelmap
        ignore = frozenset(int(part) for part in re.findall(r"\d+", self.options.ignore)[:1000] if len(part) < 10)
        decoder = Decoder(canvas, labelmap, self.options.instances == "components", ignore, self.options.class_name)
        if encoding == "object-files":
            decoder.object_files(list(zip(masks[0::2], masks[1::2])))
        elif encoding == "instances+classes":
            decoder.pair(labels, labels_as_shown(classes))
        elif encoding == "colors" and labels.ndim == 2:  # by the palette's colours, not its numbers
            decoder.one(encoding, images.decode(Path(masks[1]), upright=False))
        else:
            decoder.one(encoding, labels)
        return canvas.sample(handle.split)

    @cached_property
    def _labelmap(self) -> Optional[Labelmap]:
        """The classes, from an option or from a file beside the masks."""
        if self.options.colors:
            return _labelmap.from_option(self.options.colors)
        if self.options.labelmap is not None:
            return _labelmap.read(self.options.labelmap)
        inner = sorted(path for path in self.source.iterdir() if path.is_dir())
        deeper = [path for folder in inner for path in sorted(folder.iterdir()) if path.is_dir()]
        path = _labelmap.find([self.source, *inner, *deeper, self.source.absolute().parent], above=self.source)
        return _labelmap.read(path) if path is not None else None

    @cached_property
    def _folders(self) -> dict[str, tuple[str, Path]]:
        """Folders that options name: by option, what paths below it begin with, and the folder."""
        folders = {}
        said = {key: getattr(self.options, key) for key in ("images", *_OF_MASKS)}
        for key, name in ((key, name) for key, name in said.items() if name):
            folder = next((path for path in (self.source / name, Path(name)) if path.is_dir()), None)
            if folder is not None:
                inside = os.path.relpath(folder, self.source).replace(os.sep, "/")
                folders[key] = (f"//{key}" if inside.startswith("..") else inside, folder)
            elif key == "images":
                raise UsageError("no such folder of images", found=str(name))
        return folders

    def _pairing(self) -> _pairs.Pairing:
        if not self.source.is_dir():
            return _pairs.Pairing([], [], [])
        paths = {relative(path, str(self.source)) for path in walk(self.source, SUFFIXES)}
        for prefix, folder in self._folders.values():
            if prefix.startswith("//"):
                paths |= {f"{prefix}/{relative(path, str(folder))}" for path in walk(folder, SUFFIXES)}
        prefixes = {key: prefix for key, (prefix, _) in self._folders.items()}
        masks = [prefixes[key] for key in _OF_MASKS if key in prefixes]
        pairing = _pairs.pair(paths, prefixes.get("images"), masks)
        if pairing.pairs or pairing.loose or not _is_cvats(pairing.bare, self._labelmap):
            return pairing
        pairs = [_pairs.Pair(f"{path[:-4]}.jpg", [_pairs.Mask("", path)]) for path in pairing.bare]
        return _pairs.Pairing(pairs, [], [], images_there=False)

    def path(self, path: str) -> str:
        """A path as ``_pairing`` has it, as the system has it."""
        for prefix, folder in self._folders.values():
            if prefix.startswith("//") and path.startswith(prefix + "/"):
                return str(folder) + path[len(prefix) :]
        return os.path.join(str(self.source), path)

    def _choice(self, pairing: _pairs.Pairing) -> _guess.Choice:
        options = self.options
        masks, classes = (self._folders[key][0] if key in self._folders else getattr(options, key) for key in _OF_MASKS)
        return _guess.Chooser(pairing, self.path, self._labelmap).choose(options.encoding, masks, classes)


def _class_in(mask: _pairs.Mask, image: str) -> str:
    """The class of a mask of one object: a folder's name, or what its own says beside the image's and a number."""
    folders = [part for part in mask.kind.split("/") if not part.startswith(("_", "-", ".", " "))]
    named = [part for part in map(_pairs.left_of, folders) if part]
    stem = posixpath.splitext(posixpath.basename(mask.path))[0]
    shown = posixpath.splitext(posixpath.basename(image))[0]
    said = named[0] if named else stem.removeprefix(shown)
    said = re.sub(r"([-_. ]*\d+)+$", "", said).strip("-_. ")
    words = [word for word in re.split(r"[-_ ]", said) if _pairs.left_of(word)]
    return "" if not words or re.fullmatch(r"[0-9a-f]{8,}", said) else said


def _is_cityscapes(choice: _guess.Choice, pairing: _pairs.Pairing) -> bool:
    """Whether files are called as Cityscapes calls them, or stand where KITTI, which has its numbers, puts them."""
    kind = (choice.kind or "").lower()
    if "instanceids" in kind or ("labelids" in kind and "train" not in kind):
        return True
    return choice.encoding == "class*256+instance" and "image_2/" in pairing.pairs[0].image


def _is_cvats(paths: Sequence[str], labelmap: Optional[Labelmap]) -> bool:
    """Whether these are CVAT's masks exported without their images: PNGs alone, and a table of their colours."""
    return bool(paths and labelmap and labelmap.colors) and all(path.endswith(".png") for path in paths)


def _kinds(pairing: _pairs.Pairing) -> set[str]:
    return {mask.kind for pair in pairing.pairs for mask in pair.masks}


def _has_a_format(source: Path, pairing: _pairs.Pairing) -> bool:
    return (
        find_ade(source) is not None
        or any((folder / "SegmentationClass").is_dir() for folder in (source, *source.glob("*")))
        or any(source.glob("objectInfo*"))
        or all("panoptic" in kind.lower() for kind in _kinds(pairing))
    )
