"""Small images of what findings are about: the object drawn on its image, the image, or the mask in colours."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.classes import palette_color
from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.geometry import polygon_problem
from seg2knet.dataset.images import decode, decode_labels
from seg2knet.dataset.label_image import ids_of
from seg2knet.dataset.rle import check_size, counts_to_runs, rle_from_counts, rle_to_mask
from seg2knet.errors import DataError
from seg2knet.validators.model import Finding
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.files import CocoFile, PanopticFile
from seg2knet.validators.subjects.outlines import FAR
from seg2knet.validators.subjects.panoptic import pngs

SIDE = 260
"""Pixels of a thumbnail's longer side."""
_POINTER = re.compile(r"^/(images|annotations)/(\d+)(?:/segments_info/(\d+))?")
_SHAPE, _BOX = (255, 64, 129), (0, 229, 255)
_MARGIN = 0.6
_LEAST = 48


@dataclass
class _Scene:
    """What to draw: an image, and on it polygons, a mask, a box; or a mask file alone."""

    image: Optional[Path] = None
    labels: Optional[Path] = None
    stated: tuple[int, int] = (0, 0)
    polygons: list[list[float]] = field(default_factory=list)
    rle: Optional[RleCode] = None
    region: Optional[tuple[Path, int]] = None
    box: Optional[list[float]] = None


def thumbnails(datasets: Sequence[DataSet], findings: Sequence[Finding], jobs: int = 2) -> list[Optional[str]]:
    """A JPEG as ``data:`` address for each finding, ``None`` where there is nothing to see."""
    finder = _Finder(datasets)
    scenes = [finder.scene(finding) for finding in findings]
    # Findings of one image one after another: it is decoded once.
    groups: dict[Path, list[int]] = {}
    for index, scene in enumerate(scenes):
        source = scene and (scene.image or scene.labels)
        if source:
            groups.setdefault(source, []).append(index)
    result: list[Optional[str]] = [None] * len(findings)

    def draw(source: Path, members: list[int]) -> list[Optional[str]]:
        return _drawn(source, [scenes[index] for index in members])

    with ThreadPoolExecutor(max(1, min(jobs, 8))) as pool:
        for members, pictures in zip(groups.values(), pool.map(draw, groups, groups.values())):
            for index, picture in zip(members, pictures):
                result[index] = picture
    return result


class _Finder:
    """From a finding to what can be drawn of it."""

    def __init__(self, datasets: Sequence[DataSet]) -> None:
        parts = [part for dataset in datasets for part in dataset.parts]
        self.files = {file.path: (part, file) for part in parts for file in part.json_files}
        self.parts = parts

    def scene(self, finding: Finding) -> Optional[_Scene]:
        if finding.path in self.files:
            part, file = self.files[finding.path]
            found = _POINTER.match(finding.pointer)
            row = int(found[2]) if found else 0
            if found is None:
                return None
            if found[1] == "images":
                return self._image(part, file, row) if row < file.images.count else None
            if isinstance(file, CocoFile):
                return self._annotation(part, file, row) if row < file.annotations.count else None
            return self._segment(part, file, row, found[3]) if row < file.entries.count else None
        path = str(finding.path)
        for part in self.parts:
            if part.images_dir is not None and path.startswith(album(part).folder or "\0"):
                return _Scene(image=finding.path)
        if finding.path.suffix.lower() in (".png", ".tif", ".tiff", ".bmp", ".jpg"):
            return _Scene(labels=finding.path)
        return None

    def _image(self, part: Part, file: Any, row: int) -> Optional[_Scene]:
        name = file.images.names[row] if row >= 0 else None
        path = album(part).meaning(name).path if name else None
        if path is None:
            return None
        return _Scene(image=Path(path), stated=(int(file.images.widths[row]), int(file.images.heights[row])))

    def _annotation(self, part: Part, file: CocoFile, row: int) -> Optional[_Scene]:
        scene = self._image(part, file, int(file.image_rows[row]))
        if scene is None:
            return None
        shape = file.shape(row)
        if isinstance(shape, RleCode):
            scene.rle = shape
        else:
            scene.polygons = [each for each in shape or () if polygon_problem(each) is None]
        scene.box = _box(file.boxes[row])
        return scene

    def _segment(self, part: Part, file: PanopticFile, entry: int, place: Optional[str]) -> Optional[_Scene]:
        scene = self._image(part, file, int(file.image_rows[entry]))
        if scene is None or place is None:
            return scene
        segments, look = file.segments, pngs(part)
        rows = np.flatnonzero((segments.entry == entry) & (segments.place == int(place)))
        if len(rows) and look is not None:
            path = look.paths[entry]
            scene.box = _box(segments.boxes[rows[0]])
            scene.region = (Path(path), int(segments.ids[rows[0]])) if path else None
        return scene


