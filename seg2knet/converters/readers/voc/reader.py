"""Pascal VOC: mask images of classes and objects, and XML with boxes (see ``folders``)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np

from seg2knet.converters.base import Evidence, Handle, Reader, Scan
from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, polygon
from seg2knet.converters.readers.common.encodings import Decoder, mask_canvas
from seg2knet.converters.readers.common.labelmap import Labelmap, LabelmapOptions
from seg2knet.converters.readers.common.lists import Splits, ordered, short_name
from seg2knet.converters.readers.common.sources import absent, labels_as_shown, palette, relative
from seg2knet.converters.readers.voc import folders as _voc
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import geometry
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.errors import Seg2KNetError

_LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets", "")
_MATCH = 0.5
"""A mask and an XML box are of one object from this intersection over union of their boxes on."""


@register_reader
class VocReader(Reader):
    name = "voc"
    title = "Pascal VOC"
    paint_order = True
    Options = LabelmapOptions

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        found = _voc.roots(source, None)
        masks = sum(len(root.classes) for root in found)
        if masks:
            return Evidence(0.95, (f"{masks} masks in SegmentationClass",))
        looked = [path for root in found for path in root.xmls.values()][:20]
        fits = [path for path in looked if xml.root_tag(path) == "annotation"]
        if not fits or len(fits) < len(looked) or not any(document.objects for document in _documents(fits)):
            return None
        reason = f"{len(fits)} of {len(looked)} XML files looked at begin with <annotation> and have boxes"
        return Evidence(0.9, (reason,))

    def scan(self) -> Scan:
        found = _voc.roots(self.source, self.options.images)
        if not found:
            raise absent("SegmentationClass/*.png, or Annotations/*.xml, as in VOCdevkit/VOC2012", self.source)
        listed = _Listing(any(root.classes for root in found))
        for root in found:
            listed.add(root)
        if not listed.handles:
            raise absent("an image that is listed and has a mask or an XML file", self.source)
        classes = self._labelmap.classes() if self._labelmap is not None and listed.masks else None
        return Scan(ordered(listed.handles), classes, tuple(listed.skips), tuple(listed.notes))

    def read(self, handle: Handle) -> Sample:
        where = handle.where
        document = _voc.document(where["xml"]) if where.get("xml") else None
        if where.get("classes"):
            return self._masks(handle, document)
        if document is not None:
            return self._boxes(handle, document)
        return Canvas(handle.name, where["image"], path=where["image"]).sample(handle.split)

    @cached_property
    def _labelmap(self) -> Optional[Labelmap]:
        """The classes by number: as a file says, else the challenge's, unless the XML files have other names."""
        if self.options.labelmap is not None:
            return _voc.with_palette(_labelmap.read(self.options.labelmap))
        found = _voc.roots(self.source, self.options.images)
        places = [root.path for root in found]
        inner = [folder for place in places for folder in (place / "ImageSets", place / "SegmentationClass")]
        path = _labelmap.find([self.source, *places, *inner], above=self.source)
        if path is not None:
            return _voc.with_palette(_labelmap.read(path))
        some = [file for root in found for file in sorted(root.xmls.values())][:50]
        if {boxed.name for document in _documents(some) for boxed in document.objects} <= set(_voc.NAMES):
            return _voc.with_palette(Labelmap(dict(enumerate(_voc.NAMES, 1)), frozenset({0})))
        return None

    def _masks(self, handle: Handle, document: Optional[_voc.Document]) -> Sample:
        where = handle.where
        canvas, classes = mask_canvas(handle.name, where["image"], where["classes"])
        decoder = Decoder(canvas, self._labelmap or _numbered(classes), self.options.instances == "components")
        classes = self._by_palette(where["classes"], classes)
        if where.get("objects"):
            decoder.pair(labels_as_shown(where["objects"]), classes)
        else:
            decoder.one("colors" if classes.ndim == 3 else "classes", classes)
        if document is not None and canvas.fit.turn == 1:
            _name(canvas, document, self._labelmap is None, where["xml"])
        return canvas.sample(handle.split)

    def _by_palette(self, path: str, labels: np.ndarray) -> np.ndarray:
        """Numbers by a palette image's own colours, where a label map says colours and knows those of this palette."""
        colors = palette(path) if labels.ndim == 2 else None
        if colors is None or self._labelmap is None:
            return labels
        table = np.arange(256)
        for number in np.unique(labels).tolist():
            known = self._labelmap.colors.get(colors[number]) if number < len(colors) else None
            if known is None and number in self._labelmap.names:
                return labels
            table[number] = number if known is None else known
        return table[labels].astype(np.uint8)

    def _boxes(self, handle: Handle, document: _voc.Document) -> Sample:
        canvas = Canvas(handle.name, handle.where["xml"], path=handle.where["image"], declared=document.size)
        for number, boxed in enumerate(document.objects, 1):
            with canvas.skipping(f"object {number}"):
                if not boxed.name:
                    raise NotAnObject("no-label")
                if boxed.polygon is not None:
                    shape = polygon(boxed.polygon)
                elif boxed.box is not None:
                    shape = box(*boxed.box, boxes=self.options.boxes)
                else:
                    raise NotAnObject("not-a-box", "no <bndbox> with xmin < xmax and ymin < ymax")
                canvas.add(boxed.name, shape, f"object {number}", attributes=boxed.attributes or None)
        return canvas.sample(handle.split)


