"""The findings as JSON lines, one a line."""

from __future__ import annotations

import json

from seg2knet.validators.report import Report


def render(report: Report, *, show_all: bool = True) -> str:
    """All findings, whatever ``show_all`` says: a program reads them."""
    return "".join(json.dumps(finding.as_json(), ensure_ascii=False) + "\n" for finding in report.findings)
