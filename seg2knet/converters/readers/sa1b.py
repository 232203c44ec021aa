"""SA-1B (https://ai.meta.com/datasets/segment-anything/): ``sa_N.json`` beside ``sa_N.jpg``, masks without classes,
which overlap and nest.
"""

from __future__ import annotations

from typing import Any

from seg2knet.converters.base import Handle, ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.json_reader import JsonReader, each, has
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.classes import ClassList


class Sa1bOptions(ReaderOptions):
    class_name: str = option("object", "The class of all masks.")


@register_reader
class Sa1bReader(JsonReader):
    name = "sa1b"
    title = "SA-1B"
    Options = Sa1bOptions
    expected = 'an object with "image" and "annotations", one file an image'

    @classmethod
    def fits(cls, document: Any) -> bool:
        return has(document, "annotations", "image", "file_name")

    def classes(self) -> ClassList:
        return ClassList.of([self.options.class_name])

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        image = record["image"]
        canvas = self.canvas(handle, path, [image["file_name"]], (image.get("width"), image.get("height")))

        def take(entry: Any, place: str) -> None:
            mask = canvas.run_length(entry["segmentation"])
            canvas.add(self.options.class_name, mask, f"annotation {entry.get('id')}")

        return each(canvas, record["annotations"], "annotation", take)
