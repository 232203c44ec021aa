"""What a conversion shows: progress while it runs, the ledger when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from seg2knet.cli.outcome import Outcome
from seg2knet.cli.terminal import echo
from seg2knet.converters.ledger import ASKED_OF_TARGET, Ledger, Tally, total
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.output.staging import Staging
from seg2knet.converters.pipeline import Result
from seg2knet.dataset.layout import LEDGER
from seg2knet.errors import printable

STEPS = {"classes": "looking for classes", "read": "reading", "write": "writing", "check": "validating"}


def report(result: Result, options: ConvertOptions) -> None:
    """Print the ledger and what validation found."""
    console = Console(highlight=False)
    ledger = result.ledger
    console.print(_counts(ledger))
    if ledger.splits:
        splits = _table("split", "images", "objects")
        for split, (images, objects) in ledger.splits.items():
            splits.add_row(split, f"{images:,}", f"{objects:,}")
        console.print(splits)
    _tallies(ledger)
    count = len(result.classes)
    more = f" and {count - 12} more" if count > 12 else ""
    echo(f"{count} class{'' if count == 1 else 'es'}: {', '.join(result.classes.names[:12])}{more}")
    if ledger.splits and "val" not in ledger.splits:
        echo("there is no val split to evaluate on while training; say val=SOURCE, or --split 0.8/0.2")
    if "panoptic" in options.targets and not result.classes.stuff:
        echo("no class is stuff; name those that are with --stuff A,B or in a class file (--classes)")
    if options.dry_run:
        echo("dry run: nothing was written")
        return
    for root in dict.fromkeys(result.folders.values()):
        made = ", ".join(target for target, folder in result.folders.items() if folder == root)
        _line(f"{made} written to {root} (ledger: {root / LEDGER})")
    for folder, found in result.reports.items():
        _findings(folder, found)
    for target, problems in result.problems.items():
        _line(f"check of {target}: {len(problems):,} problems")
        for problem in problems[:5]:
            _line(f"    {problem}")


def outcome(result: Result, allow_skips: bool) -> Outcome:
    """Fails where objects were lost unasked, or the result has errors."""
    lost = bool(result.ledger.unasked) and not allow_skips
    wrong = lost or bool(result.problems) or any(found.exit_code for found in result.reports.values())
    found = {
        str(folder): {code: len(group) for code, group in report.by_rule().items()}
        for folder, report in result.reports.items()
    }
    facts = {"ledger": result.ledger.to_json(), "classes": result.classes.names, "folders": result.folders}
    return Outcome({**facts, "findings": found, "problems": result.problems}, int(wrong))


def stopped(options: ConvertOptions, sources: list[Source]) -> str:
    """What to say after Ctrl-C."""
    roots = dict.fromkeys(Staging(options.root(target)).root for target in options.targets)
    gone = options.dry_run or any(source.unpacked for source in sources)
    kept = [str(root) for root in roots if root.exists() and not gone]
    if not kept:
        return "stopped; nothing was changed"
    return f"stopped; nothing was changed. The same command with --resume continues from {', '.join(kept)}"


def _line(text: str) -> None:
    """Print one line, even where names in the data have line breaks."""
    echo(printable(text))


def _table(first: str, *columns: str, **settings: Any) -> Table:
    return Table(first, *(Column(name, justify="right") for name in columns), **settings)


def _counts(ledger: Ledger) -> Table:
    table = _table("", "read", "written", "skipped", "as asked", title="ledger", title_justify="left")
    lost = total(ledger.image_skips)
    table.add_row("images", f"{ledger.images_read:,}", f"{ledger.images_written:,}", f"{lost:,}", "")
    skipped, asked = total(ledger.skips), total(ledger.asked)
    for target, written in ledger.written.items():
        reasons = ledger.target_skips.get(target, {})
        elsewhere = total({reason: tally for reason, tally in reasons.items() if reason in ASKED_OF_TARGET})
        lost, left_out = skipped + total(reasons) - elsewhere, asked + elsewhere
        table.add_row(f"objects, {target}", f"{ledger.objects_read:,}", f"{written:,}", f"{lost:,}", f"{left_out:,}")
    return table


def _tallies(ledger: Ledger) -> None:
    groups: list[tuple[str, dict[str, Tally]]] = [
        ("skipped images", ledger.image_skips),
        ("skipped", ledger.skips),
        *((f"skipped for {target}", reasons) for target, reasons in ledger.target_skips.items()),
        ("skipped as asked", ledger.asked),
        ("note", ledger.notes),
    ]
    for title, tallies in groups:
        for reason, tally in sorted(tallies.items()):
            _line(f"{title}: {reason}: {tally.count:,}")
            for place, detail in tally.places[:3]:
                _line(f"    {place}{': ' + detail if detail and detail != place else ''}")


def _findings(folder: Path, found: Any) -> None:
    if not found.errors and not found.warnings:
        _line(f"validate {folder}: clean")
        return
    _line(f"validate {folder}: {found.totals()}; in full: seg2knet validate {folder}")
    rules = found.by_rule()
    for code, (first, *more) in rules.items():
        if first.severity.value in ("error", "warning"):
            _line(f"    {first.severity.value}: {code}: {len(more) + 1:,}, first {first.message}")
        if code == "CP015":  # a source may well deserve it, though nothing is wrong with it or with the conversion
            echo(
                "        an image of stuff alone is sound panoptic data: seg2knet trains on it, mmdet's own configs "
                "leave it out; --ignore CP015 says that this is known"
            )
    if not found.errors:
        codes = ", ".join(code for code, group in rules.items() if group[0].severity.value == "warning")
        _line(f"    no errors: it can be trained on; seg2knet validate --strict would fail, on {codes}")
