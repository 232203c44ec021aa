"""Class files: names in order, and where they are said, things, stuff and colours.

names.txt     one name a line; ``#`` begins a comment
classes.json  ["car", ...] or [{"name": "sky", "isthing": 0, "color": [70, 130, 180]}, ...], COCO's ``categories``,
classes.yaml  {"things": [...], "stuff": [...]}, {"names": [...]} or {"names": {0: ...}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import IGNORE
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import parse_json
from seg2knet.errors import DataError

_NOT_CLASSES = (IGNORE, "_background_")


def read_classes(path: Path) -> ClassList:
    """Read a class file.

    Raises:
        DataError: it cannot be read, or says no classes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError("the class file cannot be read", file=path, found=error.strerror or str(error)) from None
    if path.suffix.lower() == ".json":
        document = parse_json(data, path)
    elif path.suffix.lower() in (".yaml", ".yml"):
        document = _yaml(data, path)
    else:
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        document = [line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    infos = [info for info in _infos(document, path) if info.name not in _NOT_CLASSES]
    if not infos:
        raise _bad(path, "no class")
    return ClassList(tuple(infos))


def _yaml(data: bytes, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(data.decode("utf-8-sig", errors="replace"))
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError("not YAML", file=path, found=str(error).splitlines()[0]) from None


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
