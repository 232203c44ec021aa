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

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common.sources import load_yaml, read_list, read_text
from seg2knet.dataset.class_table import class_rows
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import load_json
from seg2knet.errors import DataError, UsageError

_VOID = (
    "background", "backgrounds", "bg", "_background_", "__background__", "void", "unlabeled", "unlabelled", "ignore",
    "ignored", "_ignore_", "__ignore__", "none", "nothing", "unannotated",
)  # fmt: skip
_CAMVID = re.compile(r"^(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\S.*)$")
FILES = (
    "labelmap.txt", "dataset_meta.json", "labelmap.csv", "class_dict.csv", "_classes.csv", "label_colors.txt",
    "class_names.txt",
    "classes.txt", "labels.txt", "class_id_to_name.json", "classes.json", "config.json", "config_v2.0.json",
    "config_v1.2.json", "objectInfo150.txt", "objectInfo.txt", "objectInfo150.csv",
)  # fmt: skip
"""Names under which such a file is looked for."""


HIGHEST = 1 << 24
"""Numbers of classes are below it; colours of no class are above it (``_numbers``)."""


class Labelmap(msgspec.Struct, frozen=True):
    """Numbers and colours of a label image.

    Attributes:
        names: of each number that is a class.
        void: numbers that are none: background, unlabelled, ignored.
        colors: number of each colour, taken as ``red | green << 8 | blue << 16``.
        things: of each number where it is said, whether it is a thing.
    """

    names: dict[int, str]
    void: frozenset[int] = frozenset()
    colors: dict[int, int] = {}
    things: dict[int, bool] = {}

    def classes(self) -> ClassList:
        """The class list, in the order of the numbers; numbers of one name are one class."""
        back = {number: color for color, number in self.colors.items()}
        infos: dict[str, ClassInfo] = {}
        for number in sorted(self.names):
            name = self.names[number]
            color = back.get(number)
            rgb = (color & 255, color >> 8 & 255, color >> 16) if color is not None else None
            infos.setdefault(name, ClassInfo(name, self.things.get(number, True), rgb))
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
    """Read any of these files.

    Raises:
        DataError: it cannot be read, or says no class.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        entries = _from_json(load_json(path), path)
    elif suffix in (".yaml", ".yml"):
        entries = _from_json(load_yaml(path), path)
    elif suffix == ".csv":
        entries = _from_csv(path)
    else:
        entries = _from_text(path)
    # ADE20K's tables list classes alone, whatever they are called.
    return made(entries, path, all_classes=path.name.lower().startswith("objectinfo"))


def made(entries: Sequence[Entry], path: Optional[Path] = None, *, all_classes: bool = False) -> Labelmap:
    """From single lines.

    Args:
        path: the file, for errors.
        all_classes: a name such as ``background`` is a class's too.

    Raises:
        DataError: no class, a number or a colour of two classes.
    """
    names: dict[int, str] = {}
    colors: dict[int, int] = {}
    for entry in entries:
        if not -1 <= entry.number < HIGHEST:
            raise DataError(f"no pixel has the number of {entry.name!r}", file=path, found=str(entry.number))
        if names.get(entry.number, entry.name) != entry.name:
            raise DataError(
                f"the number {entry.number} stands for two classes",
                file=path,
                found=f"{names[entry.number]!r} and {entry.name!r}",
            )
        names[entry.number] = entry.name
        if entry.color is not None and colors.setdefault(entry.color, entry.number) != entry.number:
            raise DataError(
                f"the colour {written(entry.color)} stands for two classes",
                file=path,
                found=f"{names[colors[entry.color]]!r} and {entry.name!r}",
            )
    void = frozenset(number for number, name in names.items() if is_void(name) and not all_classes)
    if len(void) == len(names):
        raise DataError("no class in this file", file=path, found=", ".join(map(repr, names.values())) or "nothing")
    things = {entry.number: entry.isthing for entry in entries if entry.isthing is not None}
    first = {name: number for number, name in sorted(names.items(), reverse=True)}
    colors = {color: first[names[number]] for color, number in colors.items()}  # colours of one name are one class
    return Labelmap({number: name for number, name in names.items() if number not in void}, void, colors, things)


def from_option(text: str) -> Labelmap:
    """From ``--colors "car=255,0,0; road=#804080"``.

    Raises:
        UsageError: it is not of that form.
    """
    entries = []
    for number, part in enumerate(filter(None, re.split(r"[;\n]", text)), 1):
        name, equals, value = part.rpartition("=")
        color = _color(value.strip())
        if not equals or not name.strip() or color is None:
            raise UsageError(
                "not a list of colours", found=f"--colors {part.strip()}", expected='"car=255,0,0; road=#804080"'
            )
        entries.append(Entry(number, name.strip(), color))
    return made(entries)


def written(color: int) -> str:
    """A packed colour as people write it."""
    return f"({color & 255}, {color >> 8 & 255}, {color >> 16 & 255})"


class Entry(msgspec.Struct, frozen=True):
    """One line of such a file."""

    number: int
    name: str
    color: Optional[int] = None
    isthing: Optional[bool] = None


def listed(names: Sequence[str]) -> list[Entry]:
    """Names without numbers: from 1, or from 0 where the first is a background; LabelMe's ``__ignore__`` is -1."""
    start = 1
    if names and names[0].strip() == "__ignore__":
        start = -1
    elif names and is_void(names[0]):
        start = 0
    return [Entry(start + index, name) for index, name in enumerate(names)]


