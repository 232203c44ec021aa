"""The report as GitHub's workflow commands: annotations of the files in a pull request."""

from __future__ import annotations

from seg2knet.dataset.grouping import grouped
from seg2knet.errors import printable
from seg2knet.validators.model import Finding, Severity
from seg2knet.validators.report import Report
from seg2knet.validators.reports.sarif import relative, sentence

FIRST = 3
"""Annotations a rule and file, unless all are asked for: GitHub shows ten errors and ten warnings of a step."""
COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report, *, show_all: bool = False) -> str:
    """A command a finding, the worst first; then a line of totals."""
    fresh = (finding for finding in report.findings if not finding.known)
    groups = grouped(((finding.code, finding.file), finding) for finding in fresh)
    lines: list[str] = []
    for group in sorted(groups.values(), key=lambda group: list(COMMANDS).index(group[0].severity)):
        shown, rest = (group, []) if show_all else (group[:FIRST], group[FIRST:])
        lines += [_command(finding, sentence(finding)) for finding in shown]
        if rest:
            lines.append(_command(rest[0], f"{len(rest):,} more of {rest[0].code} in this file"))
    return "\n".join([*lines, f"seg2knet: {report.totals()}"]) + "\n"


def _command(finding: Finding, message: str) -> str:
    title = f"{finding.code} {finding.name}"
    path = _property(relative(finding.path))
    shown = "\n".join(map(printable, message.split("\n")))  # GitHub shows line breaks
    return f"::{COMMANDS[finding.severity]} file={path},line=1,title={_property(title)}::{_data(shown)}"


def _data(text: str) -> str:
    """Escaped so that no text of the data ends the command or begins another."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
