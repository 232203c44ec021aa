"""``seg2knet compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import echo

_FILE = click.Path(path_type=Path, dir_okay=False)


@speaks(file=True)
@click.command(short_help="Compare two checkpoints or result files.")
@click.argument("a")
@click.argument("b")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", metavar="NAME", help="train, val or test; by default val.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with the objects that were won and lost.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write a JUnit file: a test case for each --fail-if.")
@click.option("--fail-if", "conditions", multiple=True, metavar="CONDITION", help="Exit 1 if it holds: 'AP < -0.01'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
@click.option("--workers", type=int, default=2, show_default=True, metavar="N", help="Processes that load images.")
def compare(
    a: str,
    b: str,
    data: Optional[Path],
    split: Optional[str],
    html: Optional[Path],
    junit: Optional[Path],
    conditions: tuple[str, ...],
    seed: int,
    device: Optional[str],
    workers: int,
) -> Outcome:
    """Is B better than A? Two checkpoints, or two files of COCO results, on the same split of DATA.

    Differences are B - A, with 95 % intervals of a paired bootstrap over images.

    \b
    seg2knet compare old/best.pth new/best.pth data/coco --html compare.html
    seg2knet compare old.json new.json data/coco --fail-if 'AP < -0.01'
    """
    from seg2knet.cli.checks import check_checkpoint, check_outputs
    from seg2knet.cli.terminal import bar, loading
    from seg2knet.judge import compare as judging
    from seg2knet.judge.page import compare_page

    for condition in conditions:
        judging.check_condition(condition)
    check_outputs(html, junit)
    for model in (a, b):
        check_checkpoint(model)
    if not all(model.endswith(".json") for model in (a, b)):
        loading()
    from seg2knet.trainer.evaluate.judging import compare as run

    with bar("evaluating") as ticked:
        comparison = run(a, b, data, split, seed=seed, device=device, workers=workers, ticked=ticked)
    failed = [condition for condition in conditions if comparison.fails(condition)]
    echo(judging.text(comparison))
    if html is not None:
        html.write_text(compare_page(comparison), encoding="utf-8")
    if junit is not None:
        junit.write_text(judging.junit(comparison, conditions), encoding="utf-8")
    for condition in failed:
        echo(f"failed: {condition}", err=True)
    return Outcome(comparison.as_dict(), 1 if failed else 0)