def _colored(names: Sequence[str], colors: Sequence[int]) -> list[Entry]:
    return [msgspec.structs.replace(entry, color=color) for entry, color in zip(listed(names), colors)]


def _from_text(path: Path) -> list[Entry]:
    text = read_text(path)
    if path.name.lower().startswith("objectinfo") or re.match(r"\s*idx\b", text, re.IGNORECASE):
        return _object_info(text, path)
    if "# label:color_rgb" in text or path.name.lower() == "labelmap.txt":
        return _cvat_lines(text, path)
    lines = read_list(path)
    camvid = [_CAMVID.match(line) for line in lines]
    if lines and all(camvid):
        colors = [_packed(int(match[1]), int(match[2]), int(match[3])) for match in camvid if match]
        return _colored([match[4].strip() for match in camvid if match], colors)
    numbered = [re.match(r"^(\d+)\s*[:=,\t]\s*(\S.*)$", line) for line in lines]
    if lines and all(numbered):
        return [Entry(int(match[1]), match[2].strip()) for match in numbered if match and len(match[1]) < 10]
    return listed(lines)


def _cvat_lines(text: str, path: Path) -> list[Entry]:
    entries: list[Entry] = []
    for place, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # A name may have colons of its own; colour, parts and actions follow it.
        match = re.match(r"^(.*?):(\d{1,3},\d{1,3},\d{1,3})?(?::([^:]*):([^:]*))?$", line.strip())
        if match is None:
            raise DataError(
                "not a line of a label map",
                file=path,
                place=f"line {place}",
                found=line[:100],
                expected="name:r,g,b:parts:actions",
            )
        entries.append(Entry(len(entries), match[1], _color(match[2]) if match[2] else None))
    return entries


def _object_info(text: str, path: Path) -> list[Entry]:
    entries = []
    for row in class_rows(text):
        if row.number is None:
            raise DataError(
                "not a line of objectInfo",
                file=path,
                place=f"line {row.line}",
                found=row.text[:100],
                expected="Idx ... Name",
            )
        entries.append(Entry(row.number, row.name, None, row.isthing))
    return entries


