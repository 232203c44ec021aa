"""Which number, and which colour, of a label image is which class: the many files that say so.

labelmap.txt        CVAT, Datumaro: ``name:r,g,b:parts:actions``
dataset_meta.json   Datumaro: ``label_map``, ``segmentation_colors``, ``background_label``
labelmap.csv        columns ``name`` and ``r, g, b``, or ``id``/``index``
_classes.csv        Roboflow: ``Pixel Value, Class``
config*.json        Mapillary Vistas: ``labels`` with ``readable``, ``color``, ``instances``
NAMES.json          ``{"0": "background", "1": "car"}`` or ``["background", "car"]``
label_colors.txt    CamVid: ``r g b name``
NAMES.txt           one name a line; the first is number 1, or 0 where it is a background
objectInfo150.txt   ADE20K: ``Idx ... Name``; the CSV also says what is stuff
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Optional

import msgspec
from typing_extensions import Literal

from seg2knet.converters.base import ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.sources import read_list, read_rows, rgb
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import load_json, load_yaml, read_text
from seg2knet.dataset.text import class_rows
from seg2knet.errors import DataError, UsageError

_VOID = (
    "background", "backgrounds", "bg", "_background_", "__background__", "void", "unlabeled", "unlabelled", "ignore",
    "ignored", "_ignore_", "__ignore__", "none", "nothing", "unannotated",
)  # fmt: skip
_CAMVID = re.compile(r"^(\d{1,3}[\s,]+\d{1,3}[\s,]+\d{1,3})[\s,]+(\S.*)$")
_NUMBERED = re.compile(r"^(\d{1,9})\s*[:=,\t]\s*(\S.*)$")
_CVAT = re.compile(r"^(.*?):(\d{1,3},\d{1,3},\d{1,3})?(?::([^:]*):([^:]*))?$")  # a name may have colons of its own
_WHOLE = re.compile(r"-?\d{1,9}")
FILES = (
    "labelmap.txt", "dataset_meta.json", "labelmap.csv", "class_dict.csv", "_classes.csv", "label_colors.txt",
    "class_names.txt", "classes.txt", "labels.txt", "class_id_to_name.json", "classes.json", "config.json",
    "config_v2.0.json", "config_v1.2.json", "objectInfo150.txt", "objectInfo.txt", "objectInfo150.csv",
)  # fmt: skip
"""Names under which such a file is looked for."""
_COLUMNS = (
    ("name", "label", "class", "class_name", "readable"),
    ("id", "index", "idx", "number", "value", "class_id", "pixel value"), ("stuff",),
    ("r", "red"), ("g", "green"), ("b", "blue"),
)  # fmt: skip
HIGHEST = 1 << 24
"""Numbers of classes are below it; colours of no class are above it (``Decoder``)."""


class LabelmapOptions(ReaderOptions):
    labelmap: Optional[Path] = option(
        None,
        "Classes by number or colour: labelmap.txt, dataset_meta.json, objectInfo150.txt, a CSV, names one "
        "a line. Looked for when not given; without any, a class is called by its number.",
    )
    instances: Literal["components", "per-class"] = option(
        "components", "Masks that know no instances: each connected piece is an object, or each class is one."
    )


class Labelmap(msgspec.Struct, frozen=True):
    """Numbers and colours of a label image: ``names`` of the numbers that are classes; ``void`` ones (background,
    unlabelled, ignored); the number of each packed colour; where it is said, what is a thing."""

    names: dict[int, str]
    void: frozenset[int] = frozenset()
    colors: dict[int, int] = {}
    things: dict[int, bool] = {}

    def classes(self) -> ClassList:
        """The class list, in the order of the numbers; numbers of one name are one class."""
        back = {number: color for color, number in self.colors.items()}
        infos: dict[str, ClassInfo] = {}
        for number, name in sorted(self.names.items()):
            color = _channels(back[number]) if number in back else None
            infos.setdefault(name, ClassInfo(name, self.things.get(number, True), color))
        return ClassList(tuple(infos.values()))


def is_void(name: str) -> bool:
    """Whether a name is one of those by which people call what is no class."""
    return name.strip().lower() in _VOID


def find(folders: Sequence[Path], above: Path) -> Optional[Path]:
    """The first file in ``folders`` that says the classes, by its name; else CVAT's, up to two levels ``above``."""
    files = [folder / name for folder in folders for name in FILES]
    files += [folder / FILES[0] for folder in above.absolute().parents[:2]]
    return next((path for path in files if path.is_file()), None)


