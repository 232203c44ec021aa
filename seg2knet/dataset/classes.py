"""The classes of a data set: names in order, thing or stuff, colour."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

import msgspec

from seg2knet.errors import DataError

Color = tuple[int, int, int]


class ClassInfo(msgspec.Struct, frozen=True):
    """One class, its name as the data have it, letter for letter.

    ``isthing`` is False for stuff (Kirillov et al., *Panoptic Segmentation*, 2019); ``color`` is RGB, 0..255, or
    ``None`` for the palette's.
    """

    name: str
    isthing: bool = True
    color: Optional[tuple[int, int, int]] = None
    supercategory: str = ""


class ClassList(msgspec.Struct, frozen=True):
    """Classes in order. The order is what numbers them: index ``i`` is category id ``i + 1`` in COCO and ADE."""

    classes: tuple[ClassInfo, ...] = ()

    def __post_init__(self) -> None:
        for name, count in Counter(self.names).items():
            if count > 1:
                raise DataError(f"the class {name!r} is listed twice", hint="keep one of the two")

    @classmethod
    def of(cls, names: Iterable[str], stuff: Iterable[str] = ()) -> ClassList:
        """Make a list of plain names; those in ``stuff`` are stuff."""
        amorphous = set(stuff)
        return cls(tuple(ClassInfo(name, isthing=name not in amorphous) for name in names))

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def __getitem__(self, index: int) -> ClassInfo:
        return self.classes[index]

    def __contains__(self, name: object) -> bool:
        return any(info.name == name for info in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.classes)

    @property
    def things(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.classes if info.isthing)

    @property
    def stuff(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.classes if not info.isthing)

    def indices(self) -> dict[str, int]:
        """Name to place in the list, from 0."""
        return {info.name: index for index, info in enumerate(self.classes)}

    def color(self, index: int) -> Color:
        """RGB of the class at ``index``: its own, else the palette's."""
        return self.classes[index].color or palette_color(index)

    def things_first(self) -> ClassList:
        """The same classes, things before stuff, else in the same order (K-Net and mmdet number things first)."""
        return ClassList(tuple(sorted(self.classes, key=lambda info: not info.isthing)))

    def with_stuff(self, stuff: Iterable[str]) -> ClassList:
        """The same classes with exactly those in ``stuff`` as stuff.

        Raises DataError: a name in ``stuff`` is not a class.
        """
        wanted = set(stuff)
        if unknown := sorted(wanted - set(self.names)):
            raise DataError(
                "no such class to be stuff", found=", ".join(unknown), expected=f"names among {', '.join(self.names)}"
            )
        return ClassList(tuple(msgspec.structs.replace(info, isthing=info.name not in wanted) for info in self.classes))

    def renamed(self, mapping: Mapping[str, str]) -> ClassList:
        """The classes after ``old -> new``; two that become one name become one class, at the first one's place."""
        merged: dict[str, ClassInfo] = {}
        for info in self.classes:
            name = mapping.get(info.name, info.name)
            merged.setdefault(name, msgspec.structs.replace(info, name=name))
        return ClassList(tuple(merged.values()))

    def without(self, names: Iterable[str]) -> ClassList:
        """The classes but for ``names``."""
        gone = set(names)
        return ClassList(tuple(info for info in self.classes if info.name not in gone))

    def merged(self, other: ClassList) -> ClassList:
        """Those of both, by name; a class of both keeps what this list says of it."""
        return ClassList(self.classes + tuple(info for info in other.classes if info.name not in self))

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO ``categories``: ids from 1 in the list's order (https://cocodataset.org/#format-data)."""
        return [
            {"id": index + 1, "name": info.name, "supercategory": info.supercategory}
            for index, info in enumerate(self.classes)
        ]

    def to_coco_panoptic(self) -> list[dict[str, Any]]:
        """COCO panoptic ``categories``: with ``isthing`` (0 or 1) and ``color`` (RGB)."""
        return [
            {**category, "isthing": int(info.isthing), "color": list(self.color(index))}
            for index, (category, info) in enumerate(zip(self.to_coco(), self.classes))
        ]


def palette_color(index: int) -> Color:
    """The ``index``-th colour of the palette: hues by the golden ratio, so that neighbours differ. RGB, 0..255."""
    hue = (index * 0.61803398875) % 1.0
    saturation = (0.85, 0.6, 1.0)[index // 16 % 3]
    value = (0.95, 0.8, 0.65)[index // 48 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
