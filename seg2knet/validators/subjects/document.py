"""A JSON file's text as it stands, read whatever its faults, and the words for its values.

Nothing here raises for bad data: what is wrong is kept as a ``Fault`` for the rules to report. Python's own JSON writer
puts ``NaN`` and ``Infinity`` into files, which no standard knows (RFC 8259) and no fast parser takes; they are masked
by strings of the same length, so that places in the text stay right.
"""

from __future__ import annotations

import codecs
import mmap
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Union

import msgspec

from seg2knet.engines import uncollected

Text = Union[bytes, mmap.mmap]
RawDict = Dict[str, msgspec.Raw]
_MAP_FROM = 64 << 20
_NUMBER_WORDS = re.compile(rb'"(?:[^"\\]|\\.)*"|-Infinity|Infinity|NaN')
_MASKS = {b"NaN": b'"n"', b"Infinity": b'"+     "', b"-Infinity": b'"-      "'}
_MASKED = {"n": float("nan"), "+     ": float("inf"), "-      ": float("-inf")}
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = (
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"PK\3\4", "a zip archive: unpack it"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run 'git lfs pull'"),
    (b"<!DOCTYPE", "an HTML page, not the file that was to be downloaded"),
    (b"{'", "what Python prints for a dictionary: write it with json.dump"),
    (b"<html", "an HTML page, not the file that was to be downloaded"),
)
"""Files that stand where JSON was expected, by their first bytes."""
_BLOCK = 1 << 16
_BYTE = re.compile(r"\(byte (\d+)\)")
_KINDS = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
_KINDS[type(None)] = "null"


class Fault(NamedTuple):
    """Why a file cannot be read as JSON, or only leniently; ``repair`` is its content as it should be, where that can
    be said, ``what`` says what the repair does, and ``guessed`` whether the content is a guess."""

    message: str
    place: str = ""
    repair: Optional[bytes] = None
    what: str = ""
    guessed: bool = False


