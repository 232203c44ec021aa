"""Records of a JSON array, typed at once where they are sound, one by one and leniently where they are not.

``"42"`` is taken for 42 and ``true`` for 1, so that one wrong type is one finding and not ten; what was wrong is kept
as a ``TypeFault``. Ids that are words (``"img_7"``) get numbers of their own, the same word the same number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, List, Optional, TypeVar, Union

import msgspec
from msgspec import UNSET, Raw, Struct

from seg2knet.dataset.coco_json import AnnotationRecord, CategoryRecord, ImageRecord, SegmentRecord
from seg2knet.validators.subjects.document import RawDict, kind_of, shown, unmask

WORD_IDS = 1 << 40
"""Where the numbers begin that stand for ids that are words."""
_INT64 = 1 << 63

_TEXTS = ("file_name", "name", "supercategory")


@dataclass
class TypeFault:
    """A value of the wrong type.

    Attributes:
        pointer: where.
        expected: what should be there, in words.
        found: what is there: the value, or ``nothing``.
        value: what to put there, ``UNSET`` where nobody can say.
        word: the id that is a word, to be replaced by its number in ``Words``.
    """

    pointer: str
    expected: str
    found: str
    value: Any = UNSET
    word: Optional[str] = None


@dataclass
class Words:
    """Ids that are words: each has a number, the same in every table of the file."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, word: str) -> int:
        return self.numbers.setdefault(word, WORD_IDS + len(self.numbers))


@dataclass
class Reading:
    """What the readers of one file have in common."""

    image_words: Words = field(default_factory=Words)
    category_words: Words = field(default_factory=Words)
    faults: list[TypeFault] = field(default_factory=list)

    def fault(self, pointer: str, expected: str, value: Any, repair: Any = UNSET, word: Optional[str] = None) -> None:
        self.faults.append(TypeFault(pointer, expected, f"{kind_of(value)}: {shown(value)}", repair, word))


Coerce = Callable[[Any, str, Reading], Any]
"""Takes a value, its pointer and the reading; gives the value to use or ``UNSET``, after noting what was wrong."""
R = TypeVar("R", bound=Struct)


def as_int(value: Any, pointer: str, reading: Reading) -> Any:
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    repair = _integer(value)
    reading.fault(pointer, "an integer", value, UNSET if repair is None else repair)
    return UNSET if repair is None else repair


def as_own_id(value: Any, pointer: str, reading: Reading) -> Any:
    """An annotation's id: nothing refers to it, so that any other number does; the rules find one (``fresh_id``)."""
    if value is None:
        return UNSET
    return as_int(value, pointer, reading)


def as_optional_int(value: Any, pointer: str, reading: Reading) -> Any:
    """``null`` and what is not a number count as absent; the rule on absence says so."""
    if value is None or _integer(value) is None:
        return UNSET
    return as_int(value, pointer, reading)


def as_area(value: Any, pointer: str, reading: Reading) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(value)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return UNSET
        if math.isfinite(number):
            reading.fault(pointer, "a number", value, number)
            return number
    return UNSET


def as_text(value: Any, pointer: str, reading: Reading) -> Any:
    if isinstance(value, str):
        return value
    repair = str(value) if type(value) is int else UNSET
    reading.fault(pointer, "a string", value, repair)
    return repair


def as_any_text(value: Any, pointer: str, reading: Reading) -> Any:
    return value if isinstance(value, str) else None


def as_image_ref(value: Any, pointer: str, reading: Reading) -> Any:
    return _reference(value, pointer, reading, reading.image_words)


def as_category_ref(value: Any, pointer: str, reading: Reading) -> Any:
    return _reference(value, pointer, reading, reading.category_words)


def _reference(value: Any, pointer: str, reading: Reading, words: Words) -> Any:
    if isinstance(value, str) and _integer(value) is None:
        reading.fault(pointer, "an integer", value, word=value)
        return words.number(value)
    if value is None:
        return UNSET
    return as_int(value, pointer, reading)


def _integer(value: Any) -> Optional[int]:
    """What a value says as an integer, or ``None``."""
    number: Optional[int] = None
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value) and value == int(value)):
        number = int(value)
    elif isinstance(value, str):
        try:
            number = int(value) if value.isascii() and len(value) < 20 else None
        except ValueError:
            return _integer(_plain_float(value))
    return number if number is not None and -_INT64 <= number < _INT64 else None


