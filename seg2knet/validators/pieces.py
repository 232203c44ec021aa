"""An instance file read in pieces, by several processes: each decodes a stretch of the annotations and measures it.

The file is cut where one annotation seems to end and the next to begin. A cut within a string or a nested list makes a
piece that is no list of annotations; then, and wherever a value has the wrong type, the file is not read in this way
at all. Where every piece is a list of whole values, their lists on end are the file's.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Callable, List, NamedTuple, Optional, Union

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from seg2knet.engines.base import engine
from seg2knet.validators.document import Document, no_gc
from seg2knet.validators.measure import Shapes, boxes_in, joined, measured, shapes_in
from seg2knet.validators.outlines import Shape
from seg2knet.validators.records import AnnotationRecord, Int
from seg2knet.validators.tables import NOWHERE, Annotations, Columns, Images, Index, columns_of
from seg2knet.validators.texts import LateRecords, LateTexts, Piece, Text, address

PIECE = 1 << 20
"""Bytes of a piece, or more until the next annotation begins."""
PARALLEL_FROM = 8 << 20
"""Bytes of annotations that are worth starting processes for."""
_FIRST_KEY = re.compile(rb'\[\s*\{\s*("[^"\\]{0,100}")')


class _Record(Struct, gc=False):
    """An annotation as nearly all are."""

    id: Int = UNSET
    image_id: Int = UNSET
    category_id: Int = UNSET
    iscrowd: Int = UNSET
    area: Union[float, UnsetType] = UNSET
    bbox: List[float] = []
    segmentation: Shape = None


_sound = msgspec.json.Decoder(List[_Record])
_raw = msgspec.json.Decoder(List[AnnotationRecord])


class _Read(NamedTuple):
    """What became of a piece."""

    columns: Columns
    shapes: Shapes


class _Sizes(NamedTuple):
    """The images' heights and widths, by id."""

    ids: Index
    heights: np.ndarray
    widths: np.ndarray

    def of(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Heights and widths of the annotations' images, ``(N,)`` int64, 0 where unknown."""
        rows = np.where(columns.has_image_id, self.ids.rows(columns.image_ids), NOWHERE)
        if not len(self.heights):
            return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        return np.where(rows >= 0, self.heights[rows], 0), np.where(rows >= 0, self.widths[rows], 0)


def read(document: Document, raw: Raw, images: Images, jobs: int) -> Optional[tuple[Annotations, Shapes]]:
    """A file's annotations and what they measure; ``None`` where they want more goodwill.

    Args:
        document: the file.
        raw: the value of ``annotations``, a stretch of its text.
        images: the table of images.
        jobs: processes.
    """
    size = memoryview(raw).nbytes
    begin = address(raw) - address(document.text)
    bounds = cut(document.text, begin, begin + size)
    setup = partial(_reader, _Sizes(images.index, images.heights, images.widths))
    tasks = (document.piece(start, end) for start, end in bounds)
    found: list[_Read] = []
    with no_gc(), engine("local", jobs if size >= PARALLEL_FROM else 1) as workers:
        for each in workers.map(setup, tasks):
            if each is None:
                return None
            found.append(each)
    if not found:
        return None
    counts = [len(each.shapes.kinds) for each in found]
    columns = Columns(*map(np.concatenate, zip(*[each.columns for each in found])))
    records = LateRecords(document.text, bounds, counts, AnnotationRecord)
    table = Annotations(*columns, LateTexts(records, "bbox"), LateTexts(records, "segmentation"))
    return table, joined([each.shapes for each in found])


def cut(text: Text, begin: int, end: int) -> list[tuple[int, int]]:
    """Stretches of an array's inside, from bracket to bracket, each of about ``PIECE`` bytes; none where it is no
    array. They are parted by a comma where an object seems to end and one with the first one's first key to begin."""
    if end - begin < 2 or text[begin : begin + 1] != b"[":
        return []
    key = _FIRST_KEY.match(text, begin, end)
    apart = re.compile(rb"\}\s*(,)\s*\{\s*" + re.escape(key[1])) if key else None
    bounds, start = [], begin + 1
    while apart is not None and start + PIECE < end:
        comma = apart.search(text, start + PIECE, end)
        if comma is None:
            break
        bounds.append((start, comma.start(1)))
        start = comma.end(1)
    return [*bounds, (start, end - 1)]


def _reader(sizes: _Sizes) -> Callable[[Piece], Optional[_Read]]:
    return partial(_read_piece, sizes)


def _read_piece(sizes: _Sizes, piece: Piece) -> Optional[_Read]:
    """``None`` where the piece is no list of annotations with numbers where numbers should be."""
    text = b"[%b]" % piece.read()
    with no_gc():
        try:
            return _read_typed(sizes, text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            pass  # a box or a segmentation that wants a closer look
        except OverflowError:
            return None
        try:
            return _read_raw(sizes, text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            return None


def _read_typed(sizes: _Sizes, text: bytes) -> _Read:
    rows = _sound.decode(text)
    boxes = np.array([row.bbox for row in rows], np.float64).reshape(len(rows), 4)
    columns = columns_of(rows)
    shapes = [row.segmentation for row in rows]
    flags, has_box = np.zeros(len(rows), np.int64), np.ones(len(rows), bool)
    return _Read(columns, measured(shapes, flags, boxes, has_box, columns.areas, *sizes.of(columns)))


def _read_raw(sizes: _Sizes, text: bytes) -> _Read:
    rows = _raw.decode(text)
    columns = columns_of(rows)
    boxes, has_box = boxes_in(_array([row.bbox for row in rows]))
    shapes, flags = shapes_in(_array([row.segmentation for row in rows]))
    return _Read(columns, measured(shapes, flags, boxes, has_box, columns.areas, *sizes.of(columns)))


def _array(raws: list[Raw]) -> bytes:
    """The values as one JSON array, ``null`` for what is absent."""
    return b"[%b]" % b",".join([bytes(raw) or b"null" for raw in raws])
