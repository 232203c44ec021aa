"""The pages that ``test``, ``compare`` and ``audit`` leave: one HTML file each, without network."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from seg2knet.dataset import images
from seg2knet.errors import Seg2KNetError
from seg2knet.judge.analysis import Analysis
from seg2knet.judge.compare import Comparison
from seg2knet.judge.objects import FOUND, KINDS, Judged, Verdict, outlined, rle_of
from seg2knet.judge.suspects import KINDS as SUSPICIONS
from seg2knet.judge.suspects import Suspect
from seg2knet.validators.reports.pages import embedded, page, source

TEMPLATES = Path(__file__).parent / "templates"
WORST, OBJECTS, EACH_CELL, SUSPECTS = 24, 400, 12, 500
"""Images, objects, objects of one cell of the confusion matrix, and suspects that a page shows at most."""
_SIDE, _WORST_SIDE = 160, 360


def model_page(title: str, judged: Judged, analysis: Analysis) -> str:
    """The page of one model. Raises EnvironmentProblem: Jinja2 is not installed."""
    pr = [(curve.name, list(zip(curve.recall, curve.precision))) for curve in analysis.curves]
    f1 = [(curve.name, list(zip(curve.scores, curve.f1))) for curve in analysis.curves]
    calibration = [("calibration", [(row["score"], row["right"]) for row in analysis.calibration["bins"]])]
    error = f"Calibration (expected error {analysis.calibration['ece']:.3f})"
    plots = [  # heading, titles of x and y, name and points of each line, whether there is a diagonal
        ("Precision and recall at IoU 0.5", "recall", "precision", pr, False),
        (f"F1 by score threshold (best: {analysis.threshold:g})", "score threshold", "F1", f1, False),
        (error, "score", "share that is right", calibration, True),
    ]
    most = max((max(row) for row in analysis.confusion), default=1) or 1
    return _page(
        "test.html.j2", title=title, analysis=analysis, images=len(judged.truth["images"]), plots=plots, kinds=KINDS,
        most=most, worst=_worst(judged, analysis), objects=embedded(_objects(judged, analysis)),
        names=[*analysis.names, "nothing"],
    )  # fmt: skip


def classes_page(title: str, images: int, figures: dict[str, float], rows: Sequence[dict[str, Any]]) -> str:
    """The page of a panoptic or semantic model: its figures, and those of each class that occurs, the weakest first."""
    keys = list(rows[0]) if rows else []
    figure = next((key for key in keys if any(isinstance(row[key], float) for row in rows)), None)
    ranked = sorted((r for r in rows if r[figure] is not None), key=lambda row: row[figure]) if figure else rows
    return _page("classes.html.j2", title=title, images=images, figures=figures, keys=keys, rows=ranked)


def compare_page(comparison: Comparison) -> str:
    """The page of two models on the same annotations."""
    won, lost = (_changed(comparison, which, ids) for which, ids in ((1, comparison.won), (0, comparison.lost)))
    changes = [("Objects that only B finds", won), ("Objects that only A finds", lost)]
    return _page("compare.html.j2", comparison=comparison, changes=changes)


def audit_page(title: str, judged: Judged, ranked: Sequence[Suspect]) -> str:
    """The page of the labels that look wrong, the first ``SUSPECTS`` of them."""
    names = judged.named()
    rows: list[dict[str, Any]] = []
    chosen = list(enumerate(ranked[:SUSPECTS], 1))
    for rank, suspect in sorted(chosen, key=lambda pair: pair[1].image_id):  # an image is decoded once
        classes = {suspect.category_id, *(judged.annotations[i]["category_id"] for i in suspect.annotation_ids)}
        rows.append({
            "rank": rank, "kind": suspect.kind, "score": suspect.score, "reason": suspect.reason,
            "ids": list(suspect.annotation_ids),
            "names": sorted(names[number] for number in classes if number is not None),
            **_image(judged, suspect.image_id, suspect.annotation_ids, suspect.result, 300),
        })  # fmt: skip
    rows.sort(key=lambda row: row["rank"])
    counts, shown = Counter(suspect.kind for suspect in ranked), sorted({name for row in rows for name in row["names"]})
    return _page(
        "audit.html.j2", title=title, images=len(judged.entries), objects=len(judged.annotations), rows=rows,
        counts=dict(counts), kinds=SUSPICIONS, names=shown, embedded=embedded(rows),
    )  # fmt: skip


def as_csv(analysis: Analysis) -> str:
    """The table of classes as CSV, the whole split first."""
    figures = {key: analysis.figures[key] for key in ("AP", "AP50", "AP75")}
    total = sum(row["objects"] for row in analysis.classes)
    curve = analysis.curves[0]
    whole = {"name": curve.name, "objects": total, **figures, "F1": curve.best, "threshold": curve.threshold}
    return csv_table([whole, *analysis.classes])


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same columns as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _changed(comparison: Comparison, which: int, ids: Iterable[int]) -> list[dict[str, Any]]:
    wanted, verdicts = set(ids), comparison.analyses[which].objects
    chosen = [verdict for verdict in verdicts if verdict.kind == FOUND and verdict.annotation_id in wanted]
    return _drawn_objects(comparison.judged[which], chosen[: EACH_CELL * 4])


def _objects(judged: Judged, analysis: Analysis) -> list[dict[str, Any]]:
    """Objects to look at: a few of each cell of the confusion matrix and of each kind of error, best score first."""
    cells: Counter[tuple[Any, ...]] = Counter()
    chosen = []
    for verdict in sorted(analysis.objects, key=lambda verdict: (verdict.kind == FOUND, -verdict.score)):
        cell = (verdict.kind, verdict.true_class, verdict.predicted_class)
        cells[cell] += 1
        if cells[cell] <= (EACH_CELL if verdict.kind != FOUND else 2):
            chosen.append(verdict)
    return _drawn_objects(judged, chosen[:OBJECTS])


def _drawn_objects(judged: Judged, chosen: Sequence[Verdict]) -> list[dict[str, Any]]:
    names = judged.named()
    rows = []
    for verdict in sorted(chosen, key=lambda verdict: verdict.image_id):  # an image is decoded once
        ids = [verdict.annotation_id] if verdict.annotation_id is not None else []
        rows.append({
            "kind": verdict.kind, "true": names.get(verdict.true_class, "nothing"),
            "predicted": names.get(verdict.predicted_class, "nothing"), "score": round(verdict.score, 3),
            "iou": round(verdict.iou, 3), **_image(judged, verdict.image_id, ids, verdict.result, _SIDE),
        })  # fmt: skip
    return rows


def _image(judged: Judged, image_id: int, ids: Iterable[int], result: Optional[int], side: int) -> dict[str, Any]:
    """The name of an image, and what is around annotations and a result on it, outlined."""
    shapes = [(judged.annotations[number]["segmentation"], TRUE) for number in ids]
    if result is not None:
        shapes.append((judged.results[result]["segmentation"], PREDICTED))
    image = judged.entries[image_id]
    return {"file": image["file_name"], "image": drawn(judged, image, shapes, side)}


def _worst(judged: Judged, analysis: Analysis) -> list[dict[str, Any]]:
    """The images with most errors: annotations on the left, predictions above the threshold on the right."""
    annotated: dict[int, list[Shape]] = {number: [] for number in judged.entries}
    for entry in outlined(judged.truth):
        if not entry.get("iscrowd"):
            annotated[entry["image_id"]].append((entry["segmentation"], TRUE))
    rows = []
    for row in (row for row in analysis.images[:WORST] if row["wrong"] + row["missed"]):
        predicted = [
            (judged.results[verdict.result]["segmentation"], TRUE if verdict.kind == FOUND else PREDICTED)
            for verdict in analysis.objects
            if verdict.image_id == row["image_id"] and verdict.result is not None
        ]
        image, both = judged.entries[row["image_id"]], (annotated[row["image_id"]], predicted)
        pair = [drawn(judged, image, shapes, _WORST_SIDE, crop=False) for shapes in both]
        rows.append({**row, "true": pair[0], "predicted": pair[1]})
    return rows


def _page(name: str, **values: Any) -> str:
    return page(name, TEMPLATES, css=source("page.css", TEMPLATES / "judge.css"), share=_share, **values)


def _share(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.3f}"


TRUE, PREDICTED = (40, 200, 90), (255, 120, 30)
"""RGB of annotated and predicted outlines."""
_MARGIN = 0.5
_LEAST = 64
"""Pixels of the original that a crop shows at least."""


Shape = tuple[Any, tuple[int, int, int]]
"""A segmentation of a COCO file and the RGB colour to draw it in."""


def drawn(
    judged: Judged, image: dict[str, Any], shapes: Sequence[Shape], side: int, *, crop: bool = True
) -> Optional[str]:
    """An image with outlines, later ones over earlier ones, as a ``data:`` address, JPEG, ``side`` pixels long; with
    ``crop`` what is around the shapes only. ``None`` where the image cannot be read or is of another size."""
    photo, size = _photo(judged.images / image["file_name"]), (image["height"], image["width"])
    if photo is None or photo.shape[:2] != size:
        return None
    masks = [coco_mask.decode(rle_of(segmentation, *size)) for segmentation, _ in shapes]
    top, bottom, left, right = _around(masks, size) if crop else (0, size[0], 0, size[1])
    part = np.ascontiguousarray(photo[top:bottom, left:right])
    scale = side / max(part.shape[:2])
    shown = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    part = cv2.resize(part, shown, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for mask, (_, color) in zip(masks, shapes):
        small = cv2.resize(mask[top:bottom, left:right], shown, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(part, outlines, -1, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.drawContours(part, outlines, -1, color, 2, cv2.LINE_AA)
    _, data = cv2.imencode(".jpg", part[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 65, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _around(masks: Iterable[np.ndarray], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the masks with a margin, inside the image."""
    union = np.any([np.zeros(size, bool), *masks], axis=0)
    rows, columns = np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))
    if not len(rows):
        return 0, size[0], 0, size[1]
    edges = []
    for first, last, length in ((rows[0], rows[-1], size[0]), (columns[0], columns[-1], size[1])):
        margin = max((last - first) * _MARGIN, (_LEAST - (last - first)) / 2, 8)
        edges += [max(0, int(first - margin)), min(length, int(last + margin) + 1)]
    return edges[0], edges[1], edges[2], edges[3]


@lru_cache(maxsize=2)
def _photo(file: Path) -> Optional[np.ndarray]:
    """``(H, W, 3)`` uint8 RGB as shown; objects of one image are drawn one after another."""
    try:
        return images.decode(file)
    except (Seg2KNetError, OSError):
        return None
