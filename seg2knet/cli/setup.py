"""``seg2knet setup``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click


@click.group(short_help="Make the environment of the authors' own stack.")
def setup() -> None:
    """Make an environment that another stack needs."""


@setup.command(short_help="Python 3.9, torch 1.10.1, mmcv 1.3.14, mmdet 2.17.0, mmsegmentation 0.18.0.")
@click.option(
    "--venv",
    type=click.Path(path_type=Path),
    default=Path(".venv-classic"),
    show_default=True,
    metavar="DIR",
    help="The environment's folder.",
)
@click.option("--python", type=click.Path(path_type=Path), metavar="PATH", help="Python 3.9; by default looked for.")
@click.option("--ops/--no-ops", default=True, help="Compile mmcv's operators, or do without (K-Net needs none).")
@click.option("--cuda", default="10.2", show_default=True, metavar="10.2|11.1|11.3|cpu", help="Build of torch.")
@click.option("--dry-run", is_flag=True, help="Print the commands, run none.")
def classic(venv: Path, python: Optional[Path], ops: bool, cuda: str, dry_run: bool) -> None:
    """Make the environment in which a checkout of K-Net runs, with exactly the versions that it was tried with.

    \b
    seg2knet setup classic
    .venv-classic/bin/seg2knet train data/coco --knet ./K-Net --gpus 2

    PyPI's torch 1.10.1 is built for CUDA 10.2, which knows no GPU after 2019's: for an Ampere card give --cuda 11.3.
    """
    from seg2knet.trainer import stacks

    stacks.get("classic").setup(venv, python=python, ops=ops, cuda=cuda, dry_run=dry_run, say=click.echo)
