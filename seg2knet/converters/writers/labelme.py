"""LabelMe JSON (https://github.com/wkentaro/labelme, version 5): a file beside each image, and ``labels.txt``.

Polygons stay as they are, several parts share a ``group_id``; masks are shapes of type ``mask``, so that holes stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.shapes import items
from seg2knet.dataset import labelme_json
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Note


@register_writer
class LabelmeWriter(Writer):
    name = "labelme"
    title = "LabelMe JSON"
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        image = measured.sample.image
        shapes: list[dict[str, Any]] = []
        changes: list[Note] = []
        held, skips = items(measured, "LabelMe", ignored=True)
        for item in held:
            changes += item.attributes_as("attributes-as-description")
            shapes += labelme_json.shapes(item.object, item.number)
        return Encoded(labelme_json.encoded(shapes, image.width, image.height), len(held), {}, skips, changes)

    def image(self, split: str, name: str) -> str:
        return f"{split}/{name}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self._root = root
        (root / "labels.txt").write_text("".join(f"{name}\n" for name in classes.names), encoding="utf-8")

    def add(self, split: str, name: str, fragment: Any) -> None:
        file = self._root / split / f"{without_suffix(name)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(labelme_json.document(name.rpartition("/")[2], fragment))
