"""CVAT for images 1.1 (https://docs.cvat.ai/docs/manual/advanced/xml_format/): one ``annotations.xml``.

Polygons stay as they are, several parts share a ``group_id``; masks are run lengths, so that holes stay. The labels
must be in the task by name: ``labels.json`` can be pasted into CVAT's raw label editor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import orjson

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.writers.shapes import items
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import window
from seg2knet.dataset.text import clean_name


@register_writer
class CvatWriter(Writer):
    name = "cvat"
    title = "CVAT for images 1.1"
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        image = measured.sample.image
        lines: list[str] = []
        attributes: dict[str, dict[str, None]] = {}
        held, skips = items(measured, "CVAT")
        for item in held:
            found = (item.object.attributes or {}).items()
            values = {clean_name(str(key)): clean_name(str(value)) for key, value in found}
            attributes.setdefault(item.object.label, {}).update(dict.fromkeys(values))
            inner = "".join(f"<attribute name={quoteattr(k)}>{escape(v)}</attribute>" for k, v in values.items())
            common = f'label={quoteattr(item.object.label)} occluded="0" z_order="{item.object.z}"'
            group = f' group_id="{item.number}"' if len(item.polygons) > 1 else ""
            for part in item.polygons:
                points = ";".join(f"{x!r},{y!r}" for x, y in zip(part[0::2], part[1::2]))
                lines.append(f'    <polygon {common}{group} points="{points}">{inner}</polygon>\n')
            if not item.polygons:
                x, y, width, height = item.box
                pixels = window(item.rle, item.box).ravel()
                runs = np.diff(np.flatnonzero(np.diff(pixels, prepend=False, append=~pixels[-1])), prepend=0).tolist()
                where = f'left="{x}" top="{y}" width="{width}" height="{height}"'
                lines.append(f'    <mask {common} rle="{", ".join(map(str, runs))}" {where}>{inner}</mask>\n')
        names = {label: list(keys) for label, keys in attributes.items()}
        return Encoded((image.width, image.height, "".join(lines), names), len(held), {}, skips)

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self._root, self._count = root, 0
        self._labels = {info.name: f"#{bytes(classes.color(index)).hex()}" for index, info in enumerate(classes)}
        self._attributes: dict[str, dict[str, None]] = {name: {} for name in self._labels}
        self._file = open(root / "annotations.xml", "w", encoding="utf-8")  # noqa: SIM115  # closed in close()
        labels = "".join(
            f"<label><name>{escape(name)}</name><color>{color}</color></label>" for name, color in self._labels.items()
        )
        head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        self._file.write(f"{head}  <meta><task><labels>{labels}</labels></task></meta>\n")

    def add(self, split: str, name: str, fragment: Any) -> None:
        width, height, lines, attributes = fragment
        for label, keys in attributes.items():
            self._attributes[label].update(dict.fromkeys(keys))
        where = f'id="{self._count}" name={quoteattr(name)} subset="{split}" width="{width}" height="{height}"'
        self._file.write(f"  <image {where}>\n{lines}  </image>\n")
        self._count += 1

    def close(self) -> None:
        self._file.write("</annotations>\n")
        self._file.close()
        text = {"mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        labels = [
            {"name": name, "color": color, "attributes": [{"name": key, **text} for key in self._attributes[name]]}
            for name, color in self._labels.items()
        ]
        (self._root / "labels.json").write_bytes(orjson.dumps(labels, option=orjson.OPT_INDENT_2) + b"\n")
