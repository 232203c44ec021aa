"""One image and what is on it. Frozen, small, cheap to make and to send to another process.

msgspec structs: made ten times as fast as frozen dataclasses and out of the garbage collector's sight, which is what
lets millions of objects pass through.
"""

from __future__ import annotations

from typing import Any, Optional, Union

import msgspec


class Polygons(msgspec.Struct, frozen=True, gc=False, tag=True):
    """One object: the union of its parts, each a flat list ``[x0, y0, x1, y1, ...]`` in pixels of the image as shown,
    numbers as the source has them (COCO's polygon ``segmentation``)."""

    parts: list[list[float]]


class Rle(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A mask, run-length encoded as COCO does (column by column, zeros first): pycocotools' compressed string."""

    counts: bytes
    height: int
    width: int


Shape = Union[Polygons, Rle]


class Object(msgspec.Struct, frozen=True, gc=False):
    """One object on an image: an instance of a thing class or a region of a stuff class.

    Objects of a sample stand in the order of their file. A higher ``z`` lies over a lower one; where they are equal,
    as in most formats, a later one lies over an earlier one.
    """

    label: str  # its class's name
    shape: Shape  # its mask; checked by the reader, so that pycocotools can take it
    iscrowd: bool = False  # COCO's crowd region: not trained on, not scored against
    place: str = ""  # where it stands in its file (``shape 3``, ``annotation 42``), for the ledger and for errors
    attributes: Optional[dict[str, Any]] = None  # what else the source says of it, kept in COCO under ``attributes``
    z: int = 0  # paint order (CVAT's ``z_order``)


class Image(msgspec.Struct, frozen=True, gc=False):
    """An image: where it is and how large it is shown."""

    name: str  # in the data set, relative, with forward slashes, sub-folders and suffix kept: ``day 1/a.jpg``
    # pixels of the image as shown, EXIF orientation applied
    width: int
    height: int
    path: Optional[str] = None  # the file, absolute; ``None`` when the image is only embedded or not there
    orientation: int = 1  # EXIF orientation, 1..8; with 5..8 the stored image is turned a quarter
    data: Optional[bytes] = None  # the encoded image where there is no file (LabelMe's ``imageData``, a video's frame)
    # fields of the source's own for this image (COCO's ``license``, ``date_captured``...), kept
    extra: Optional[dict[str, Any]] = None


class Skip(msgspec.Struct, frozen=True, gc=False):
    """Objects (``count``) that were read and cannot be written: an entry for the ledger."""

    reason: str  # kebab-case, one of a few a format: ``point-has-no-area``, ``box-only``
    place: str  # file and where in it
    count: int = 1
    asked: bool = False  # the user asked for it (``--drop``, ``--min-area``): then it is not a failure
    detail: str = ""  # what was found, for a person


class Note(msgspec.Struct, frozen=True, gc=False):
    """Something a user should hear of though no object was lost: an image turned upright, parts joined.

    Notes of one ``kind`` (kebab-case) are counted together; ``count`` is of pixels changed, coordinates clipped...
    """

    kind: str
    place: str
    detail: str = ""
    count: int = 1


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One image with its objects. What was read is ``len(objects) + sum(skip.count for skip in skips)``, parts that
    are joined counted as the one object they make: that is the ledger's balance.
    """

    image: Image
    objects: tuple[Object, ...] = ()
    split: Optional[str] = None
    skips: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()
