"""The report as one JSON object: all findings, and a summary."""

from __future__ import annotations

import json

from seg2knet.validators.report import Report


def render(report: Report, *, show_all: bool = True) -> str:
    """All findings, whatever ``show_all`` says: a program reads them."""
    findings = [finding.as_json() for finding in report.findings]
    return json.dumps({"findings": findings, "summary": report.summary}, indent=2, ensure_ascii=False) + "\n"
