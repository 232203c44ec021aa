"""``seg2knet doctor`` and ``seg2knet setup``: what is installed, what is wrong with it, what repairs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import PATH, echo, styled

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@speaks()
@click.command()
@click.option("--task", type=click.Choice(["instance", "panoptic", "semantic"]), help="Check for this task only.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="cuda: a missing GPU is an error; cpu: never mind.")
@click.option(
    "--work-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("work_dirs"), show_default=True,
    help="Where training will write: its disk is looked at.",
)  # fmt: skip
def doctor(task: Optional[str], device: Optional[str], work_dir: Path) -> Outcome:
    """Check this machine and what is installed.

    Every line is ok, or says what is wrong and the command that repairs it. Exits 1 if something keeps training from
    starting, else 0.
    """
    from seg2knet.doctor.environment import check

    report = check(task, device, work_dir)
    width = max(len(line.name) for line in report.lines)
    for line in report.lines:
        echo(f"{line.name:<{width}}  ", styled(f"{line.status:<7}", fg=COLOURS[line.status]), f"  {line.found}")
        if line.problem is not None:
            echo(f"{'':<{width}}           {line.problem}")
        if line.command is not None:
            echo(f"{'':<{width}}           ", styled(line.command, bold=True))
    errors, warnings = len(report.errors), len(report.warnings)
    if errors:
        echo(f"Training cannot start: {errors} error{'s' * (errors > 1)}. Repair them from the top.")
    elif warnings:
        echo(f"Training can start; {warnings} warning{'s' * (warnings > 1)}.")
    else:
        echo("Everything is in order.")
    return Outcome(report.as_dict(), 0 if report.ok else 1)


@click.group()
def setup() -> None:
    """Make an environment that another stack needs."""


@setup.command(short_help="Python 3.9, torch 1.10.1, mmcv 1.3.14, mmdet 2.17.0, mmsegmentation 0.18.0.")
@click.option(
    "--venv", type=PATH, default=Path(".venv-classic"), show_default=True, metavar="DIR",
    help="The environment's folder.",
)  # fmt: skip
@click.option("--python", type=PATH, metavar="PATH", help="Python 3.9; by default looked for.")
@click.option("--ops/--no-ops", default=True, help="Compile mmcv's operators, or do without (K-Net needs none).")
@click.option("--cuda", default="10.2", show_default=True, metavar="10.2|11.1|11.3|cpu", help="Build of torch.")
@click.option("--dry-run", is_flag=True, help="Print the commands, run none.")
def classic(venv: Path, **how: Any) -> None:
    """Make the environment in which a checkout of K-Net runs, with exactly the versions that it was tried with.

    \b
    seg2knet setup classic
    .venv-classic/bin/seg2knet train data/coco --knet ./K-Net --gpus 2

    PyPI's torch 1.10.1 is built for CUDA 10.2, which knows no GPU after 2019's: for an Ampere card give --cuda 11.3.
    """
    from seg2knet.trainer import stacks

    stacks.get("classic").setup(venv, say=echo, **how)