def read(path: Path) -> Labelmap:
    """Read any of these files; DataError where it cannot be read, or says no class."""
    load = {".json": load_json, ".yaml": load_yaml, ".yml": load_yaml}.get(path.suffix.lower())
    read_other = _from_csv if path.suffix.lower() == ".csv" else _from_text
    entries = _from_json(load(path), path) if load is not None else read_other(path)
    # ADE20K's tables list classes alone, whatever they are called.
    return made(entries, path, all_classes=path.name.lower().startswith("objectinfo"))


def made(entries: Sequence[Entry], path: Optional[Path] = None, *, all_classes: bool = False) -> Labelmap:
    """From single lines; with ``all_classes`` a name such as ``background`` is a class's too. DataError where there is
    no class, or a number or a colour of two."""
    names: dict[int, str] = {}
    colors: dict[int, int] = {}
    for entry in entries:
        if not -1 <= entry.number < HIGHEST:
            raise DataError(f"no pixel has the number of {entry.name!r}", file=path, found=str(entry.number))
        what, other = f"number {entry.number}", names.setdefault(entry.number, entry.name)
        if other == entry.name and entry.color is not None:
            what, other = f"colour {written(entry.color)}", names[colors.setdefault(entry.color, entry.number)]
        if other != entry.name:
            raise DataError(f"the {what} stands for two classes", file=path, found=f"{other!r} and {entry.name!r}")
    void = frozenset(number for number, name in names.items() if is_void(name) and not all_classes)
    if len(void) == len(names):
        raise DataError("no class in this file", file=path, found=", ".join(map(repr, names.values())) or "nothing")
    things = {entry.number: entry.isthing for entry in entries if entry.isthing is not None}
    first = {name: number for number, name in sorted(names.items(), reverse=True)}
    colors = {color: first[names[number]] for color, number in colors.items()}  # colours of one name are one class
    return Labelmap({number: name for number, name in names.items() if number not in void}, void, colors, things)


def from_option(text: str) -> Labelmap:
    """From ``--colors "car=255,0,0; road=#804080"``; UsageError where it is not of that form."""
    entries = []
    for number, part in enumerate(filter(None, re.split(r"[;\n]", text)), 1):
        name, equals, value = part.rpartition("=")
        color = _color(value.strip())
        if not equals or not name.strip() or color is None:
            found, expected = f"--colors {part.strip()}", '"car=255,0,0; road=#804080"'
            raise UsageError("not a list of colours", found=found, expected=expected)
        entries.append(Entry(number, name.strip(), color))
    return made(entries)


def written(color: int) -> str:
    """A packed colour as people write it."""
    return str(_channels(color))


def _channels(color: int) -> tuple[int, int, int]:
    return color & 255, color >> 8 & 255, color >> 16 & 255


class Entry(NamedTuple):
    number: int
    name: str
    color: Optional[int] = None
    isthing: Optional[bool] = None


def numbered(entries: Sequence[Entry]) -> list[Entry]:
    """Names get numbers: from 1, or from 0 where the first is a background; LabelMe's ``__ignore__`` is -1."""
    first = entries[0].name if entries else ""
    start = -1 if first.strip() == "__ignore__" else 0 if is_void(first) else 1
    return [entry._replace(number=number) for number, entry in enumerate(entries, start)]


def _from_text(path: Path) -> list[Entry]:
    text, entries = read_text(path), list[Entry]()
    if path.name.lower().startswith("objectinfo") or re.match(r"\s*idx\b", text, re.IGNORECASE):
        for row in class_rows(text):
            if row.number is None:
                raise _bad_line(path, row.line, row.text, "Idx ... Name")
            entries.append(Entry(row.number, row.name, None, row.isthing))
        return entries
    lines = read_list(path)
    if "# label:color_rgb" in text or path.name.lower() == "labelmap.txt":
        for number, line in enumerate(lines):
            match = _CVAT.match(line)
            if match is None:
                place = [line.strip() for line in text.splitlines()].index(line)
                raise _bad_line(path, place + 1, line, "name:r,g,b:parts:actions")
            entries.append(Entry(number, match[1], _color(match[2])))
        return entries
    camvid, plain = ([match for match in map(one.match, lines) if match] for one in (_CAMVID, _NUMBERED))
    if lines and len(camvid) == len(lines):
        return numbered([Entry(0, match[2].strip(), _color(match[1])) for match in camvid])
    if lines and len(plain) == len(lines):
        return [Entry(int(match[1]), match[2].strip()) for match in plain]
    return numbered([Entry(0, line) for line in lines])


