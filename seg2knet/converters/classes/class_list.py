"""The classes of the result, in their order: from the user's file, from the sources, or from the labels that occur."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from seg2knet.converters.base import IGNORE, Scan
from seg2knet.converters.classes.classfile import read_classes
from seg2knet.converters.options import ConvertOptions
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.text import natural
from seg2knet.errors import UsageError


def told(options: ConvertOptions, scans: Sequence[Scan]) -> Optional[ClassList]:
    """The classes that a class file or the sources tell, or ``None`` where only reading does.

    Raises:
        UsageError: ``--map`` or ``--drop`` names a class that there is not.
    """
    if options.classes is not None:
        return _shaped(read_classes(options.classes), options)
    merged: Optional[ClassList] = ClassList()
    for found in scans:
        merged = merged.merged(found.classes) if merged is not None and found.classes is not None else None
    if merged is None:
        return None
    gone = (options.drop | set(options.mapping)) - set(merged.names)
    if gone:
        raise UsageError(
            "no such class", found=", ".join(sorted(gone)), expected=", ".join(merged.names),
            hint="names in --map and --drop are those of the source",
        )  # fmt: skip
    return _shaped(merged, options)


def seen(options: ConvertOptions, labels: Iterable[str]) -> ClassList:
    """The classes by the labels that were read, in natural order."""
    found = ClassList.of(sorted(set(labels) - {IGNORE}, key=natural))
    if options.stuff is not None:
        found = found.merged(ClassList.of(sorted(options.stuff - set(found.names))))
        found = found.with_stuff(options.stuff)
    return _ordered(_with_void(found, options), options)


def _shaped(classes: ClassList, options: ConvertOptions) -> ClassList:
    """Renamed, without those dropped, stuff marked, things first."""
    classes = classes.renamed(options.mapping).without(options.drop)
    if options.stuff is not None:
        classes = classes.with_stuff(options.stuff)
    return _ordered(_with_void(classes, options), options)


def _with_void(classes: ClassList, options: ConvertOptions) -> ClassList:
    """With the class of pixels that nobody claims as the last."""
    if options.void_class is None:
        return classes
    return ClassList((*classes.without([options.void_class]).classes, ClassInfo(options.void_class, isthing=False)))


def _ordered(classes: ClassList, options: ConvertOptions) -> ClassList:
    """Things first; but for ADE alone, which knows neither, as they are: places in the list are its numbers."""
    return classes if options.targets == ("ade",) else classes.things_first()