def _from_csv(path: Path) -> list[Entry]:
    text = read_text(path)
    try:
        delimiter = ";" if ";" in text.partition("\n")[0] else ","
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise DataError("not a CSV file", file=path, found=str(error)) from None
    if not rows:
        raise DataError("an empty table", file=path, expected="name,r,g,b or id,name")
    head = [cell.strip().lower() for cell in rows[0]]
    name = _column(head, "name", "label", "class", "class_name", "readable")
    if name is None:
        raise DataError(
            "no column of names", file=path, found=", ".join(rows[0])[:200], expected="name,r,g,b or id,name"
        )
    number = _column(head, "id", "index", "idx", "number", "value", "class_id", "pixel value")
    channels = [_column(head, short, long) for short, long in (("r", "red"), ("g", "green"), ("b", "blue"))]
    stuff = _column(head, "stuff")
    entries = []
    for place, row in enumerate(rows[1:]):
        try:
            said = place if number is None else int(row[number])
            color = _color(" ".join(row[c] for c in channels if c is not None)) if None not in channels else None
            if color is None and None not in channels:
                raise ValueError
            isthing = None if stuff is None else row[stuff].strip() not in ("1", "true")
            entries.append(Entry(said, row[name].strip(), color, isthing))
        except (ValueError, IndexError, TypeError):
            raise DataError(
                "not a line of the table", file=path, place=f"line {place + 2}", found=",".join(row)[:100]
            ) from None
    if number is None:
        numbers = [entry.number for entry in listed([entry.name for entry in entries])]
        return [msgspec.structs.replace(entry, number=said) for entry, said in zip(entries, numbers)]
    return entries


def _column(head: Sequence[str], *names: str) -> Optional[int]:
    return next((head.index(name) for name in names if name in head), None)


def _from_json(document: Any, path: Path) -> list[Entry]:
    if isinstance(document, Mapping):
        if isinstance(document.get("label_map"), Mapping):
            return _datumaro(document, path)
        if isinstance(document.get("labels"), list):
            return [_mapillary(number, entry, path) for number, entry in enumerate(document["labels"])]
        for key in ("names", "classes"):
            if isinstance(document.get(key), (list, Mapping)):
                document = document[key]
                break
    if isinstance(document, Mapping) and document:
        try:
            return [Entry(int(number), str(name)) for number, name in document.items()]
        except (ValueError, TypeError):
            pass
    if isinstance(document, list) and document and all(isinstance(name, str) for name in document):
        return listed(document)
    raise DataError("no classes in this file", file=path, expected='{"0": "background", "1": "car"} or a list of names')


def _datumaro(document: Mapping[str, Any], path: Path) -> list[Entry]:
    colors = document.get("segmentation_colors")
    entries = []
    for place, (number, name) in enumerate(document["label_map"].items()):
        color = None
        if isinstance(colors, list) and place < len(colors):
            color = _color(colors[place])
        background = str(document.get("background_label")) == str(number)
        if not re.fullmatch(r"-?\d{1,9}", str(number)):
            raise DataError("a class's number is none", file=path, place="label_map", found=repr(number)[:100])
        entries.append(Entry(int(number), "background" if background else str(name), color))
    return entries


def _mapillary(number: int, entry: Any, path: Path) -> Entry:
    if not isinstance(entry, Mapping):
        raise DataError(
            "not a class", file=path, place=f"labels[{number}]", found=repr(entry)[:100], expected="an object"
        )
    name = entry.get("readable") or entry.get("name")
    return Entry(
        number, str(name), _color(entry.get("color")), bool(entry["instances"]) if "instances" in entry else None
    )


def _color(value: Any) -> Optional[int]:
    if isinstance(value, str):
        if re.fullmatch("#[0-9a-fA-F]{6}", value):
            value = [int(value[i : i + 2], 16) for i in (1, 3, 5)]
        else:
            parts = re.split(r"[\s,]+", value.strip())
            value = [int(part) for part in parts] if all(re.fullmatch(r"\d{1,3}", part) for part in parts) else None
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(type(c) is int and 0 <= c < 256 for c in value):
        return _packed(*value)
    return None


def _packed(red: int, green: int, blue: int) -> int:
    return red | green << 8 | blue << 16