def _box(box: np.ndarray) -> Optional[list[float]]:
    """A box that can be drawn."""
    return box.tolist() if (np.abs(box) < FAR).all() else None


def _drawn(source: Path, scenes: Sequence[Optional[_Scene]]) -> list[Optional[str]]:
    try:
        if scenes and scenes[0] is not None and scenes[0].labels is not None:
            pixels = _coloured(decode_labels(source))
        else:
            pixels = decode(source, upright=_as_shown(source, scenes[0]))
        return [None if scene is None else _one(pixels, scene) for scene in scenes]
    except (DataError, OSError, ValueError, MemoryError):
        return [None] * len(scenes)


def _as_shown(source: Path, scene: Optional[_Scene]) -> bool:
    """Whether the annotation was made on the image as shown: unless its size is that of the image as stored."""
    from seg2knet.dataset.images import probe

    header = probe(source)
    stored = (header.width, header.height)
    return scene is None or scene.stated != stored or header.shown == stored


def _coloured(labels: np.ndarray) -> np.ndarray:
    """A mask in colours, ``(H, W, 3)`` uint8."""
    if labels.ndim == 3:
        return np.ascontiguousarray(labels)
    numbers, places = np.unique(labels, return_inverse=True)
    colours = [(0, 0, 0) if number == 0 else palette_color(int(number) % 4096) for number in numbers.tolist()]
    return np.array(colours, np.uint8)[places.reshape(labels.shape)]


def _one(pixels: np.ndarray, scene: _Scene) -> str:
    """One thumbnail: the window around the shape, with mask, outline and box drawn on."""
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    mask = _mask(scene, height, width)
    left, top, right, bottom = _window(_extent(scene, mask), width, height)
    view = pixels[top:bottom, left:right]
    if mask is not None:
        view = np.where(mask[top:bottom, left:right, None], view * 0.45 + np.array(_SHAPE) * 0.55, view)
    picture = Image.fromarray(np.ascontiguousarray(view, np.uint8))
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture, "RGBA")
    for part in scene.polygons:
        points = [((x - left) * scale, (y - top) * scale) for x, y in zip(part[0::2], part[1::2])]
        draw.polygon(points, fill=(*_SHAPE, 70))
        draw.line([*points, points[0]], fill=(*_SHAPE, 255), width=2)
    if scene.box is not None:
        x, y, w, h = scene.box
        corners = [(x - left) * scale, (y - top) * scale, (x + w - left) * scale, (y + h - top) * scale]
        if w >= 0 and h >= 0:
            draw.rectangle(corners, outline=(*_BOX, 255), width=2)
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _mask(scene: _Scene, height: int, width: int) -> Optional[np.ndarray]:
    """The shape's mask at the image's size, ``(H, W)`` bool; ``None`` where there is none or it does not fit."""
    try:
        if scene.region is not None:
            mask = ids_of(decode_labels(scene.region[0])) == scene.region[1]
        elif scene.rle is not None:
            check_size(*scene.rle.size)
            runs = counts_to_runs(scene.rle.counts).tolist()
            mask = rle_to_mask(rle_from_counts(runs, *scene.rle.size))
        else:
            return None
    except (DataError, TypeError, ValueError, OverflowError):
        return None
    return mask if mask.shape == (height, width) and mask.any() else None


def _extent(scene: _Scene, mask: Optional[np.ndarray]) -> Optional[tuple[float, float, float, float]]:
    """Left, top, right, bottom of all that is to be drawn."""
    xs: list[float] = [number for part in scene.polygons for number in part[0::2]]
    ys: list[float] = [number for part in scene.polygons for number in part[1::2]]
    if mask is not None:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        xs += [float(columns[0]), float(columns[-1] + 1)]
        ys += [float(rows[0]), float(rows[-1] + 1)]
    if scene.box is not None:
        xs += [scene.box[0], scene.box[0] + scene.box[2]]
        ys += [scene.box[1], scene.box[1] + scene.box[3]]
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def _window(extent: Optional[Iterable[float]], width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the image to show: the shape with a margin of its surroundings, or all of it."""
    if extent is None:
        return 0, 0, width, height
    left, top, right, bottom = extent
    margin = max(_LEAST, _MARGIN * max(right - left, bottom - top))
    window = (
        max(0, math.floor(left - margin)),
        max(0, math.floor(top - margin)),
        min(width, math.ceil(right + margin)),
        min(height, math.ceil(bottom + margin)),
    )
    outside = window[2] - window[0] < 1 or window[3] - window[1] < 1
    return (0, 0, width, height) if outside else window