class _Listing(msgspec.Struct):
    """Handles of all folders, as they are found; where there are class ``masks``, images without one are left out."""

    masks: bool
    handles: list[Handle] = []
    taken: set[tuple[Optional[str], str]] = set()
    skips: list[Skip] = []
    notes: list[Note] = []

    def add(self, root: _voc.Root) -> None:
        splits = Splits.find(root.path, _LISTS)
        annotated = root.classes if self.masks else root.xmls
        stems = [stem for stem in annotated if splits.listed(stem)]
        for stem in stems:
            where, image = {kind: files.get(stem) for kind, files in root.files.items()}, root.images.find(stem)
            for document in _documents([where["xml"]] if image is None and where["xml"] else []):
                image = root.images.find(os.path.basename(document.filename.replace("\\", "/")))
            self._append(root, stem, {**where, "image": image}, splits.of(stem))
        if len(stems) < len(annotated):
            detail = f"in none of {splits.files}, so left out"
            self.notes.append(Note("in-no-list", str(root.path), detail, len(annotated) - len(stems)))
        unused = len(root.images.paths) - len(stems) - len(set(splits.names) - set(annotated))
        if not splits and unused > 0:
            detail = "images with neither mask nor XML file are no part of the set"
            self.notes.append(Note("image-without-annotation", root.images.root, detail, unused))
        for name in (name for name in splits.names if name not in annotated):
            path = root.images.find(name)
            if splits.of(name) == "test" and path is not None:
                self.notes.append(Note("test-image-without-truth", path, "kept, without objects"))
                self._append(root, name, {"image": path}, "test")
                continue
            lacks = "without-mask" if self.masks else "without-annotation" if path is not None else "and-not-there"
            self.skips.append(Skip(f"listed-{lacks}", str(root.path / name), detail=f"it stands in {splits.files}"))

    def _append(self, root: _voc.Root, stem: str, where: dict[str, Any], split: Optional[str]) -> None:
        name = relative(where["image"], root.images.root) if where["image"] is not None else f"{stem}.jpg"
        if root.flat and (split, short_name(name)) not in self.taken:
            name = short_name(name)
        self.taken.add((split, name))
        self.handles.append(Handle(root.prefix + name, where, split))


def _documents(paths: Iterable[str]) -> Iterator[_voc.Document]:
    """Those of these files that can be read."""
    for path in paths:
        with contextlib.suppress(Seg2KNetError):
            yield _voc.document(path)


def _numbered(classes: np.ndarray) -> Labelmap:
    """Numbers as names, until the XML says better."""
    labelmap = Labelmap({number: str(number) for number in range(1, 255)}, frozenset({0}))
    return _voc.with_palette(labelmap) if classes.ndim == 3 else labelmap


def _name(canvas: Canvas, document: _voc.Document, rename: bool, xml: str) -> None:
    """Give objects what the XML says of the box that fits each best."""
    free = [boxed for boxed in document.objects if boxed.box is not None]
    for parts in canvas.parts.values():
        (found,) = parts
        box = geometry.measure(found.shape, canvas.height, canvas.width)[1]
        best = max(free, key=lambda boxed: _overlap(box, boxed.box), default=None)
        if best is not None and _overlap(box, best.box) >= _MATCH:
            free.remove(best)
            label = best.name if rename and best.name else found.label
            if best.name and best.name != label:
                detail = f"the mask says {found.label!r}, the XML {best.name!r}; the mask's is kept"
                canvas.notes.append(Note("mask-and-xml-differ", f"{xml}: {found.place}", detail))
            parts[0] = msgspec.structs.replace(found, label=label, attributes=best.attributes or None)


def _overlap(one: tuple[float, ...], two: Optional[tuple[float, ...]]) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    from pycocotools import mask as coco_mask

    return float(coco_mask.iou([list(one)], [list(two)], [0])[0][0]) if two is not None else 0.0
