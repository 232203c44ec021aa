"""``seg2knet compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from seg2knet.cli.terminal import echo

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Compare two checkpoints or result files.")
@click.argument("a")
@click.argument("b")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", metavar="NAME", help="train, val or test; by default val.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with the objects that were won and lost.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write all figures; - prints them.")
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
    json_file: Optional[Path],
    junit: Optional[Path],
    conditions: tuple[str, ...],
    seed: int,
    device: Optional[str],
    workers: int,
) -> None:
    """Is B better than A? Two checkpoints, or two files of COCO results, on the same split of DATA.

    Differences are B - A, with 95 % intervals of a paired bootstrap over images.

    \b
    seg2knet compare old/best.pth new/best.pth data/coco --html compare.html
    seg2knet compare old.json new.json data/coco --fail-if 'AP < -0.01'
    """
    import json
    import sys

    from seg2knet.cli.terminal import bar
    from seg2knet.judge import compare as judging
    from seg2knet.judge.page import compare_page
    from seg2knet.trainer.evaluate.judging import compare as run

    for condition in conditions:
        judging.check_condition(condition)
    quiet = str(json_file) == "-"
    with bar("evaluating", quiet) as ticked:
        comparison = run(a, b, data, split, seed=seed, device=device, workers=workers, ticked=ticked)
    failed = [condition for condition in conditions if comparison.fails(condition)]
    if quiet:
        sys.stdout.write(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False) + "\n")
    else:
        echo(judging.text(comparison))
    if html is not None:
        html.write_text(compare_page(comparison), encoding="utf-8")
    if json_file is not None and not quiet:
        json_file.write_text(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if junit is not None:
        junit.write_text(judging.junit(comparison, conditions), encoding="utf-8")
    for condition in failed:
        echo(f"failed: {condition}", err=True)
    sys.exit(1 if failed else 0)