def _plain_float(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None


def _float(value: Union[int, float]) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Schema:
    """How to read a record leniently: what each field wants. Fields typed ``Raw`` are kept as they are."""

    kind: type[Struct]
    fields: dict[str, Coerce]
    raw: Sequence[str] = ()

    @cached_property
    def loose(self) -> msgspec.json.Decoder[Any]:
        """A decoder that takes anything in every field."""
        fields: list[tuple[str, Any, Any]] = [(name, Any, UNSET) for name in self.fields]
        fields += [(name, Raw, Raw(b"")) for name in self.raw]
        return msgspec.json.Decoder(msgspec.defstruct("Loose", fields, gc=False))


IMAGE = Schema(
    ImageRecord, {"id": as_image_ref, "file_name": as_text, "width": as_optional_int, "height": as_optional_int}
)
CATEGORY = Schema(
    CategoryRecord,
    {"id": as_category_ref, "name": as_text, "isthing": as_optional_int, "supercategory": as_any_text},
)
ANNOTATION = Schema(
    AnnotationRecord,
    {
        "id": as_own_id,
        "image_id": as_image_ref,
        "category_id": as_category_ref,
        "iscrowd": as_optional_int,
        "area": as_area,
    },
    ("bbox", "segmentation"),
)
SEGMENT = Schema(
    SegmentRecord,
    {"id": as_own_id, "category_id": as_category_ref, "iscrowd": as_optional_int, "area": as_area},
    ("bbox",),
)


def loads(raw: Union[bytes, Raw, memoryview]) -> Any:
    """A JSON fragment as Python objects, masked numbers restored, numbers too large as infinite."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = json.loads(bytes(memoryview(raw)).decode("utf-8", "replace"))
    return unmask(value)


def read_array(raw: Raw, pointer: str, reading: Reading) -> Optional[list[Raw]]:
    """An array's elements unread, or ``None`` (and a fault) where it is none."""
    try:
        return msgspec.json.decode(raw, type=List[Raw])
    except msgspec.ValidationError:
        reading.fault(pointer, "an array", loads(raw))
        return None


def read_records(elements: Sequence[Raw], schema: Schema, pointer: str, reading: Reading) -> Iterator[Any]:
    """The elements as records of ``schema.kind``; ``None`` where an element is not an object."""
    decoder = msgspec.json.Decoder(schema.kind)
    for row, raw in enumerate(elements):
        try:
            record = decoder.decode(raw)
            if _fits(record):
                yield record
                continue
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        yield read_leniently(raw, schema, f"{pointer}/{row}", reading)


def _fits(record: Any) -> bool:
    """Whether every integer fits 64 bits."""
    values = (getattr(record, name) for name in record.__struct_fields__)
    return all(-_INT64 <= value < _INT64 for value in values if type(value) is int)


def read_leniently(raw: Raw, schema: Schema, pointer: str, reading: Reading) -> Any:
    try:
        loose = schema.loose.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_by_field(raw, schema, pointer, reading)
    values = {name: getattr(loose, name) for name in loose.__struct_fields__}
    for name, coerce in schema.fields.items():
        value = values[name]
        # Most fields of most records are right: an integer wants no second look.
        if value is not UNSET and not (type(value) is int and name not in _TEXTS and -_INT64 <= value < _INT64):
            values[name] = coerce(unmask(value), f"{pointer}/{name}", reading)
    return schema.kind(**values)


def _read_by_field(raw: Raw, schema: Schema, pointer: str, reading: Reading) -> Any:
    """The same, each field decoded by itself: for numbers that are too large, and for what is not an object."""
    try:
        parts = msgspec.json.decode(raw, type=RawDict)
    except msgspec.ValidationError:
        reading.fault(pointer, "an object", loads(raw))
        return None
    values: dict[str, Any] = {name: parts[name] for name in schema.raw if name in parts}
    for name, coerce in schema.fields.items():
        if name in parts:
            values[name] = coerce(loads(parts[name]), f"{pointer}/{name}", reading)
    return schema.kind(**values)
