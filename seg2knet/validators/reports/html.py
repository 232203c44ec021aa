"""The report as one HTML page without network: totals, findings by rule with drawings, distributions, filters."""

from __future__ import annotations

import base64
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.classes import palette_color
from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.geometry import MAX_COORDINATE, polygon_problem
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.images import decode, decode_labels, is_image, probe
from seg2knet.dataset.label_image import ids_of
from seg2knet.dataset.rle import check_size, counts_to_runs, rle_from_counts, rle_to_mask
from seg2knet.errors import DataError
from seg2knet.validators.model import Finding
from seg2knet.validators.report import Report
from seg2knet.validators.reports.pages import embedded, page, source
from seg2knet.validators.reports.stats import plots
from seg2knet.validators.statistics import statistics
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile
from seg2knet.validators.subjects.panoptic import pngs

MOST, MOST_OF_RULE = 5_000, 200
"""Findings in the page, and of one rule, unless all are asked for."""
DRAWINGS, DRAWINGS_OF_RULE = 300, 20
ALL_DRAWINGS = 3_000


def render(report: Report, *, show_all: bool = False) -> str:
    """The page. The first findings of each rule where there are very many; the page says what was cut."""
    findings = report.findings if show_all else _first(report.findings, MOST_OF_RULE, MOST)
    limits = (ALL_DRAWINGS, ALL_DRAWINGS) if show_all else (DRAWINGS_OF_RULE, DRAWINGS)
    chosen = _first(findings, *limits)
    jobs = max((dataset.jobs for dataset in report.datasets), default=1)
    drawn = dict(zip(map(id, chosen), thumbnails(report.datasets, chosen, jobs)))
    places = {image: place for place, image in enumerate(dict.fromkeys(filter(None, drawn.values())))}
    rows = []
    for finding in findings:
        row = finding.as_json()
        del row["image_id"], row["annotation_id"]
        thumb = places.get(drawn.get(id(finding)) or "")
        rows.append({**row, "place": finding.place, "known": finding.known, "thumb": thumb})
    return page(
        "report.html.j2",
        css=source("page.css", "report.css"),
        script=source("report.js"),
        data=embedded({"findings": rows, "thumbs": list(places)}),
        paths=report.checked.get("paths") or [str(dataset.root) for dataset in report.datasets],
        checked={"images": 0, "annotations": 0, "rules": 0, "seconds": None, **report.checked},
        report=report,
        summary=report.summary,
        rules=report.by_rule(),
        files=list(dict.fromkeys(finding.file for finding in findings)),
        cuts=_cuts(report, len(findings), sum(image is not None for image in drawn.values()), len(chosen)),
        plots=plots([split for dataset in report.datasets for split in statistics(dataset)]),
    )


def _first(findings: list[Finding], of_rule: int, most: int) -> list[Finding]:
    """The first of each rule, and no more than ``most``."""
    numbers: dict[str, Iterator[int]] = defaultdict(count)
    return list(islice((finding for finding in findings if next(numbers[finding.code]) < of_rule), most))


def _cuts(report: Report, shown: int, drawings: int, wanted: int) -> list[str]:
    lines = []
    if shown < len(report.findings):
        lines.append(
            f"The page holds {shown:,} of {len(report.findings):,} findings, the first {MOST_OF_RULE} of each rule;"
            " --show-all puts all of them in."
        )
    if wanted < shown:
        lines.append(f"{drawings:,} of them have a drawing, the first {DRAWINGS_OF_RULE} of each rule at most.")
    return lines


SIDE = 260
"""Pixels of a thumbnail's longer side."""
_POINTER = re.compile(r"^/(images|annotations)/(\d+)(?:/segments_info/(\d+))?")
_SHAPE, _BOX = (255, 64, 129), (0, 229, 255)
_MARGIN = 0.6
_LEAST = 48


@dataclass
class _Scene:
    """What to draw: an image, and on it polygons, a mask, a box; or a mask file alone (``is_mask``)."""

    source: Path
    is_mask: bool = False
    stated: tuple[int, int] = (0, 0)
    polygons: list[list[float]] = field(default_factory=list)
    rle: Optional[RleCode] = None
    region: Optional[tuple[Path, int]] = None
    box: Optional[list[float]] = None


def thumbnails(datasets: Sequence[DataSet], findings: Sequence[Finding], jobs: int = 2) -> list[Optional[str]]:
    """A JPEG as ``data:`` address for each finding, ``None`` where there is nothing to see."""
    parts = [part for dataset in datasets for part in dataset.parts]
    scenes = [_scene(finding, parts) for finding in findings]
    # Findings of one image one after another: it is decoded once.
    groups = grouped((scene.source, scene) for scene in scenes if scene is not None)
    with ThreadPoolExecutor(max(1, min(jobs, 8))) as pool:
        drawn = chain.from_iterable(pool.map(_drawn, groups, groups.values()))
        images = dict(zip(map(id, chain.from_iterable(groups.values())), drawn))
    return [images.get(id(scene)) for scene in scenes]


