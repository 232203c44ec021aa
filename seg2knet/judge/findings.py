"""Suspects as findings of the validator: family ML, in every format of its reports, never an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seg2knet.judge.objects import Judged
from seg2knet.judge.suspects import KINDS, MISSING, OUT_OF_PLACE, Suspect
from seg2knet.validators.model import Finding, Fix, Hit, all_rules
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.data import find


def as_report(judged: Judged, ranked: Sequence[Suspect], file: Path, seconds: float = 0.0) -> Report:
    """Suspects in their order as a report on an annotation file; ``seconds``: how long it took."""
    images = {image["id"]: (row, image["file_name"]) for row, image in enumerate(judged.truth["images"])}
    rows = {annotation["id"]: row for row, annotation in enumerate(judged.truth["annotations"])}
    rules, dataset = all_rules(), find(file, images=judged.images)
    findings = []
    for suspect in ranked:
        row, name = images[suspect.image_id]
        pointer, annotation = f"/images/{row}", None
        if suspect.kind not in (MISSING, OUT_OF_PLACE):
            annotation = suspect.annotation_ids[0]
            pointer = f"/annotations/{rows[annotation]}"
        rule = rules[f"ML{KINDS.index(suspect.kind) + 1:03}"]
        message = f"{suspect.reason} (suspicion {suspect.score:.2f})"
        hit = Hit(message, file, pointer, suspect.image_id, name, annotation)
        findings.append(Finding(rule, hit, dataset.show(file), Fix.NONE))
    checked = {"paths": [str(file)], "files": 1, "images": len(images), "annotations": len(rows)}
    return Report(findings, [dataset], checked={**checked, "rules": len(KINDS), "seconds": round(seconds, 1)})
