"""Where things stand in a CVAT XML file: found by their tags, in one pass over the mapped file, without a tree.

A file has one ``<meta>`` and then ``<image>`` elements, or ``<track>`` elements with a shape a frame. What is kept of
an element is where it begins and ends, so that a file of many gigabytes costs some bytes an image, and each worker
parses what it is to read. (https://docs.cvat.ai/docs/manual/advanced/xml_format/)
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import msgspec

from seg2knet.converters.readers.common import xml as _xml
from seg2knet.errors import DataError

_ATTRIBUTES = rb"""((?:[^<>"']|"[^"<]*"|'[^'<]*')*?)"""
_TOKEN = re.compile(
    rb"<!--|<!\[CDATA\[|<!(?:DOCTYPE|ENTITY)|<(image|track|meta)(?=[\s/>])" + _ATTRIBUTES + rb"(/?)>", re.DOTALL
)
_ENDS = {tag: re.compile(rb"</" + tag + rb"\s*>") for tag in (b"image", b"track", b"meta")}
_EMPTY = re.compile(rb"<annotations[^<>]*/>")
_SHAPE = re.compile(
    rb"<(box|polygon|polyline|points|ellipse|cuboid|mask|skeleton)\b" + _ATTRIBUTES + rb"(/?)>", re.DOTALL
)
_PAIR = re.compile(rb"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)["']""")
_REFERENCE = re.compile(r"&(#x[0-9a-fA-F]{1,6}|#[0-9]{1,7}|lt|gt|amp|quot|apos);")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
MAX_TAG = 1 << 20
_HELD = 1 << 24
"""Bytes of a file that are kept in memory while it is looked through."""


class Element(msgspec.Struct, frozen=True, gc=False):
    """An element: its attributes, and the bytes from its first ``<`` to after its last ``>``."""

    attributes: dict[str, str]
    start: int
    end: int


class File:
    """A mapped CVAT file.

    Raises:
        DataError: it cannot be read, is in an encoding without ASCII, or declares entities.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = str(path)
        self._tags: dict[int, dict[str, str]] = {}
        try:
            with open(path, "rb") as file:
                self.data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            found = getattr(error, "strerror", None) or "an empty file"
            raise DataError("cannot be read", file=path, found=found) from None
        head = self.data[:4096]
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head[:64]:
            raise DataError("XML in UTF-16", file=path, expected="UTF-8, as CVAT writes it", hint="save it as UTF-8")
        said = _ENCODING.search(head)
        self.encoding = said[1].decode("ascii") if said else "utf-8"
        try:
            "".encode(self.encoding)
        except LookupError:
            raise DataError("XML in an unknown encoding", file=path, found=self.encoding, expected="UTF-8") from None

    def text(self, start: int, end: int) -> str:
        """Part of the file, decoded.

        Raises:
            DataError: it is not in the encoding that the file says.
        """
        try:
            return self.data[start:end].decode(self.encoding)
        except UnicodeDecodeError as error:
            raise DataError(
                f"not in {self.encoding}", file=self.path, place=f"byte {start + error.start}", found=error.reason
            ) from None

    def element(self, start: int, end: int) -> Any:
        """Part of the file, parsed.

        Raises:
            DataError: it is no XML.
        """
        return _xml.parse(self.text(start, end), self.path, f"byte {start}")

    def elements(self) -> Iterator[tuple[str, Element]]:
        """All ``meta``, ``image`` and ``track`` elements in the file's order, by tag.

        Raises:
            DataError: a document type is declared, or an element does not end.
        """
        position = let_go = 0
        while True:
            if position - let_go > _HELD:
                let_go = position
                self._let_go(position)
            match = _TOKEN.search(self.data, position)
            if match is None:
                # What was cut off would be lost in silence.
                if self.data.find(b"</annotations", position) < 0 and not _EMPTY.search(self.data[:65536]):
                    raise self._endless(b"<annotations>", len(self.data))
                return
            position = match.end()
            if match[1] is None:
                position = self._after(match[0], position)
                continue
            if not match[3]:
                close = _ENDS[match[1]].search(self.data, position)
                if close is None:
                    raise self._endless(match[0][:40], match.start())
                position = close.end()
            yield match[1].decode(), Element(self._attributes(match[2]), match.start(), position)

    def _let_go(self, position: int) -> None:
        """Take what is before ``position`` out of this process's memory; it is read again if it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED, 0, position // mmap.PAGESIZE * mmap.PAGESIZE)

    def _after(self, begin: bytes, position: int) -> int:
        """Where a comment or a literal text ends."""
        _xml.refuse_doctype(begin, self.path)
        end = b"-->" if begin == b"<!--" else b"]]>"
        close = self.data.find(end, position)
        if close < 0:
            raise self._endless(begin, position)
        return close + 3

    def _endless(self, begin: bytes, position: int) -> DataError:
        said = begin.decode("utf-8", errors="replace")
        return DataError(f"{said} has no end", file=self.path, place=f"byte {position}", hint="is the file cut off?")

    def shapes(self, track: Element) -> Iterator[tuple[str, Element]]:
        """The shapes of a track, by tag.

        Raises:
            DataError: one does not end.
        """
        position = track.start + 1
        while True:
            match = _SHAPE.search(self.data, position, track.end)
            if match is None:
                return
            position = match.end()
            if not match[3]:
                close = self.data.find(b"</" + match[1] + b">", position, track.end)
                if close < 0:
                    raise self._endless(b"<" + match[1], match.start())
                position = close + len(match[1]) + 3
            yield match[1].decode(), Element(self._attributes(match[2], _FRAME_KEYS), match.start(), position)

    def tag(self, start: int) -> dict[str, str]:
        """Attributes of the element that begins there."""
        if start not in self._tags:
            match = _TOKEN.match(self.data, start)
            self._tags[start] = self._attributes(match[2]) if match is not None and match[1] else {}
        return self._tags[start]

    def _attributes(self, data: bytes, only: Optional[frozenset[bytes]] = None) -> dict[str, str]:
        if len(data) > MAX_TAG and only is None:
            raise DataError("a tag longer than any", file=self.path, found=f"{len(data):,} bytes")
        try:
            return {
                key.decode(self.encoding): unescaped((double or single).decode(self.encoding))
                for key, double, single in _PAIR.findall(data)
                if only is None or key in only
            }
        except UnicodeDecodeError as error:
            raise DataError(f"not in {self.encoding}", file=self.path, found=error.reason) from None


_FRAME_KEYS = frozenset((b"frame", b"outside", b"keyframe"))


def unescaped(text: str) -> str:
    """Attribute text with XML's references resolved; others stay as they are."""
    if "&" not in text:
        return text

    def resolve(match: re.Match[str]) -> str:
        name = match[1]
        if name[0] != "#":
            return _NAMED[name]
        code = int(name[2:], 16) if name[1] == "x" else int(name[1:])
        return chr(code) if code < 0x110000 else match[0]

    return _REFERENCE.sub(resolve, text)
