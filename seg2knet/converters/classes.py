"""The classes of the result, in their order: from the user's file, from the sources, or from the labels that occur.

A class file has names in order, and may say things, stuff and colours:

names.txt     one name a line; ``#`` begins a comment
classes.json  ["car", ...] or [{"name": "sky", "isthing": 0, "color": [70, 130, 180]}, ...], COCO's ``categories``,
classes.yaml  {"things": [...], "stuff": [...]}, {"names": [...]} or {"names": {0: ...}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import IGNORE, Scan
from seg2knet.converters.options import ConvertOptions
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import load_json, load_yaml, read_text
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError, UsageError

_NOT_CLASSES = (IGNORE, "_background_")


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


def read_classes(path: Path) -> ClassList:
    """Read a class file.

    Raises:
        DataError: it cannot be read, or says no classes.
    """
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
            stuff = [_info({**_as_entry(entry, path), "isthing": 0}, path) for entry in document.get("stuff") or []]
            return [*things, *stuff]
        for key in ("categories", "classes", "names"):
            if key in document:
                return _infos(document[key], path)
        if all(isinstance(key, int) for key in document):
            return _infos([document[key] for key in sorted(document)], path)
    if not isinstance(document, list):
        raise _bad(path, type(document).__name__)
    return [_info(_as_entry(entry, path), path) for entry in document]


def _as_entry(entry: Any, path: Path) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        return dict(entry)
    if isinstance(entry, (str, int, float)) and not isinstance(entry, bool):
        return {"name": str(entry)}
    raise _bad(path, repr(entry))


def _info(entry: Mapping[str, Any], path: Path) -> ClassInfo:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _bad(path, f"a class without a name: {dict(entry)!r}")
    return ClassInfo(
        name, bool(entry.get("isthing", True)), color(entry.get("color"), path), str(entry.get("supercategory") or "")
    )


def color(value: Any, path: Path) -> Optional[tuple[int, int, int]]:
    """RGB from ``[r, g, b]`` or ``#rrggbb``; ``None`` from ``None``.

    Raises:
        DataError: it is not a colour.
    """
    if value is None:
        return None
    if isinstance(value, str) and len(value) == 7 and value[0] == "#":
        value = list(bytes.fromhex(value[1:])) if all(c in "0123456789abcdefABCDEF" for c in value[1:]) else value
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(type(c) is int and 0 <= c < 256 for c in value):
        return value[0], value[1], value[2]
    raise _bad(path, f"the colour {value!r}")


def _bad(path: Path, found: str) -> DataError:
    return DataError(
        "not a class file",
        file=path,
        found=found,
        expected='one name a line; or JSON/YAML: names, {"name", "isthing", "color"} objects, or {"things", "stuff"}',
    )
