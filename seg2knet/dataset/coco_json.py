"""COCO's JSON (https://cocodataset.org/#format-data), said once: its records as types, and how a file is read.

Three degrees of trust:

    Image, Annotation, Category, ...         what training needs; a file that lacks it is refused
    ImageHead, AnnotationHead                what a converter needs before it reads an image: ids of any type
    ImageRecord, AnnotationRecord, ...       everything optional, for those who say what is wrong with a file

msgspec skips what a type does not name, so reading a file as one of these takes a fraction of the memory of the file's
tree. Boxes are x, y, width, height in pixels; ``segmentation`` is a list of flat polygons ``[[x0, y0, x1, ...], ...]``
or a run-length code, kept unread here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Tuple, TypeVar, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from seg2knet.errors import DataError

LISTS = ("images", "annotations", "categories")
"""The keys that make a JSON file a COCO file."""

Id = Union[int, str, float, None]
Int = Union[int, UnsetType]


class Category(Struct):
    id: int
    name: str
    supercategory: Optional[str] = None
    isthing: int = 1
    color: Optional[List[int]] = None


class Image(Struct, gc=False):
    id: int
    file_name: str
    height: int
    width: int


class Annotation(Struct, gc=False):
    image_id: int
    category_id: int
    bbox: Optional[List[float]] = None
    iscrowd: int = 0
    ignore: int = 0
    segmentation: Raw = Raw(b"null")


class Instances(Struct):
    """A file of instances; ``annotations`` is ``None`` in a list of images alone (``image_info_*.json``)."""

    images: List[Image]
    categories: List[Category] = []
    annotations: Optional[List[Annotation]] = None


class Segment(Struct, gc=False):
    id: int
    category_id: int
    iscrowd: int = 0


class PanopticAnnotation(Struct, gc=False):
    """The segments of one image; ``file_name`` is that of its PNG."""

    image_id: int
    file_name: Optional[str] = None
    segments_info: List[Segment] = []


class Panoptic(Struct):
    images: List[Image]
    categories: List[Category] = []
    annotations: Optional[List[PanopticAnnotation]] = None


class RleCode(Struct, gc=False):
    """A run-length code: ``size`` is height, width; ``counts`` the compressed string or the runs themselves."""

    size: Tuple[int, int]
    counts: Union[str, List[int]]


class ImageHead(Struct, gc=False):
    """LVIS has ``coco_url`` in place of ``file_name``."""

    id: Id = None
    file_name: Optional[str] = None
    coco_url: Optional[str] = None


class AnnotationHead(Struct, gc=False):
    """``segments_info`` tells a panoptic annotation from an instance."""

    image_id: Id = None
    category_id: Id = None
    iscrowd: Any = 0
    segments_info: Union[Raw, UnsetType] = UNSET


class ImageRecord(Struct, gc=False):
    id: Int = UNSET
    file_name: Union[str, UnsetType] = UNSET
    width: Int = UNSET
    height: Int = UNSET


class AnnotationRecord(Struct, gc=False):
    id: Int = UNSET
    image_id: Int = UNSET
    category_id: Int = UNSET
    iscrowd: Int = UNSET
    area: Union[float, UnsetType] = UNSET
    bbox: Raw = Raw(b"null")
    segmentation: Raw = Raw(b"null")


class CategoryRecord(Struct, gc=False):
    id: Int = UNSET
    name: Union[str, UnsetType] = UNSET
    isthing: Int = UNSET
    supercategory: Union[str, UnsetType, None] = UNSET


class SegmentRecord(Struct, gc=False):
    id: Int = UNSET
    category_id: Int = UNSET
    iscrowd: Int = UNSET
    area: Union[float, UnsetType] = UNSET
    bbox: Raw = Raw(b"null")


class PanopticRecord(Struct, gc=False):
    image_id: Int = UNSET
    file_name: Union[str, UnsetType] = UNSET
    segments_info: Union[List[SegmentRecord], UnsetType] = UNSET


File = TypeVar("File", bound=Union[Instances, Panoptic])


def read(file: Union[str, Path], kind: type[File]) -> File:
    """A COCO file as training needs it; numbers may stand in quotes.

    Raises DataError: the file cannot be read, or is not a COCO file.
    """
    try:
        return msgspec.json.decode(Path(file).read_bytes(), type=kind, strict=False)
    except OSError as error:
        raise DataError("the annotation file cannot be read", file=file, found=error.strerror) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            "not a COCO annotation file",
            file=file,
            found=str(error),
            expected=f"JSON with {', '.join(LISTS)}",
            hint=f"seg2knet validate {Path(file).parent.parent}",
        ) from None