def _scene(finding: Finding, parts: Sequence[Part]) -> Optional[_Scene]:
    owner = next(((part, file) for part in parts for file in part.json_files if file.path == finding.path), None)
    if owner is None:
        folders = (album(part).folder for part in parts if part.images_dir is not None)
        if any(folder and str(finding.path).startswith(folder) for folder in folders):
            return _Scene(finding.path)
        return _Scene(finding.path, is_mask=True) if is_image(finding.path.name) else None
    part, file = owner
    place = _POINTER.match(finding.pointer)
    if place is None:
        return None
    row = int(place[2])
    if place[1] == "images":
        return _image(part, file, row) if row < file.images.count else None
    if row >= file.referring.count:
        return None
    scene = _image(part, file, int(file.image_rows[row]))
    if scene is not None and isinstance(file, CocoFile):
        shape = file.outlines([row])[0]
        if isinstance(shape, RleCode):
            scene.rle = shape
        else:
            scene.polygons = [polygon for polygon in shape or () if polygon_problem(polygon) is None]
        scene.box = _box(file.shapes.boxes[row])
    elif scene is not None and isinstance(file, PanopticFile) and place[3]:
        segments, look = file.segments, pngs(part)
        rows = np.flatnonzero((segments.entry == row) & (segments.place == int(place[3])))
        if len(rows) and look is not None:
            path = look.paths[row]
            scene.box = _box(segments.boxes[rows[0]])
            scene.region = (Path(path), int(segments.ids[rows[0]])) if path else None
    return scene


def _image(part: Part, file: JsonFile, row: int) -> Optional[_Scene]:
    name = file.image_name(row)
    path = album(part).meaning(name).path if name else None
    if path is None:
        return None
    return _Scene(Path(path), stated=(int(file.images.widths[row]), int(file.images.heights[row])))


def _box(box: np.ndarray) -> Optional[list[float]]:
    """A box that can be drawn."""
    return box.tolist() if (np.abs(box) < MAX_COORDINATE).all() else None


def _drawn(source: Path, scenes: Sequence[_Scene]) -> list[Optional[str]]:
    try:
        if scenes[0].is_mask:
            pixels = _coloured(decode_labels(source))
        else:
            # The annotation was made on the image as shown, unless its size is that of the image as stored.
            header = probe(source)
            stored = (header.width, header.height)
            pixels = decode(source, upright=scenes[0].stated != stored or header.shown == stored)
        return [_one(pixels, scene) for scene in scenes]
    except (DataError, OSError, ValueError, MemoryError):
        return [None] * len(scenes)


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

    mask = _mask(scene, *pixels.shape[:2])
    left, top, right, bottom = _window(scene, mask, *pixels.shape[:2])
    view = pixels[top:bottom, left:right]
    if mask is not None:
        view = np.where(mask[top:bottom, left:right, None], view * 0.45 + np.array(_SHAPE) * 0.55, view)
    image = Image.fromarray(np.ascontiguousarray(view, np.uint8))
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image, "RGBA")
    for polygon in scene.polygons:
        points = [((x - left) * scale, (y - top) * scale) for x, y in zip(polygon[0::2], polygon[1::2])]
        draw.polygon(points, fill=(*_SHAPE, 70))
        draw.line([*points, points[0]], fill=(*_SHAPE, 255), width=2)
    if scene.box is not None and min(scene.box[2:]) >= 0:
        x, y, w, h = scene.box
        corners = [(x - left) * scale, (y - top) * scale, (x + w - left) * scale, (y + h - top) * scale]
        draw.rectangle(corners, outline=(*_BOX, 255), width=2)
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _mask(scene: _Scene, height: int, width: int) -> Optional[np.ndarray]:
    """The shape's mask at the image's size, ``(H, W)`` bool; ``None`` where there is none or it does not fit."""
    try:
        if scene.region is not None:
            mask = ids_of(decode_labels(scene.region[0])) == scene.region[1]
        elif scene.rle is not None:
            check_size(*scene.rle.size)
            mask = rle_to_mask(rle_from_counts(counts_to_runs(scene.rle.counts).tolist(), *scene.rle.size))
        else:
            return None
    except (DataError, TypeError, ValueError, OverflowError):
        return None
    return mask if mask.shape == (height, width) and mask.any() else None


def _window(scene: _Scene, mask: Optional[np.ndarray], height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what to show: the shape with a margin of its surroundings, or the whole image."""
    points = [point for polygon in scene.polygons for point in zip(polygon[0::2], polygon[1::2])]
    if mask is not None:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        points += [(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)]
    if scene.box is not None:
        x, y, w, h = scene.box
        points += [(x, y), (x + w, y + h)]
    if not points:
        return 0, 0, width, height
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    margin = max(_LEAST, _MARGIN * (high - low).max())
    left, top = np.maximum(0, np.floor(low - margin)).astype(int).tolist()
    right, bottom = np.minimum((width, height), np.ceil(high + margin)).astype(int).tolist()
    return (left, top, right, bottom) if right > left and bottom > top else (0, 0, width, height)
