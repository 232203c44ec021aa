"""The report as people read it on a terminal: a line a finding, a table by rule, what can be fixed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from seg2knet.errors import printable
from seg2knet.validators.model import Finding, Fix, Severity
from seg2knet.validators.report import Report

FIRST = 5
"""So many findings of a rule are shown, unless all are asked for."""
COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
MARKS = {Fix.SAFE: "[*] ", Fix.UNSAFE: "[!] ", Fix.NONE: ""}
OPTIONS = {Fix.SAFE: "--fix", Fix.UNSAFE: "--fix --unsafe-fixes", Fix.NONE: ""}


def render(report: Report, *, show_all: bool = False, colour: bool = False) -> str:
    """The whole report. ``colour``: with the terminal's control sequences."""
    parts = [*findings(report, show_all, colour), *_fixed(report, show_all)]
    table = statistics(report, colour=colour) if report.findings else ""
    return "\n".join([*parts, *([table] if table else []), *_closing(report)]) + "\n"


def findings(report: Report, show_all: bool, colour: bool) -> Iterator[str]:
    """A line for each finding that is shown, and one for each rule whose others are not."""
    counts: Counter[tuple[str, str]] = Counter()
    for finding in report.findings:
        if not finding.known:
            counts[finding.file, finding.code] += 1
            if show_all or counts[finding.file, finding.code] <= FIRST:
                yield line(finding, colour)
    for (file, code), count in counts.items():
        if count > FIRST and not show_all:
            yield f"{printable(file)}: {code} {count - FIRST:,} more (--show-all shows them)"
    if report.findings:
        yield ""


def line(finding: Finding, colour: bool = False) -> str:
    """``FILE: annotation 42 (image 7 'a/x.jpg'): CI034 bbox-... [*] message: expected ..., found ...``"""
    code, facts = finding.code, finding.facts()
    if colour:
        import click

        code = click.style(code, fg=COLOURS[finding.severity], bold=True)
    head = ": ".join(printable(part) for part in (finding.file, finding.place) if part)
    text = f"{finding.name} {MARKS[finding.fix]}{finding.message}" + (f": {facts}" if facts else "")
    return f"{head}: {code} {printable(text)}"


def statistics(report: Report, *, colour: bool = False) -> str:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("rule", "", "severity", "findings", "fix"):
        table.add_column(column, justify="right" if column == "findings" else "left", no_wrap=True)
    for code, group in report.by_rule().items():
        severity = group[0].severity
        fixes = {finding.fix for finding in group}
        best = next(option for fix, option in OPTIONS.items() if fix in fixes)
        known = sum(finding.known for finding in group)
        count = f"{len(group):,}" + (f" ({known:,} known)" if known else "")
        table.add_row(code, group[0].name, Text(severity.value, COLOURS[severity]), count, best)
    return printed([table], colour)


def printed(parts: Iterable[Any], colour: bool, width: Optional[int] = None) -> str:
    """What Rich prints on a terminal, without white space at the ends of lines."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, force_terminal=colour, no_color=not colour, width=width or 120, highlight=False)
    for part in parts:
        console.print(part)
    return "\n".join(row.rstrip() for row in out.getvalue().splitlines())


def _fixed(report: Report, show_all: bool) -> Iterator[str]:
    for title, lines in (("fixed", report.fixed), ("removed", report.removed), ("not fixed", report.not_fixed)):
        if lines:
            yield f"{title}:"
            # What was removed, and what could not be done, is always listed whole: nothing goes in silence.
            limit = len(lines) if show_all or title != "fixed" else 20
            yield from (f"  {printable(text)}" for text in lines[:limit])
            if len(lines) > limit:
                yield f"  and {len(lines) - limit:,} more (--show-all shows them)"
            yield ""


def _closing(report: Report) -> Iterator[str]:
    summary, checked = report.summary, report.checked
    looked = f"{checked.get('images', 0):,} images, {checked.get('annotations', 0):,} annotations"
    if not report.findings:
        yield f"no findings ({looked}, {checked.get('rules', 0)} rules, {checked.get('seconds', 0)} s)"
        return
    words = [f"{summary['fixable']:,} fixable with --fix"] if summary["fixable"] else []
    if summary["fixable_unsafe"]:
        words.append(f"{summary['fixable_unsafe']:,} {'more ' if words else ''}with --fix --unsafe-fixes")
    if words:
        yield "[*] " + ", ".join(words)
    yield f"{report.totals()} ({looked}, {checked.get('seconds', 0)} s)"
