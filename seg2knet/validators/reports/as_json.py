"""The report as JSON: one object, or a line a finding. All findings, whatever ``show_all`` says: programs read them."""

from __future__ import annotations

import json

from seg2knet.validators.report import Report


def render(report: Report, *, show_all: bool = True) -> str:
    """All findings, and a summary."""
    findings = [finding.as_json() for finding in report.findings]
    return json.dumps({"findings": findings, "summary": report.summary}, indent=2, ensure_ascii=False) + "\n"


def render_lines(report: Report, *, show_all: bool = True) -> str:
    """JSON lines: one finding a line."""
    return "".join(json.dumps(finding.as_json(), ensure_ascii=False) + "\n" for finding in report.findings)
