"""Label Studio tasks (https://labelstud.io/guide/tasks): ``SPLIT.json``, and ``config.xml`` with the labels.

Single polygons are ``polygonlabels`` in percent of the image; several parts and masks are brush strokes. Images are
served from local files: the folder is to be Label Studio's LOCAL_FILES_DOCUMENT_ROOT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import orjson

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.writers.shapes import items
from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Note

_SIZES = (3, 4, 8, 16)
"""Bits of a run's length, by size class, as Label Studio writes them."""


@register_writer
class LabelStudioWriter(Writer):
    name = "labelstudio"
    title = "Label Studio JSON"
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        image = measured.sample.image
        size = {"original_width": image.width, "original_height": image.height, "image_rotation": 0}
        result: list[dict[str, Any]] = []
        changes: list[Note] = []
        held, skips = items(measured, "Label Studio")
        for item in held:
            score = (item.object.attributes or {}).get("score")
            scored = {"score": score} if isinstance(score, (int, float)) else {}
            changes += item.attributes_as("attributes-left-out", but=["score"])
            value: dict[str, Any]
            if len(item.polygons) == 1:
                kind, points = "polygonlabels", np.reshape(item.polygons[0], (-1, 2))
                percent = geometry.fractions(points, (image.width / 100, image.height / 100)).tolist()
                value = {"points": percent, "closed": True}
            else:
                kind, value = "brushlabels", {"format": "rle", "rle": list(brush(rle_to_mask(item.rle)))}
            names = {"id": f"r{item.number}", "type": kind, "from_name": kind[: -len("labels")], "to_name": "image"}
            result.append({**names, **size, "value": {**value, kind: [item.object.label]}, **scored})
        task: dict[str, Any] = {"result": result}
        if self.options.predictions:
            scores = [region["score"] for region in result if "score" in region]
            task.update(model_version="seg2knet", score=sum(scores) / max(len(scores), 1))
        return Encoded(orjson.dumps([task]), len(result), {}, skips, changes)

    def reader_options(self) -> dict[str, Any]:
        return {"predictions": self.options.predictions}

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self.files = {split: open(root / f"{split}.json", "wb") for split in splits}  # noqa: SIM115
        self._key = b"predictions" if self.options.predictions else b"annotations"
        self._count = 0
        labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes.names)
        tags = "".join(
            f'  <{tag} name="{tag[:-6].lower()}" toName="image">\n{labels}  </{tag}>\n'
            for tag in ("PolygonLabels", "BrushLabels")
        )
        text = f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{tags}</View>\n'
        (root / "config.xml").write_text(text, encoding="utf-8")

    def add(self, split: str, name: str, fragment: Any) -> None:
        self._count += 1
        file = self.files[split]
        url = orjson.dumps(f"/data/local-files/?d={quote(self.image(split, name))}")
        start = b",\n" if file.tell() else b"[\n"
        file.write(start + b'{"id":%d,"data":{"image":%b},"%b":%b}' % (self._count, url, self._key, fragment))

    def close(self) -> None:
        for file in self.files.values():
            file.write(b"\n]\n" if file.tell() else b"[]\n")
        super().close()


def brush(mask: np.ndarray) -> bytes:
    """An ``(H, W)`` mask as a stroke: the bit stream of thi.ng's rle-pack, red, green, blue and alpha 0 or 255.

    32 bits: how many values; 5 and 4 times 4: bits of a value, bits of a length by size class, less one. Then runs:
    1, the size class, the length less one, the value.
    """
    pixels = mask.ravel()
    bits = [f"{4 * pixels.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    starts = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, [pixels.size]))
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist()):
        left = 4 * (end - start)
        while left:
            length = min(left, 1 << _SIZES[-1])
            kind = next(number for number, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{_SIZES[kind]}b}{255 if pixels[start] else 0:08b}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
