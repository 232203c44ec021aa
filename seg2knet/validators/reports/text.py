"""The report as people read it on a terminal: a line a finding, a table by rule, what can be fixed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Optional

from seg2knet.errors import printable
from seg2knet.validators.model import Finding, Fix, Severity
from seg2knet.validators.report import Report

FIRST = 5
"""So many findings of a rule are shown, unless all are asked for."""
COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
MARKS = {Fix.SAFE: "[*] ", Fix.UNSAFE: "[!] ", Fix.NONE: ""}


def render(report: Report, *, show_all: bool = False, colour: bool = False, width: Optional[int] = None) -> str:
    """The whole report. ``colour``: with the terminal's control sequences."""
    parts = [*findings(report, show_all, colour), *_fixed(report, show_all)]
    table = statistics(report, colour=colour, width=width) if report.findings else ""
    return "\n".join([*parts, *([table] if table else []), *_closing(report)]) + "\n"


def findings(report: Report, show_all: bool, colour: bool) -> Iterator[str]:
    """A line for each finding that is shown, and one for each rule whose others are not."""
    shown: dict[tuple[str, str], int] = {}
    rest: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        if finding.known:
            continue
        key = finding.file, finding.code
        if not show_all and shown.get(key, 0) == FIRST:
            rest[key] = rest.get(key, 0) + 1
            continue
        shown[key] = shown.get(key, 0) + 1
        yield line(finding, colour)
    for (file, code), count in rest.items():
        yield f"{printable(file)}: {code} {count:,} more (--show-all shows them)"
    if report.findings:
        yield ""


def line(finding: Finding, colour: bool = False) -> str:
    """``FILE: annotation 42 (image 7 'a/x.jpg'): CI034 bbox-... [*] message: expected ..., found ...``"""
    code = finding.code
    if colour:
        import click

        code = click.style(code, fg=COLOURS[finding.severity], bold=True)
    facts = [f"{word} {value}" for word, value in (("expected", finding.expected), ("found", finding.found)) if value]
    head = ": ".join(printable(part) for part in (finding.file, finding.place) if part)
    text = f"{finding.name} {MARKS[finding.fix]}{finding.message}" + (": " + ", ".join(facts) if facts else "")
    return f"{head}: {code} {printable(text)}"


def statistics(report: Report, *, colour: bool = False, width: Optional[int] = None) -> str:
    """The table by rule."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column, side in (("rule", "left"), ("", "left"), ("severity", "left"), ("findings", "right"), ("fix", "left")):
        table.add_column(column, justify="right" if side == "right" else "left", no_wrap=True)
    for code, group in report.by_rule().items():
        severity = group[0].severity
        fixes = {finding.fix for finding in group}
        words = {Fix.SAFE: "--fix", Fix.UNSAFE: "--fix --unsafe-fixes", Fix.NONE: ""}
        best = next(fix for fix in (Fix.SAFE, Fix.UNSAFE, Fix.NONE) if fix in fixes)
        known = sum(finding.known for finding in group)
        count = f"{len(group):,}" + (f" ({known:,} known)" if known else "")
        table.add_row(code, group[0].name, Text(severity.value, COLOURS[severity]), count, words[best])
    out = io.StringIO()
    console = Console(file=out, force_terminal=colour, no_color=not colour, width=width or 120, highlight=False)
    console.print(table)
    return "\n".join(each.rstrip() for each in out.getvalue().splitlines())


def _fixed(report: Report, show_all: bool) -> Iterator[str]:
    for title, lines in (("fixed", report.fixed), ("removed", report.removed), ("not fixed", report.not_fixed)):
        if lines:
            yield f"{title}:"
            # What was removed, and what could not be done, is always listed whole: nothing goes in silence.
            limit = len(lines) if show_all or title != "fixed" else 20
            yield from (f"  {printable(each)}" for each in lines[:limit])
            if len(lines) > limit:
                yield f"  and {len(lines) - limit:,} more (--show-all shows them)"
            yield ""


def _closing(report: Report) -> Iterator[str]:
    summary, checked = report.summary, report.checked
    looked = f"{checked.get('images', 0):,} images, {checked.get('annotations', 0):,} annotations"
    if not report.findings:
        yield f"no findings ({looked}, {checked.get('rules', 0)} rules, {checked.get('seconds', 0)} s)"
        return
    if summary["fixable"] or summary["fixable_unsafe"]:
        words = [f"{summary['fixable']:,} fixable with --fix"] if summary["fixable"] else []
        if summary["fixable_unsafe"]:
            words.append(f"{summary['fixable_unsafe']:,} {'more ' if words else ''}with --fix --unsafe-fixes")
        yield "[*] " + ", ".join(words)
    counts = [
        f"{summary[key]:,} {word if summary[key] == 1 else word + 's'}"
        for key, word in (("errors", "error"), ("warnings", "warning"), ("infos", "info"))
    ]
    known = f", {summary['known']:,} known" if summary["known"] else ""
    yield f"{', '.join(counts)}{known} ({looked}, {checked.get('seconds', 0)} s)"
