"""The report as one HTML page without network: totals, findings by rule with drawings, distributions, filters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count, islice

from seg2knet.validators.model import Finding
from seg2knet.validators.report import Report
from seg2knet.validators.reports.pages import embedded, page, source
from seg2knet.validators.reports.plots import plots
from seg2knet.validators.reports.thumbnails import thumbnails
from seg2knet.validators.statistics import statistics

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
