"""COCO results (https://cocodataset.org/#format-results): a list of objects with scores; another file has their images
and categories, as the ground truth or the ``images.json`` that ``predict --format coco`` leaves beside them.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Optional

import orjson

from seg2knet.converters.readers.common.sources import mapped
from seg2knet.dataset.files import load_json
from seg2knet.dataset.layout import LEDGER
from seg2knet.errors import DataError


def is_results(path: Path) -> bool:
    """Whether a file begins as a list of results does."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return re.match(rb'\s*\[\s*\{[^{}\[]*"(image_id|category_id)"', file.read(4096)) is not None
    return False


def listing(path: Path) -> Optional[Path]:
    """The file beside results that has images and categories."""
    files = (file for file in sorted(path.parent.glob("*.json")) if file.name != LEDGER and not is_results(file))
    return next((file for file in files if contains(file, "images", "categories")), None)


def contains(path: Path, *words: str) -> bool:
    """Whether each word stands in the file as a text of its own."""
    with contextlib.suppress(DataError), mapped(path) as data:
        return all(data.find(b'"%b"' % word.encode()) >= 0 for word in words)
    return False


def document(path: Path, listed: Optional[Path]) -> bytes:
    """Results as a COCO document, scores as attributes; ``listed`` is the file with the images and categories, by
    default one beside them. DataError where they are no list of objects, or there is no such file."""
    results = load_json(path)
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        raise DataError("not COCO results", file=path, expected="a list of objects")
    listed = listed or listing(path)
    head = load_json(listed) if listed is not None else None
    if not isinstance(head, dict) or not {"images", "categories"} <= set(head):
        raise DataError(
            "results without their images and categories", file=path, found=str(listed) if listed else None,
            expected="a COCO file with both, beside the results", hint="name it with --results-of FILE",
        )  # fmt: skip
    annotations = [
        {**entry, "id": number, "iscrowd": 0, "attributes": {"score": entry.get("score")}}
        for number, entry in enumerate(results, 1)
    ]
    kept = {key: head[key] for key in ("info", "licenses", "images", "categories") if key in head}
    return orjson.dumps({**kept, "annotations": annotations})
