"""Reports: a function a format, ``render(report, show_all=False) -> str``."""

from __future__ import annotations

from seg2knet.validators.report import Report
from seg2knet.validators.reports import as_json, github, html, sarif, text

FORMATS = {
    "text": text.render,
    "json": as_json.render,
    "jsonl": as_json.render_lines,
    "sarif": sarif.render,
    "github": github.render,
    "html": html.render,
}


def render(report: Report, output_format: str, *, show_all: bool = False) -> str:
    """The report as text of a format, a key of ``FORMATS``.

    Args:
        show_all: every finding, also where the format shows a rule's first few.
    """
    return FORMATS[output_format](report, show_all=show_all)
