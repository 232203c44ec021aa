"""Small data sets drawn for a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest
from drawn import picture, polygon


@pytest.fixture
def labelme(tmp_path: Path) -> Callable[..., Path]:
    """Write one LabelMe annotation and its picture below ``tmp_path / "raw"``; returns that folder."""

    def make(
        name: str = "a.jpg",
        shapes: Optional[list[dict[str, Any]]] = None,
        *,
        size: tuple[int, int] = (40, 30),
        with_picture: bool = True,
        **fields: Any,
    ) -> Path:
        root = tmp_path / "raw"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if with_picture:
            picture(path, *size)
        document = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [polygon("car")] if shapes is None else shapes,
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": size[1],
            "imageWidth": size[0],
            **fields,
        }
        path.with_suffix(".json").write_text(json.dumps(document))
        return root

    return make


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Write a COCO file and its pictures below ``tmp_path / "source"``; returns the file."""

    def make(
        images: list[dict[str, Any]],
        annotations: list[dict[str, Any]],
        categories: Optional[list[dict[str, Any]]] = None,
        *,
        file: str = "annotations.json",
        pictures: str = "images",
        **more: Any,
    ) -> Path:
        root = tmp_path / "source"
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        for image in images:
            if pictures:
                picture(root / pictures / image["file_name"], image.get("width", 40), image.get("height", 30))
        document = {
            **more,
            "images": images,
            "annotations": annotations,
            "categories": categories or [{"id": 1, "name": "car", "supercategory": ""}],
        }
        path.write_text(json.dumps(document))
        return path

    return make