def _from_csv(path: Path) -> list[Entry]:
    rows = read_rows(path, semicolons=True)
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    name, number, stuff, *channels = (
        next((head.index(word) for word in words if word in head), None) for words in _COLUMNS
    )
    if name is None:
        found = ", ".join(head)[:200] or "an empty table"
        raise DataError("no column of names", file=path, found=found, expected="name,r,g,b or id,name")
    entries: list[Entry] = []
    for place, row in enumerate(rows[1:], 2):
        try:
            color = None
            if None not in channels:
                color = _color(" ".join(row[channel] for channel in channels if channel is not None))
                if color is None:
                    raise ValueError
            isthing = None if stuff is None else row[stuff].strip() not in ("1", "true")
            entries.append(Entry(0 if number is None else int(row[number]), row[name].strip(), color, isthing))
        except (ValueError, IndexError):
            raise _bad_line(path, place, ",".join(row), ",".join(head)) from None
    return numbered(entries) if number is None else entries


def _from_json(document: Any, path: Path) -> list[Entry]:
    if isinstance(document, Mapping):
        if isinstance(document.get("label_map"), Mapping):
            return _datumaro(document, path)
        if isinstance(document.get("labels"), list):
            return list(_mapillary(document["labels"], path))
        document = next((document[key] for key in ("names", "classes") if key in document), document)
    if isinstance(document, Mapping) and document and all(_WHOLE.fullmatch(str(number)) for number in document):
        return [Entry(int(number), str(name)) for number, name in document.items()]
    if isinstance(document, list) and document and all(isinstance(name, str) for name in document):
        return numbered([Entry(0, name) for name in document])
    raise DataError("no classes in this file", file=path, expected='{"0": "background", "1": "car"} or a list of names')


def _datumaro(document: Mapping[str, Any], path: Path) -> list[Entry]:
    names, colors = document["label_map"], document.get("segmentation_colors")
    wrong = next((number for number in names if not _WHOLE.fullmatch(str(number))), None)
    if wrong is not None:
        raise DataError("a class's number is not a number", file=path, place="label_map", found=repr(wrong)[:100])
    names = {int(number): str(name) for number, name in names.items()}
    names.update({number: "background" for number in names if str(number) == str(document.get("background_label"))})
    colors = colors[: len(names)] if isinstance(colors, list) else []
    return [Entry(number, name, _color(color)) for (number, name), color in zip_longest(names.items(), colors)]


def _mapillary(labels: list[Any], path: Path) -> Iterator[Entry]:
    for number, label in enumerate(labels):
        if not isinstance(label, Mapping):
            raise DataError("not a class", file=path, place=f"labels[{number}]", found=repr(label)[:100])
        thing = bool(label["instances"]) if "instances" in label else None
        yield Entry(number, str(label.get("readable") or label.get("name")), _color(label.get("color")), thing)


def _bad_line(path: Path, line: int, found: str, expected: str) -> DataError:
    problem = "not a line of a label map"
    return DataError(problem, file=path, place=f"line {line}", found=found[:100], expected=expected)


def _color(value: Any) -> Optional[int]:
    """A colour, packed; ``None`` where it is not one."""
    color = rgb(value)
    return color and (color[0] | color[1] << 8 | color[2] << 16)


_CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
CITYSCAPES = Labelmap(
    names={number: name for number, name in enumerate(_CITYSCAPES) if number},
    void=frozenset({0}),
    things={number: number >= _CITYSCAPES.index("person") for number in range(1, len(_CITYSCAPES))},
)
"""Cityscapes' numbers, which KITTI shares (https://github.com/mcordts/cityscapesScripts, helpers/labels.py)."""
