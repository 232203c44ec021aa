"""Reports, a module a format. Each has ``render(report, *, show_all=False) -> str``."""

from __future__ import annotations

import importlib

from seg2knet.validators.report import Report

FORMATS = {
    "text": "seg2knet.validators.reports.text",
    "json": "seg2knet.validators.reports.as_json",
    "jsonl": "seg2knet.validators.reports.jsonl",
    "sarif": "seg2knet.validators.reports.sarif",
    "github": "seg2knet.validators.reports.github",
    "html": "seg2knet.validators.reports.html",
}
"""Name -> module."""


def render(report: Report, output_format: str, *, show_all: bool = False) -> str:
    """The report as text of a format.

    Args:
        report: the report.
        output_format: a key of ``FORMATS``.
        show_all: every finding, also where the format shows a rule's first few.
    """
    module = importlib.import_module(FORMATS[output_format])
    return module.render(report, show_all=show_all)
