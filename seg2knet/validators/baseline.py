"""Findings that are known already: they are shown as such and do not fail a run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from seg2knet.errors import UsageError
from seg2knet.validators.report import Report


def _key(entry: Any) -> tuple[str, ...]:
    # Neither pointers nor messages: they change when something else in the file does. Ids stay.
    parts = (entry["code"], entry["file"], entry["image_id"], entry["annotation_id"])
    place = entry["pointer"] if entry["image_id"] is None and entry["annotation_id"] is None else ""
    return (*map(str, parts), str(place))


def mark_known(report: Report, path: Path) -> None:
    """Mark the findings that stand in a JSON report of an earlier run.

    Raises UsageError: the file is not there, or is no such report.
    """
    try:
        entries = json.loads(path.read_bytes())["findings"]  # msgspec takes no half of a surrogate pair
        known = Counter(map(_key, entries))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            "the baseline cannot be read" if isinstance(error, OSError) else "no baseline",
            file=path,
            found=(error.strerror or str(error)) if isinstance(error, OSError) else None,
            expected="a JSON report of seg2knet validate",
            hint=f"write it with: seg2knet validate DATA --output-format json --output-file {path}",
        ) from None
    for place, finding in enumerate(report.findings):
        key = _key(finding.as_json())
        if known[key]:
            known[key] -= 1
            report.findings[place] = replace(finding, known=True)
