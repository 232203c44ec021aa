"""Edits of a JSON text that leave every other byte as it is.

msgspec hands out the parts of a text unread, as views into it; where such a view begins in memory tells where the part
stands in the file. So an area can be put right in a file of 400 MB without a polygon being written anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, NamedTuple, Optional, Union

import msgspec
import numpy as np
from msgspec import Raw

from seg2knet.validators.model import Remove, SetValue
from seg2knet.validators.subjects.document import RawDict, Text, no_gc

JsonEdit = Union[SetValue, Remove]
_REMOVE = object()


class Splice(NamedTuple):
    """Bytes ``start`` to ``end`` of the text become ``new``."""

    start: int
    end: int
    new: bytes


class Change(NamedTuple):
    """What an edit did: the value that stood at the pointer and the one that stands there now; ``None`` for none."""

    pointer: str
    old: Optional[bytes]
    new: Optional[bytes]


@dataclass
class _Node:
    """The edits below one place: by step, a node or a leaf (a value, or ``_REMOVE``)."""

    below: dict[str, _Node] = field(default_factory=dict)
    leaf: Any = None
    is_leaf: bool = False


def plan(text: Text, edits: Sequence[JsonEdit]) -> tuple[list[Splice], list[Change]]:
    """Where to cut and what to put in. Edits must not touch one another; pointers that lead nowhere are left out.

    Returns:
        Splices in the order of the text, none over another; and what changes.
    """
    root = _Node()
    for edit in edits:
        node = root
        for step in edit.pointer.split("/")[1:]:
            node = node.below.setdefault(step.replace("~1", "/").replace("~0", "~"), _Node())
        node.is_leaf = True
        node.leaf = _REMOVE if isinstance(edit, Remove) else edit.value
    planner = _Planner(text)
    with no_gc():
        planner.visit(text, root, "")
    return sorted(planner.splices), planner.changes


def _address(value: Union[Text, Raw]) -> int:
    """Where a value's bytes stand in memory: a ``Raw`` is a stretch of the text that it was read from."""
    return int(np.frombuffer(value, np.uint8).__array_interface__["data"][0])


class _Planner:
    def __init__(self, text: Text) -> None:
        self.text = text
        self.base = _address(text)
        self.splices: list[Splice] = []
        self.changes: list[Change] = []

    def visit(self, raw: Union[Text, Raw], node: _Node, pointer: str) -> None:
        first = bytes(memoryview(raw)[:4096]).lstrip()[:1]
        if first == b"{":
            self._object(msgspec.json.decode(raw, type=RawDict), self._span(raw), node, pointer)
        elif first == b"[":
            self._array(msgspec.json.decode(raw, type=List[Raw]), node, pointer)

    def _span(self, raw: Any) -> tuple[int, int]:
        start = _address(raw) - self.base
        return start, start + len(memoryview(raw))

    def _array(self, elements: list[Raw], node: _Node, pointer: str) -> None:
        gone: list[int] = []
        for step, below in node.below.items():
            if not step.isdecimal() or int(step) >= len(elements):
                continue
            row = int(step)
            if below.is_leaf and below.leaf is _REMOVE:
                gone.append(row)
                self.changes.append(Change(f"{pointer}/{step}", bytes(elements[row]), None))
            elif below.is_leaf:
                self._replace(elements[row], below.leaf, f"{pointer}/{step}")
            else:
                self.visit(elements[row], below, f"{pointer}/{step}")
        self._drop_elements(elements, sorted(gone))

    def _drop_elements(self, elements: list[Raw], gone: list[int]) -> None:
        # Those at the end go with the comma before them, all others with the one after.
        tail = len(elements)
        while gone and gone[-1] == tail - 1:
            tail = gone.pop()
        if tail < len(elements):
            start = self._span(elements[tail - 1])[1] if tail else self._span(elements[0])[0]
            # A removed element right before the tail reaches to the tail's start, so the cuts may meet, not overlap.
            self.splices.append(Splice(start, self._span(elements[-1])[1], b""))
        for row in gone:
            self.splices.append(Splice(self._span(elements[row])[0], self._span(elements[row + 1])[0], b""))

    def _object(self, members: dict[str, Raw], span: tuple[int, int], node: _Node, pointer: str) -> None:
        gone: set[str] = set()
        new: list[tuple[str, Any]] = []
        for step, below in node.below.items():
            place = f"{pointer}/{step.replace('~', '~0').replace('/', '~1')}"
            if not below.is_leaf:
                if step in members:
                    self.visit(members[step], below, place)
            elif below.leaf is _REMOVE:
                if step in members:
                    gone.add(step)
                    self.changes.append(Change(place, bytes(members[step]), None))
            elif step in members:
                self._replace(members[step], below.leaf, place)
            else:
                new.append((step, below.leaf))
                self.changes.append(Change(place, None, _encode(below.leaf)))
        if gone or new:
            self._reshape_object(members, span, gone, new)

    def _reshape_object(
        self, members: dict[str, Raw], span: tuple[int, int], gone: set[str], new: list[tuple[str, Any]]
    ) -> None:
        spans = sorted((*self._span(raw), name) for name, raw in members.items())
        kept = [place for place, (_, _, name) in enumerate(spans) if name not in gone]
        opening = span[0] + bytes(self.text[span[0] : span[0] + 4096]).index(b"{") + 1
        added = b"".join(_member(name, value, self._style(spans)) for name, value in new)
        if not kept:
            end = spans[-1][1] if spans else opening
            self.splices.append(Splice(opening, end, added.lstrip(b", \r\n\t")))
            return
        if kept[0] > 0:
            # The first ones go with the comma after them.
            gap = bytes(self.text[spans[kept[0] - 1][1] : spans[kept[0]][0]])
            self.splices.append(Splice(opening, spans[kept[0] - 1][1] + gap.index(b",") + 1, b""))
        for place in range(kept[0] + 1, len(spans)):
            if spans[place][2] in gone:
                self.splices.append(Splice(spans[place - 1][1], spans[place][1], b""))
        if added:
            self.splices.append(Splice(spans[-1][1], spans[-1][1], added))

    def _style(self, spans: Sequence[tuple[int, int, str]]) -> tuple[bytes, bytes]:
        """What stands before a key and between it and its value, taken from the object's own members."""
        if len(spans) < 2:
            return b", ", b": "
        gap = bytes(self.text[spans[-2][1] : spans[-1][0]])
        key_from, key_to = gap.find(b'"'), gap.rfind(b'"')
        if key_from < 0 or key_to <= key_from or len(gap) > 1000:
            return b", ", b": "
        return gap[:key_from], gap[key_to + 1 :]

    def _replace(self, raw: Raw, value: Any, pointer: str) -> None:
        encoded = _encode(value)
        self.splices.append(Splice(*self._span(raw), encoded))
        self.changes.append(Change(pointer, bytes(raw), encoded))


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _member(name: str, value: Any, style: tuple[bytes, bytes]) -> bytes:
    return style[0] + _encode(name) + style[1] + _encode(value)
