"""Records of a JSON array: typed where they are sound, read field by field and leniently where they are not.

``"42"`` is taken for 42 and ``true`` for 1, so that one wrong type is one finding and not ten; what was wrong is kept
as a ``TypeFault``. Ids that are words (``"img_7"``) get numbers of their own, the same word the same number.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, List, Optional, Union

import msgspec
from msgspec import UNSET, Raw, Struct

from seg2knet.dataset.coco_json import AnnotationRecord, CategoryRecord, ImageRecord, PanopticRecord, SegmentRecord
from seg2knet.validators.subjects.document import RawDict, kind_of, shown, unmask

WORD_IDS = 1 << 40
"""Where the numbers begin that stand for ids that are words."""
_INT64 = 1 << 63
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass
class TypeFault:
    """A value of the wrong type: what should be there and what is, in words; ``value`` is what to put there (``UNSET``
    where nobody can say), ``word`` the id that is a word."""

    pointer: str
    expected: str
    found: str
    value: Any = UNSET
    word: Optional[str] = None


@dataclass
class Reading:
    """What is learnt while a file is read: wrong types, and the numbers of ids that are words."""

    image_words: dict[str, int] = field(default_factory=dict)
    category_words: dict[str, int] = field(default_factory=dict)
    faults: list[TypeFault] = field(default_factory=list)

    def fault(self, pointer: str, expected: str, value: Any, repair: Any = UNSET, word: Optional[str] = None) -> Any:
        """Note a fault; the value to use is its repair."""
        self.faults.append(TypeFault(pointer, expected, f"{kind_of(value)}: {shown(value)}", repair, word))
        return repair


Coerce = Callable[[Any, str, Reading], Any]
"""Takes a value, its pointer and the reading; gives the value to use or ``UNSET``, after noting what was wrong."""


def as_int(value: Any, pointer: str, reading: Reading) -> Any:
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    repair = _integer(value)
    return reading.fault(pointer, "an integer", value, UNSET if repair is None else repair)


def as_own_id(value: Any, pointer: str, reading: Reading) -> Any:
    """An annotation's id: nothing refers to it, so that any other number does; the rules choose one (``fresh_ids``)."""
    return UNSET if value is None else as_int(value, pointer, reading)


def as_optional_int(value: Any, pointer: str, reading: Reading) -> Any:
    """``null`` and what is not a number count as absent; the rule on absence says so."""
    return UNSET if _integer(value) is None else as_int(value, pointer, reading)


def as_area(value: Any, pointer: str, reading: Reading) -> Any:
    if value is None or isinstance(value, bool):
        return UNSET
    try:
        number = float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return UNSET
    if not isinstance(value, str):
        return number
    return reading.fault(pointer, "a number", value, number) if math.isfinite(number) else UNSET


def as_text(value: Any, pointer: str, reading: Reading) -> Any:
    if isinstance(value, str):
        return value
    return reading.fault(pointer, "a string", value, str(value) if type(value) is int else UNSET)


def as_any_text(value: Any, pointer: str, reading: Reading) -> Any:
    return value if isinstance(value, str) else None


def _reference(which: str, value: Any, pointer: str, reading: Reading) -> Any:
    """An id that may be a word; ``which``: the words of the reading that it is one of."""
    if isinstance(value, str) and _integer(value) is None:
        reading.fault(pointer, "an integer", value, word=value)
        words = getattr(reading, which)
        return words.setdefault(value, WORD_IDS + len(words))
    return UNSET if value is None else as_int(value, pointer, reading)


as_image_ref: Coerce = partial(_reference, "image_words")
as_category_ref: Coerce = partial(_reference, "category_words")


def _integer(value: Any) -> Optional[int]:
    """The integer of 64 bits that a value says (``7``, ``7.0``, ``"7"``, ``"7.0"``, ``true``), or ``None``."""
    for kind in (int, float) if isinstance(value, str) and value.isascii() else ():
        with contextlib.suppress(ValueError):
            value = kind(value)
            break
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return int(value) if isinstance(value, int) and -_INT64 <= value < _INT64 else None


@dataclass(frozen=True)
class Schema:
    """How to read a record leniently: what its fields want, and the records of its array ``segments_info``. All other
    fields of ``kind`` are kept unread."""

    kind: type[Struct]
    fields: dict[str, Coerce]
    below: Optional[Schema] = None


IMAGE = Schema(
    ImageRecord, {"id": as_image_ref, "file_name": as_text, "width": as_optional_int, "height": as_optional_int}
)
CATEGORY = Schema(
    CategoryRecord,
    {"id": as_category_ref, "name": as_text, "isthing": as_optional_int, "supercategory": as_any_text},
)
_OBJECT = {"id": as_own_id, "category_id": as_category_ref, "iscrowd": as_optional_int, "area": as_area}
ANNOTATION = Schema(AnnotationRecord, {"image_id": as_image_ref, **_OBJECT})
PANOPTIC = Schema(
    PanopticRecord, {"image_id": as_image_ref, "file_name": as_text}, below=Schema(SegmentRecord, _OBJECT)
)


def _any_length(digits: str) -> float:
    return int(digits) if len(digits) < 4000 else float(digits)  # ``int`` raises at more than 4,300


def loads(raw: Union[bytes, Raw, memoryview]) -> Any:
    """A JSON fragment as Python objects, masked numbers restored, numbers too large as infinite."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = json.loads(bytes(raw).decode("utf-8", "replace"), parse_int=_any_length)
    return unmask(value) if b'"' in bytes(raw) else value


def read_array(raw: Raw, pointer: str, reading: Reading) -> Optional[list[Raw]]:
    """An array's elements unread, or ``None`` (and a fault) where it is none."""
    try:
        return msgspec.json.decode(raw, type=List[Raw])
    except msgspec.ValidationError:
        reading.fault(pointer, "an array", loads(raw))
        return None


def read_records(elements: Sequence[Raw], schema: Schema, pointer: str, reading: Reading) -> list[Any]:
    """The elements as records of ``schema.kind``; ``None`` where an element is not an object."""
    decoder = msgspec.json.Decoder(schema.kind)
    records = []
    for row, raw in enumerate(elements):
        try:
            record = decoder.decode(raw)
            sound = _fits(record)
        except _REFUSED:
            sound = False
        records.append(record if sound else _read_leniently(raw, schema, f"{pointer}/{row}", reading))
    return records


def _fits(record: Struct) -> bool:
    """Whether every integer fits 64 bits."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if type(value) is int and not -_INT64 <= value < _INT64:
            return False
        if type(value) is list and not all(map(_fits, value)):
            return False
    return True


def _read_leniently(raw: Raw, schema: Schema, pointer: str, reading: Reading) -> Any:
    try:
        parts = msgspec.json.decode(raw, type=RawDict)
    except msgspec.ValidationError:
        reading.fault(pointer, "an object", loads(raw))
        return None
    values: dict[str, Any] = {}
    for name in schema.kind.__struct_fields__:
        place = f"{pointer}/{name}"
        if name not in parts:
            continue
        if name in schema.fields:
            values[name] = schema.fields[name](loads(parts[name]), place, reading)
        elif schema.below is None:
            values[name] = parts[name]
        else:
            elements = read_array(parts[name], place, reading)
            if elements is not None:
                rows = read_records(elements, schema.below, place, reading)
                values[name] = [row or schema.below.kind() for row in rows]
    return schema.kind(**values)
