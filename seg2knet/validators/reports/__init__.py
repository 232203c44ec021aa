"""Reports: a function a format, ``render(report, show_all=False) -> str``. Programs get all findings always."""

from __future__ import annotations

import json

from seg2knet.validators.report import Report
from seg2knet.validators.reports import github, html, sarif, text


def _json(report: Report, *, show_all: bool = True) -> str:
    """One object: all findings, and a summary."""
    findings = [finding.as_json() for finding in report.findings]
    return json.dumps({"findings": findings, "summary": report.summary}, indent=2, ensure_ascii=False) + "\n"


def _json_lines(report: Report, *, show_all: bool = True) -> str:
    return "".join(json.dumps(finding.as_json(), ensure_ascii=False) + "\n" for finding in report.findings)


FORMATS = {
    "text": text.render,
    "json": _json,
    "jsonl": _json_lines,
    "sarif": sarif.render,
    "github": github.render,
    "html": html.render,
}
