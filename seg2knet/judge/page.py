"""The pages that ``test``, ``compare`` and ``audit`` leave: one HTML file each, without network."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from seg2knet.judge.analysis import Analysis
from seg2knet.judge.compare import Comparison
from seg2knet.judge.drawing import PREDICTED, TRUE, Shape, drawn
from seg2knet.judge.objects import FOUND, KINDS, Judged, Verdict, outlined
from seg2knet.judge.suspects import KINDS as SUSPICIONS
from seg2knet.judge.suspects import Suspect
from seg2knet.validators.reports.pages import embedded, page, source

TEMPLATES = Path(__file__).parent / "templates"
WORST, OBJECTS, EACH_CELL, SUSPECTS = 24, 400, 12, 500
"""Images, objects, objects of one cell of the confusion matrix, and suspects that a page shows at most."""
_SIDE, _WORST_SIDE = 200, 520


def model_page(title: str, judged: Judged, analysis: Analysis) -> str:
    """The page of one model. Raises EnvironmentProblem: Jinja2 is not installed."""
    from seg2knet.judge.plots import lines

    pr = [(curve.name, curve.recall, curve.precision) for curve in analysis.curves]
    f1 = [(curve.name, curve.scores, curve.f1) for curve in analysis.curves]
    bins = analysis.calibration["bins"]
    calibration = [("calibration", [row["score"] for row in bins], [row["right"] for row in bins])]
    plots = [
        ("Precision and recall at IoU 0.5", lines(pr, "recall", "precision")),
        (f"F1 by score threshold (best: {analysis.threshold:g})", lines(f1, "score threshold", "F1")),
        (f"Calibration (expected error {analysis.calibration['ece']:.3f})",
         lines(calibration, "score", "share that is right", diagonal=True)),
    ]  # fmt: skip
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
    known = [row for row in rows if row[figure] is not None] if figure else rows
    ranked = sorted(known, key=lambda row: row[figure]) if figure else known
    return _page("classes.html.j2", title=title, images=images, figures=figures, keys=keys, rows=ranked)


def compare_page(comparison: Comparison) -> str:
    """The page of two models on the same annotations."""
    a, b = comparison.judged
    changes = [
        ("Objects that only B finds", _changed(b, comparison.analyses[1], comparison.won)),
        ("Objects that only A finds", _changed(a, comparison.analyses[0], comparison.lost)),
    ]
    return _page("compare.html.j2", comparison=comparison, changes=changes)


def audit_page(title: str, judged: Judged, ranked: Sequence[Suspect]) -> str:
    """The page of the labels that look wrong, the first ``SUSPECTS`` of them."""
    names = judged.named()
    images = {image["id"]: image for image in judged.truth["images"]}
    annotations = {annotation["id"]: annotation for annotation in judged.truth["annotations"]}
    rows: list[dict[str, Any]] = []
    chosen = list(enumerate(ranked[:SUSPECTS], 1))
    for rank, suspect in sorted(chosen, key=lambda pair: pair[1].image_id):  # an image is decoded once
        image = images[suspect.image_id]
        shapes = [Shape(annotations[number]["segmentation"], TRUE) for number in suspect.annotation_ids]
        if suspect.result is not None:
            shapes.append(Shape(judged.results[suspect.result]["segmentation"], PREDICTED))
        classes = {annotations[number]["category_id"] for number in suspect.annotation_ids} | {suspect.category_id}
        rows.append({
            "rank": rank, "kind": suspect.kind, "score": suspect.score, "reason": suspect.reason,
            "file": image["file_name"], "ids": list(suspect.annotation_ids),
            "names": sorted(names[number] for number in classes if number is not None),
            "image": drawn(judged.images / image["file_name"], (image["height"], image["width"]), shapes, 300),
        })  # fmt: skip
    rows.sort(key=lambda row: row["rank"])
    counts, shown = Counter(suspect.kind for suspect in ranked), sorted({name for row in rows for name in row["names"]})
    return _page(
        "audit.html.j2", title=title, images=len(images), objects=len(annotations), rows=rows, counts=dict(counts),
        kinds=SUSPICIONS, names=shown, embedded=embedded(rows),
    )  # fmt: skip


def as_csv(analysis: Analysis) -> str:
    """The table of classes as CSV, the whole split first."""
    out = io.StringIO()
    head = ["name", "objects", "AP", "AP50", "AP75", "F1", "threshold"]
    writer = csv.DictWriter(out, head, lineterminator="\n")
    writer.writeheader()
    figures = {key: analysis.figures[key] for key in ("AP", "AP50", "AP75")}
    total = sum(row["objects"] for row in analysis.classes)
    curve = analysis.curves[0]
    writer.writerow({"name": curve.name, "objects": total, **figures, "F1": curve.best, "threshold": curve.threshold})
    writer.writerows(analysis.classes)
    return out.getvalue()


def _changed(judged: Judged, analysis: Analysis, ids: Iterable[int]) -> list[dict[str, Any]]:
    wanted = set(ids)
    chosen = [verdict for verdict in analysis.objects if verdict.kind == FOUND and verdict.annotation_id in wanted]
    return _drawn_objects(judged, chosen[: EACH_CELL * 4])


def _objects(judged: Judged, analysis: Analysis) -> list[dict[str, Any]]:
    """Objects to look at: a few of each cell of the confusion matrix and of each kind of error, best score first."""
    cells: dict[tuple[Any, ...], int] = {}
    chosen = []
    for verdict in sorted(analysis.objects, key=lambda verdict: (verdict.kind == FOUND, -verdict.score)):
        cell = (verdict.kind, verdict.true_class, verdict.predicted_class)
        cells[cell] = cells.get(cell, 0) + 1
        if cells[cell] <= (EACH_CELL if verdict.kind != FOUND else 2):
            chosen.append(verdict)
    return _drawn_objects(judged, chosen[:OBJECTS])


def _drawn_objects(judged: Judged, chosen: Sequence[Verdict]) -> list[dict[str, Any]]:
    names = judged.named()
    images = {image["id"]: image for image in judged.truth["images"]}
    annotations = {annotation["id"]: annotation for annotation in judged.truth["annotations"]}
    rows = []
    for verdict in sorted(chosen, key=lambda verdict: verdict.image_id):  # an image is decoded once
        image = images[verdict.image_id]
        shapes = []
        if verdict.annotation_id is not None:
            shapes.append(Shape(annotations[verdict.annotation_id]["segmentation"], TRUE))
        if verdict.result is not None:
            shapes.append(Shape(judged.results[verdict.result]["segmentation"], PREDICTED))
        size = image["height"], image["width"]
        rows.append({
            "kind": verdict.kind, "true": names.get(verdict.true_class, "nothing"),
            "predicted": names.get(verdict.predicted_class, "nothing"), "score": round(verdict.score, 3),
            "iou": round(verdict.iou, 3), "file": image["file_name"],
            "image": drawn(judged.images / image["file_name"], size, shapes, _SIDE),
        })  # fmt: skip
    return rows


def _worst(judged: Judged, analysis: Analysis) -> list[dict[str, Any]]:
    """The images with most errors: annotations on the left, predictions above the threshold on the right."""
    images = {image["id"]: image for image in judged.truth["images"]}
    annotated: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
    for entry in outlined(judged.truth):
        if not entry.get("iscrowd"):
            annotated[entry["image_id"]].append(entry)
    rows = []
    for row in analysis.images[:WORST]:
        if not row["wrong"] + row["missed"]:
            break
        image = images[row["image_id"]]
        size = image["height"], image["width"]
        own = [verdict for verdict in analysis.objects if verdict.image_id == image["id"]]
        true = [Shape(entry["segmentation"], TRUE) for entry in annotated[image["id"]]]
        predicted = [
            Shape(judged.results[verdict.result]["segmentation"], TRUE if verdict.kind == FOUND else PREDICTED)
            for verdict in own
            if verdict.result is not None
        ]
        file = judged.images / image["file_name"]
        pair = [drawn(file, size, shapes, _WORST_SIDE, crop=False) for shapes in (true, predicted)]
        rows.append({**row, "true": pair[0], "predicted": pair[1]})
    return rows


def _page(name: str, **values: Any) -> str:
    return page(name, TEMPLATES, css=source("page.css", TEMPLATES / "judge.css"), share=_share, **values)


def _share(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.3f}"
