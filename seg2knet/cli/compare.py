"""``seg2knet compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli import terminal
from seg2knet.cli.terminal import FILE, echo


@click.command(short_help="Compare two checkpoints or result files.")
@click.argument("a")
@click.argument("b")
@terminal.data_argument
@terminal.split_option
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with the objects that were won and lost.")
@click.option("--junit", type=FILE, metavar="FILE", help="Write a JUnit file: a test case for each --fail-if.")
@click.option("--fail-if", "conditions", multiple=True, metavar="CONDITION", help="Exit 1 if it holds: 'AP < -0.01'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@terminal.device_option
@terminal.workers_option
def compare(
    a: str,
    b: str,
    data: Optional[Path],
    split: Optional[str],
    html: Optional[Path],
    junit: Optional[Path],
    conditions: tuple[str, ...],
    json_file: Optional[str] = None,
    **how: Any,
) -> None:
    """Is B better than A? Two checkpoints, or two files of COCO results, on the same split of DATA.

    Differences are B - A, with 95 % intervals of a paired bootstrap over images.

    \b
    seg2knet compare old/best.pth new/best.pth data/coco --html compare.html
    seg2knet compare old.json new.json data/coco --fail-if 'AP < -0.01'
    """
    from seg2knet.judge import compare as judging
    from seg2knet.judge.page import compare_page
    from seg2knet.trainer.evaluate.judging import compare as run

    for condition in conditions:
        judging.check_condition(condition)
    with terminal.bar("evaluating") as ticked:
        comparison = run(a, b, data, split, ticked=ticked, **how)
    failed = [condition for condition in conditions if comparison.fails(condition)]
    terminal.write_json(json_file, comparison.as_dict())
    echo(judging.text(comparison))
    if html is not None:
        html.write_text(compare_page(comparison), encoding="utf-8")
    if junit is not None:
        junit.write_text(judging.junit(comparison, conditions), encoding="utf-8")
    for condition in failed:
        echo(f"failed: {condition}", err=True)
    sys.exit(1 if failed else 0)