class JsonText:
    """One JSON file's text; ``content`` is a file to read in its place.

    Attributes:
        text: UTF-8 without byte order mark, ``NaN`` and ``Infinity`` masked; empty when unreadable.
        start: where ``text`` begins in the file; -1 where the file is not in UTF-8 and places do not carry over.
        faults: what is wrong with the file as JSON.
        state: the file's state when it was read (``state_of``).
    """

    def __init__(self, path: Path, content: Optional[Path] = None) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self.start = 0
        self.text: Text = b""
        self.state = state_of(path)
        try:
            self.text = content_of(content or path)
        except OSError as error:
            self._give_up(f"the file cannot be read: {error.strerror or error}")
            return
        head = bytes(self.text[:512]).lstrip()
        other = next((kind for start, kind in _OTHER_FILES if head.startswith(start)), None)
        if other is not None:
            self._give_up(f"it is {other}")
            return
        self._remove_mark()
        self._check_encoding()
        if not bytes(self.text[:4096]).strip() and not self.faults:
            self._give_up("the file is empty")

    def _give_up(self, message: str) -> None:
        self.text = b""
        self.faults.append(Fault(message))

    def _remove_mark(self) -> None:
        """Remove a byte order mark, and read the text as the encoding that it names."""
        head = bytes(self.text[:4])
        mark, encoding = next(((mark, name) for mark, name in _BOMS if head.startswith(mark)), (b"", ""))
        if not mark:
            return
        utf8 = encoding == "utf-8-sig"
        try:
            self.text = bytes(self.text[len(mark) :]) if utf8 else bytes(self.text).decode(encoding).encode()
        except UnicodeError:
            self._give_up(f"the file says it is {encoding.upper()} and is not")
            return
        self.start = len(mark) if utf8 else -1
        name = "UTF-8 with a byte order mark" if utf8 else encoding.upper()
        what = f"saved {self.path.name} as plain UTF-8"
        self.faults.append(Fault(f"{name}: most JSON readers refuse it", "", bytes(self.text), what))

    def _check_encoding(self) -> None:
        """Refuse text that is not UTF-8: what is guessed is no ground for fixes of other files."""
        starts = range(0, len(self.text), _BLOCK)
        if all(self.text[start : start + _BLOCK].isascii() for start in starts):
            return
        try:
            deque(codecs.iterdecode((self.text[start : start + _BLOCK] for start in starts), "utf-8"), maxlen=0)
        except UnicodeDecodeError:
            text = bytes(self.text)
            try:
                text.decode()
            except UnicodeDecodeError as error:
                place = self._place(error.start)
            try:
                guess: Optional[bytes] = text.decode("cp1252").encode()
            except UnicodeDecodeError:
                guess = None
            what = f"read {self.path.name} as Windows-1252 and saved it as UTF-8"
            self.faults.append(
                Fault("the text is not UTF-8; it was saved in another encoding", place, guess, what, True)
            )
            self.text = b""

    def decode(self, kind: Any) -> Any:
        """The text as a msgspec type.

        Raises msgspec.ValidationError: it is JSON, of another type; msgspec.DecodeError: it is not JSON; ``refuse``
        makes a fault of it; RecursionError: it is nested too deep.
        """
        with uncollected():
            try:
                return msgspec.json.decode(self.text, type=kind)
            except msgspec.DecodeError as error:
                if isinstance(error, msgspec.ValidationError) or not self._mask():
                    raise
            return msgspec.json.decode(self.text, type=kind)

    def _mask(self) -> bool:
        """Mask what JSON does not know as a number; whether there was any."""
        text = bytes(self.text)
        if b"NaN" not in text and b"Infinity" not in text:
            return False
        self.text = _NUMBER_WORDS.sub(lambda match: _MASKS.get(match[0], match[0]), text)
        return True

    def release(self) -> None:
        """Give the memory of a mapped file back; what is looked at again is read again."""
        if isinstance(self.text, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.text.madvise(mmap.MADV_DONTNEED)

    def refuse(self, error: Exception) -> None:
        """Keep an error of ``decode`` as a fault."""
        message, offset = str(error), _BYTE.search(str(error))
        place = self._place(int(offset[1])) if offset else ""
        if isinstance(error, RecursionError):
            message, place = "the JSON is nested too deep", ""
        elif "truncated" in message:
            message, place = "the file ends in the middle of the JSON", self._place(len(self.text))
        self.faults.append(Fault(_BYTE.sub("", message).strip(), place))

    def _place(self, offset: int) -> str:
        """An offset in ``text`` as line and column, both from 1."""
        before = bytes(self.text[:offset])
        return f"line {before.count(10) + 1}, column {offset - (before.rfind(10) + 1) + 1}"


def content_of(path: Path) -> Text:
    """A file's bytes; large files are mapped, not copied."""
    if path.stat().st_size < _MAP_FROM:
        return path.read_bytes()
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def state_of(path: Path) -> Optional[tuple[int, ...]]:
    """What changes when a file is written: size, modification time, inode; ``None`` where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def unmask(value: Any) -> Any:
    """A decoded value with the masking strings turned back into the numbers that they stand for."""
    if isinstance(value, str):
        return _MASKED.get(value, value)
    if isinstance(value, list):
        return [unmask(item) for item in value]
    if isinstance(value, dict):
        return {key: unmask(item) for key, item in value.items()}
    return value


def kind_of(value: Any) -> str:
    """A JSON value's type in words, for messages."""
    return _KINDS.get(type(value), "an object")


def shown(value: Any, limit: int = 80) -> str:
    """A value as short JSON-like text."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_few(texts: Sequence[Any], most: int = 5) -> str:
    """The first of some texts, and how many more there are."""
    return ", ".join(map(str, texts[:most])) + (f" and {len(texts) - most} more" if len(texts) > most else "")
