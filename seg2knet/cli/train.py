"""``seg2knet train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Optional

import click

_PATH = click.Path(path_type=Path)


@click.command(short_help="Train a K-Net on a data set.")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--task", help="instance, panoptic or semantic; by default what the folder holds.")
@click.option("--model", metavar="NAME", help="A model of the authors' table (seg2knet models).")
@click.option("--head", metavar="NAME", help="Semantic: fcn, pspnet, deeplabv3 or upernet (default).")
@click.option("--epochs", type=int, metavar="N", help="By default 12, more for small data sets.")
@click.option("--schedule", metavar="1x|3x", help="12 epochs, or 36 with sizes drawn anew each time.")
@click.option("--batch-size", type=int, metavar="N", help="Images a step over all GPUs; by default 2 a GPU.")
@click.option("--lr", type=float, help="Learning rate; by default 1e-4 for 16 images a step, in proportion.")
@click.option("--img-size", metavar="N|WxH", help="Longest side, or longest x shortest; by default 1333x800.")
@click.option("--backbone", metavar="NAME", help="r18, r50 (default), r101, r101-dcn, swin-t or swin-l.")
@click.option("--pretrained/--no-pretrained", default=True, help="Start from ImageNet's weights, or from nothing.")
@click.option(
    "--backbone-weights", type=_PATH, metavar="FILE", help="The backbone's weights, where they are here already."
)
@click.option("--load-from", metavar="FILE|URL", help="Start from a checkpoint, of this tool or the authors'.")
@click.option("--config", type=_PATH, metavar="FILE", help="Run a config file as it stands.")
@click.option("--work-dir", type=_PATH, metavar="DIR", help="By default work_dirs/<name of the data>.")
@click.option("--resume", is_flag=True, help="Go on with the run in the work dir, where it was.")
@click.option("--gpus", type=int, metavar="N", help="By default all there are; 0 trains on the CPU.")
@click.option("--device", metavar="cuda|cpu", help="cpu with --gpus 2 trains in two processes.")
@click.option(
    "--amp/--no-amp", default=None, help="Mixed precision; by default on processors that compute in bfloat16."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, metavar="N", help="Processes that load images, for each GPU.")
@click.option(
    "--cfg-options", "cfg_options", multiple=True, metavar="KEY=VALUE", help="Change the config: model.num_kernels=50."
)
@click.option("--dry-run", is_flag=True, help="Check everything and write the config; train nothing.")
@click.option("--validate/--no-validate", default=True, help="Check the data before the first step.")
@click.option("--ema", is_flag=True, help="Judge and keep a moving average of the weights.")
@click.option("--early-stop", type=int, default=0, metavar="N", help="Stop after N epochs without a better figure.")
@click.option("--accumulate", type=int, default=1, metavar="N", help="Sum gradients over N steps.")
@click.option(
    "--balance", type=float, default=0.0, metavar="SHARE", help="Show classes on fewer images than this more often."
)
@click.option("--multi-scale", is_flag=True, help="Draw the image size anew each time, 0.8 to 1 of --img-size.")
@click.option(
    "--logger", default="tensorboard", show_default=True, metavar="NAME", help="tensorboard, wandb, mlflow or none."
)
@click.option("--compile", is_flag=True, help="torch.compile the network.")
@click.option("--channels-last/--no-channels-last", default=None, help="Images as (H, W, C); by default on the CPU.")
@click.option("--nodes", type=int, default=1, metavar="N", help="Machines.")
@click.option("--node-rank", type=int, default=0, metavar="N", help="Which of them this is, from 0.")
@click.option("--rdzv", metavar="HOST:PORT", help="Where the machines meet: the first one.")
@click.option(
    "--launcher", default="torchrun", show_default=True, metavar="NAME", help="torchrun, slurm (under srun) or none."
)
@click.option("--stack", metavar="NAME", help="mmengine, or classic (mmdet 2): chosen by what is installed.")
@click.option("--knet", type=_PATH, metavar="DIR", help="Classic stack: a checkout of the authors' K-Net.")
@click.option("--max-restarts", type=int, default=0, metavar="N", help="Start again from last.pth when a process dies.")
def train(cfg_options: tuple[str, ...], stack: Optional[str], knet: Optional[Path], **given: Any) -> None:
    """Train a K-Net on DATA: data/coco or data/ade by default.

    Classes and task come from the data, the rest has defaults that are printed; config.py in the work dir has it all.

    \b
    seg2knet train --gpus 2
    seg2knet train data/coco --epochs 50 --backbone r101
    seg2knet train --resume --work-dir work_dirs/coco
    """
    from seg2knet.cli._values import key_values
    from seg2knet.trainer import stacks
    from seg2knet.trainer.options import TrainOptions
    from seg2knet.trainer.run import session

    options = TrainOptions(cfg_options=key_values(cfg_options, "--cfg-options"), **given)
    other = stacks.choose(stack, knet)
    if other is not None:
        other.train(options, knet=knet, say=_say)
        return
    try:
        result = session.run(options, _say)
    except KeyboardInterrupt:
        # Before the first step, or on a second Ctrl-C: there is nothing new to save.
        click.echo("\nstopped", err=True)
        raise SystemExit(130) from None
    if options.dry_run or result.last is None:  # nothing was trained, or another process speaks for this one
        return
    _show(result, session.ask_again(options, result))
    if result.interrupted:
        raise SystemExit(130)


def _say(line: str) -> None:
    click.echo(line)


def _show(result: Any, again: Optional[list[str]]) -> None:
    from rich.console import Console

    from seg2knet.trainer.run.progress import class_table

    if result.interrupted:
        click.echo(f"stopped after {result.epochs} whole epochs; saved {result.last}")
        click.echo(f"go on with: {shlex.join(again or [])}")
        return
    if result.classes:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in result.figures.items())
        click.echo(f"\nbest epoch: {figures}")
        Console(highlight=False).print(class_table(result.classes))
        click.echo()
    if result.test:
        click.echo("test split: " + ", ".join(f"{name} {value:.3f}" for name, value in result.test.items()))
    click.echo(f"best checkpoint: {result.best}" if result.best else f"last checkpoint: {result.last}")
    for title, path in (
        ("results", result.work_dir / "results.csv"),
        ("curves", result.work_dir / "curves.png"),
        ("predictions beside truth", result.samples),
    ):
        if path is not None and path.exists():
            click.echo(f"{title}: {path}")
    click.echo(f"next: seg2knet predict {shlex.quote(str(result.best or result.last))} IMAGES")
