"""``seg2knet doctor``: what is here, what is wrong with it, what mends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Optional

import click

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("error", "red")}


@click.command()
@click.option("--task", type=click.Choice(["instance", "panoptic", "semantic"]), help="Check for this task only.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="cuda: a missing GPU is an error; cpu: never mind.")
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("work_dirs"),
    show_default=True,
    help="Where training will write: its disk is looked at.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(task: Optional[str], device: Optional[str], work_dir: Path, as_json: bool) -> None:
    """Check this machine and what is installed.

    Every line is ok, or says what is wrong and the command that mends it. Exits 1 if something keeps training from
    starting, else 0.
    """
    from seg2knet.doctor.environment import check

    report = check(task, device, work_dir)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        width = max(len(line.name) for line in report.lines)
        for line in report.lines:
            mark, colour = MARKS[line.status]
            click.echo(f"{line.name:<{width}}  {click.style(f'{mark:<7}', fg=colour)}  {line.found}")
            if line.problem is not None:
                click.echo(f"{'':<{width}}           {line.problem}")
            if line.command is not None:
                click.echo(f"{'':<{width}}           {click.style(line.command, bold=True)}")
        click.echo(_verdict(len(report.errors), len(report.warnings)))
    sys.exit(0 if report.ok else 1)


def _verdict(errors: int, warnings: int) -> str:
    if errors:
        return f"Training cannot start: {errors} error{'s' * (errors > 1)}. Mend them from the top."
    if warnings:
        return f"Training can start; {warnings} warning{'s' * (warnings > 1)}."
    return "All is well."
