"""The classes of the result, in their order: from the user's file, from the sources, or from the labels that occur.

A class file has names in order, and may say things, stuff and colours:

names.txt     one name a line; ``#`` begins a comment
classes.json  ["car", ...] or [{"name": "sky", "isthing": 0, "color": [70, 130, 180]}, ...], COCO's ``categories``,
classes.yaml  {"things": [...], "stuff": [...]}, {"names": [...]} or {"names": {0: ...}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Optional

import msgspec

from seg2knet.converters.base import IGNORE, Scan
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.readers.common.sources import rgb
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import load_json, load_yaml, read_text
from seg2knet.dataset.text import clean_name, natural
from seg2knet.errors import DataError, UsageError

_NOT_CLASSES = (IGNORE, "_background_")


def told(options: ConvertOptions, scans: Sequence[Scan]) -> Optional[ClassList]:
    """The classes that a class file or the sources tell, or ``None`` where only reading does.

    Raises UsageError: ``--map`` or ``--drop`` names a class that there is not.
    """
    if options.classes is not None:
        classes = read_classes(options.classes)
    else:
        lists = [scan.classes for scan in scans if scan.classes is not None]
        if len(lists) < len(scans):
            return None
        classes = reduce(ClassList.merged, lists, ClassList())
        gone = (options.drop | set(options.mapping)) - set(classes.names)
        if gone:
            raise UsageError(
                "no such class", found=", ".join(sorted(gone)), expected=", ".join(classes.names),
                hint="names in --map and --drop are those of the source",
            )  # fmt: skip
    return _finished(classes.renamed(options.mapping).without(options.drop), options)


def seen(options: ConvertOptions, labels: Iterable[str]) -> ClassList:
    """The classes by the labels that were read, in natural order."""
    found = ClassList.of(sorted(set(labels) - {IGNORE}, key=natural))
    return _finished(found.merged(ClassList.of(sorted((options.stuff or set()) - set(found.names)))), options)


def _finished(classes: ClassList, options: ConvertOptions) -> ClassList:
    """Stuff marked, the class of pixels that nobody claims last, things first; but for ADE alone, which knows neither,
    as they are: places in the list are its numbers.
    """
    if options.stuff is not None:
        classes = classes.with_stuff(options.stuff)
    if options.void_class is not None:
        void = ClassInfo(options.void_class, isthing=False)
        classes = ClassList((*classes.without([options.void_class]).classes, void))
    return classes if options.targets == ("ade",) else classes.things_first()


def read_classes(path: Path) -> ClassList:
    """Read a class file. Raises DataError: it cannot be read, or says no classes."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        document = load_json(path)
    elif suffix in (".yaml", ".yml"):
        document = load_yaml(path)
    else:
        lines = read_text(path).splitlines()
        document = [line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    infos = [info for info in _infos(document, path) if info.name not in _NOT_CLASSES]
    if not infos:
        raise _bad(path, "no class")
    return ClassList(tuple(infos))


def _infos(document: Any, path: Path) -> list[ClassInfo]:
    if isinstance(document, Mapping):
        if "things" in document or "stuff" in document:
            things = _infos(document.get("things") or [], path)
            stuff = _infos(document.get("stuff") or [], path)
            return [*things, *(msgspec.structs.replace(info, isthing=False) for info in stuff)]
        for key in ("categories", "classes", "names"):
            if key in document:
                return _infos(document[key], path)
        if all(isinstance(key, int) for key in document):
            return _infos([document[key] for key in sorted(document)], path)
    if not isinstance(document, list):
        raise _bad(path, type(document).__name__)
    return [_info(entry, path) for entry in document]


def _info(entry: Any, path: Path) -> ClassInfo:
    if isinstance(entry, (str, int, float)) and not isinstance(entry, bool):
        entry = {"name": str(entry)}
    if not isinstance(entry, Mapping):
        raise _bad(path, repr(entry))
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _bad(path, f"a class without a name: {dict(entry)!r}")
    color = rgb(entry.get("color"))
    if color is None and entry.get("color") is not None:
        raise _bad(path, f"the colour {entry['color']!r}")
    return ClassInfo(clean_name(name), bool(entry.get("isthing", True)), color, str(entry.get("supercategory") or ""))


def _bad(path: Path, found: str) -> DataError:
    expected = 'one name a line; or JSON/YAML: names, {"name", "isthing", "color"} objects, or {"things", "stuff"}'
    return DataError("not a class file", file=path, found=found, expected=expected)
