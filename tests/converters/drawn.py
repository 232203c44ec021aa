"""Images and LabelMe shapes for tests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np


def picture(path: Path, width: int = 40, height: int = 30, seed: Optional[int] = None) -> Path:
    """An image of noise, a different one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.as_posix().encode()) if seed is None else seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    encoded = cv2.imencode(path.suffix.lower(), pixels)[1].tobytes()
    path.write_bytes(encoded)
    return path


def polygon(label: str, *points: float, **extra: Any) -> dict[str, Any]:
    """A LabelMe polygon from ``x, y, x, y, ...``; a small square by default."""
    flat = points or (5, 5, 15, 5, 15, 15, 5, 15)
    pairs = [[flat[i], flat[i + 1]] for i in range(0, len(flat), 2)]
    return {"label": label, "points": pairs, "shape_type": "polygon", "group_id": None, "flags": {}, **extra}


def mask_shape(label: str, mask: np.ndarray, left: float, top: float) -> dict[str, Any]:
    """A LabelMe mask whose upper left pixel is at the floor of ``left, top``."""
    png = cv2.imencode(".png", mask.astype(np.uint8))[1].tobytes()
    height, width = mask.shape
    return {
        "label": label,
        "points": [[left, top], [left + width - 1, top + height - 1]],
        "shape_type": "mask",
        "mask": base64.b64encode(png).decode(),
        "group_id": None,
    }
