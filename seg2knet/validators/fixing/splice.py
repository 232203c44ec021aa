"""Edits of a JSON text that leave every other byte as it is.

msgspec hands out the parts of a text unread, as views into it; where such a view begins in memory tells where the part
stands in the file. So an area can be put right in a file of 400 MB without a polygon being written anew.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, List, NamedTuple, Optional, Union

import msgspec
import numpy as np
from msgspec import Raw

from seg2knet.engines import uncollected
from seg2knet.validators.model import Remove, SetValue
from seg2knet.validators.subjects.document import RawDict, Text

_json = json.JSONEncoder(ensure_ascii=False)


class Splice(NamedTuple):
    """Bytes ``start`` to ``end`` of the text become ``new``."""

    start: int
    end: int
    new: bytes


Change = tuple[Optional[bytes], Optional[bytes]]
"""What an edit did: the value that stood at its place and the one that stands there now; ``None`` for none."""


@dataclass
class _Node:
    """The edits below one place by step, or the edit of the place itself."""

    below: dict[str, _Node] = field(default_factory=lambda: defaultdict(_Node))
    edit: Union[SetValue, Remove, None] = None


def plan(text: Text, edits: Iterable[Union[SetValue, Remove]]) -> tuple[list[Splice], dict[str, Change]]:
    """Where to cut and what to put in. Edits must not touch one another; pointers that lead nowhere are left out.

    Returns:
        Splices in the order of the text, none over another; and what changes, by pointer.
    """
    root = _Node()
    for edit in edits:
        node = root
        for step in edit.pointer.split("/")[1:]:
            node = node.below[step.replace("~1", "/").replace("~0", "~")]
        node.edit = edit
    planner = _Planner(text)
    with uncollected():
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
        self.changes: dict[str, Change] = {}

    def visit(self, raw: Union[Text, Raw], node: _Node, pointer: str) -> None:
        first = bytes(memoryview(raw)[:4096]).lstrip()[:1]
        if first == b"{":
            self._object(raw, msgspec.json.decode(raw, type=RawDict), node, pointer)
        elif first == b"[":
            self._array(msgspec.json.decode(raw, type=List[Raw]), node, pointer)

    def _span(self, raw: Any) -> tuple[int, int]:
        start = _address(raw) - self.base
        return start, start + len(memoryview(raw))

    def _array(self, elements: list[Raw], node: _Node, pointer: str) -> None:
        steps = {int(step): step for step in node.below if step.isdecimal() and int(step) < len(elements)}
        # Those at the end go with the comma before them, all others with the one after.
        gone = [
            row
            for row, step in sorted(steps.items())
            if self._edit(elements[row], node.below[step], f"{pointer}/{step}")
        ]
        tail = len(elements)
        while gone and gone[-1] == tail - 1:
            tail = gone.pop()
        if tail < len(elements):
            start = self._span(elements[tail - 1])[1] if tail else self._span(elements[0])[0]
            # A removed element right before the tail reaches to the tail's start, so the cuts may meet, not overlap.
            self.splices.append(Splice(start, self._span(elements[-1])[1], b""))
        for row in gone:
            self.splices.append(Splice(self._span(elements[row])[0], self._span(elements[row + 1])[0], b""))

    def _edit(self, raw: Raw, node: _Node, pointer: str) -> bool:
        """Edit a member or element that is there; whether it is to be removed."""
        if node.edit is None:
            self.visit(raw, node, pointer)
            return False
        new = _encode(node.edit.value) if isinstance(node.edit, SetValue) else None
        if new is not None:
            self.splices.append(Splice(*self._span(raw), new))
        self.changes[pointer] = (bytes(raw), new)
        return new is None

    def _object(self, raw: Union[Text, Raw], members: dict[str, Raw], node: _Node, pointer: str) -> None:
        gone: set[str] = set()
        new: dict[str, bytes] = {}
        for step, below in node.below.items():
            place = f"{pointer}/{step.replace('~', '~0').replace('/', '~1')}"
            if step in members:
                if self._edit(members[step], below, place):
                    gone.add(step)
            elif isinstance(below.edit, SetValue):
                new[step] = _encode(below.edit.value)
                self.changes[place] = (None, new[step])
        if gone or new:
            self._reshape(self._span(raw)[0], members, gone, new)

    def _reshape(self, start: int, members: dict[str, Raw], gone: set[str], new: dict[str, bytes]) -> None:
        """Take members out of an object and add new ones at its end."""
        spans = sorted((*self._span(raw), name) for name, raw in members.items())
        kept = [place for place, (_, _, name) in enumerate(spans) if name not in gone]
        opening = start + bytes(self.text[start : start + 4096]).index(b"{") + 1
        comma, colon = self._style(spans)
        added = b"".join(comma + _encode(name) + colon + value for name, value in new.items())
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
        gap = bytes(self.text[spans[-2][1] : spans[-1][0]]) if len(spans) > 1 else b""
        first, last = gap.find(b'"'), gap.rfind(b'"')
        return (gap[:first], gap[last + 1 :]) if 0 <= first < last and len(gap) <= 1000 else (b", ", b": ")


def _encode(value: Any) -> bytes:
    return _json.encode(value).encode("utf-8", "surrogatepass")
