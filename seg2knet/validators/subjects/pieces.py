"""An instance file read in pieces, by several processes: each decodes a stretch of the annotations and measures it.

The file is cut where one annotation seems to end and the next to begin. A cut within a string or a nested list makes a
piece that is no list of annotations; then, and wherever a value has the wrong type, the file is not read in this way
at all. Where every piece is a list of whole values, their lists on end are the file's.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import chain
from typing import Callable, List, NamedTuple, Optional, Union

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from seg2knet.dataset.coco_json import AnnotationRecord, ImageRecord, Int
from seg2knet.engines import engine
from seg2knet.validators.subjects.document import Document, no_gc
from seg2knet.validators.subjects.measure import Shapes, boxes_in, joined, measured, shapes_in
from seg2knet.validators.subjects.outlines import Shape
from seg2knet.validators.subjects.tables import NOWHERE, Annotations, Columns, Images, Index, columns_of
from seg2knet.validators.subjects.texts import LateRecords, LateTexts, Piece, Text, address

PIECE = 1 << 20
"""Bytes of a piece, or more until the next annotation begins."""
PARALLEL_FROM = 8 << 20
"""Bytes of annotations that are worth starting processes for."""
_OPENING = re.compile(rb'"annotations"\s*:\s*\[')
_CLOSING = re.compile(rb"\}\s*(\])\s*[,}]")
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


class _Sections(Struct, gc=False):
    """A file whose annotations are yet to be read."""

    images: List[ImageRecord]
    annotations: Raw
    categories: List[Raw]


class Found(NamedTuple):
    """A file that is sound but for boxes and segmentations."""

    images: Images
    categories: List[Raw]
    annotations: Annotations
    shapes: Shapes


def read(document: Document, jobs: int) -> Optional[Found]:
    """The file, in ``jobs`` processes; ``None`` where it wants more goodwill."""
    try:
        guess = _guessed(document)
        found = _read_with(document, *guess, jobs) if guess else None
        if found is None:
            known = _looked_through(document)
            if guess is None or known[1:] != guess[1:] or document.masked:
                found = _read_with(document, *known, jobs)
    except (msgspec.MsgspecError, OverflowError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _guessed(document: Document) -> Optional[tuple[_Sections, int, int]]:
    """The sections, and where the array of annotations begins and ends, without a look at the most of it.

    It ends where its last object seems to end. That is so if what is around it is an object which has an array there.
    """
    text = document.text
    opening = _OPENING.search(text)
    if opening is None:
        return None
    begin = opening.end() - 1
    start = cut(text, begin, len(text))[-1][0]
    closing = _CLOSING.search(text, start)
    if closing is None:
        return None
    rest = text[:begin] + b"[]" + text[closing.end(1) :]
    try:
        sections = msgspec.json.decode(rest, type=_Sections)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return (sections, begin, closing.end(1)) if address(sections.annotations) - address(rest) == begin else None


def _looked_through(document: Document) -> tuple[_Sections, int, int]:
    """The same, whatever the file looks like.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: it is no JSON, or the types are wrong.
    """
    sections = document.decode(_Sections)
    begin = address(sections.annotations) - address(document.text)
    return sections, begin, begin + memoryview(sections.annotations).nbytes


def _read_with(document: Document, sections: _Sections, begin: int, end: int, jobs: int) -> Optional[Found]:
    images = Images.of(sections.images)
    bounds = cut(document.text, begin, end)
    document.release()
    setup = partial(_reader, _Sizes(images.index, images.heights, images.widths))
    tasks = (document.piece(*each) for each in bounds)
    found: list[_Read] = []
    with no_gc(), engine("local", jobs if end - begin >= PARALLEL_FROM else 1) as workers:
        for each in workers.map(setup, tasks):
            if each is None:
                return None
            found.append(each)
    if not found:
        return None
    columns = Columns(*map(np.concatenate, zip(*[each.columns for each in found])))
    shapes = joined([each.shapes for each in found])
    records = LateRecords(document.text, bounds, [len(each.shapes.kinds) for each in found], AnnotationRecord)
    table = Annotations(*columns, LateTexts(records, "bbox"), LateTexts(records, "segmentation"))
    return Found(images, sections.categories, table, shapes)


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
    if any(len(row.bbox) != 4 for row in rows):
        raise ValueError("a box that is not four numbers")
    boxes = np.fromiter(chain.from_iterable([row.bbox for row in rows]), np.float64, 4 * len(rows)).reshape(-1, 4)
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
