"""ISAT (https://github.com/yatengLG/ISAT_with_segment_anything): one JSON an image, ``info`` and ``objects``.

An object's parts have one ``group``; a higher ``layer`` lies over a lower one. Coordinates are pixels.
"""

from __future__ import annotations

from typing import Any

from seg2knet.converters.base import Handle
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, polygon
from seg2knet.converters.readers.common.json_reader import JsonReader, each, flat, has, label_of
from seg2knet.converters.registry import register_reader

_BACKGROUND = "__background__"


@register_reader
class IsatReader(JsonReader):
    name = "isat"
    title = "ISAT JSON"
    paint_order = True
    expected = 'an object with "info" and "objects"'

    @classmethod
    def fits(cls, document: Any) -> bool:
        return has(document, "objects", "info", "name")

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        info = record["info"]
        canvas = self.canvas(handle, path, [info["name"]], (info.get("width"), info.get("height")))

        def take(entry: Any, place: str) -> None:
            label = label_of(entry.get("category"))
            if label == _BACKGROUND:
                raise NotAnObject("background", f"the category {_BACKGROUND} means no object", asked=True)
            group, layer, note = entry.get("group"), entry.get("layer"), entry.get("note")
            canvas.add(
                label,
                polygon(flat(entry["segmentation"])),
                place,
                group=(label, group) if type(group) in (int, str) and group not in (0, "") else None,
                iscrowd=entry.get("iscrowd") is True,
                attributes={"note": note} if isinstance(note, str) and note else None,
                z=int(layer) if type(layer) in (int, float) and abs(layer) < 1e9 else 0,
            )

        return each(canvas, record["objects"], "object", take)
