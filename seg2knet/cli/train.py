"""``seg2knet train``: its options are made from the fields of :class:`seg2knet.trainer.options.TrainOptions`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.checks import check_outputs
from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import DATA, PATH, echo, key_values, loading
from seg2knet.dataset.text import whole_number
from seg2knet.errors import UsageError, printable_lines
from seg2knet.trainer.options import INFO, TrainOptions, default_text, flag, value_type


class GroupedCommand(click.Command):
    """A command whose help lists its options under the headings of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                info = INFO.get((parameter.name or "").removeprefix("no_"))
                groups.setdefault(info.group if info else "Help", []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _number_or_auto(_context: click.Context, _parameter: click.Parameter, value: Optional[str]) -> Optional[int]:
    number = whole_number(value or "")
    if number is None and value not in (None, "auto"):
        raise click.BadParameter(f"{value} is neither a number nor auto")
    return number


def _options() -> Iterator[click.Option]:
    for name, info in INFO.items():
        yield option(name)
        if info.no is not None:
            yield click.Option([flag(f"no_{name}")], is_flag=True, help=f"The same as {flag(name)} {info.no}.")


def option(name: str) -> click.Option:
    """The command line's option for a field of ``TrainOptions``."""
    info, kind = INFO[name], value_type(name)
    default = default_text(name)
    help_text = f"{info.help}  [default: {default}]" if default not in ("", "off") else info.help
    metavar = "|".join(info.choices) or info.metavar
    initial = getattr(TrainOptions(), name)
    if kind is bool:
        names = f"{flag(name)}/{flag('no_' + name)}" if initial is not False else flag(name)
        return click.Option([names], is_flag=True, default=initial, help=help_text)
    if kind is dict:
        return click.Option([flag(name)], multiple=True, metavar=metavar, help=help_text)
    if "auto" in (info.metavar or ""):
        return click.Option([flag(name)], callback=_number_or_auto, metavar=metavar, help=help_text)
    value: Any = PATH if kind is Path else kind
    return click.Option([flag(name), name], type=value, default=initial, metavar=metavar, help=help_text)


def options_from(parameters: dict[str, Any]) -> TrainOptions:
    """The record of what the command line gave, by the names of its parameters; UsageError where options contradict one
    another, or ``--cfg-options`` has no value."""
    given = dict(parameters)
    given["cfg_options"] = key_values(given["cfg_options"], "--cfg-options")
    given["mirror"] = key_values(given["mirror"], "--mirror", "A=B", literal=False)
    for name, info in INFO.items():
        if info.no is not None and given.pop(f"no_{name}"):
            if given[name] not in (None, info.no):
                raise UsageError(f"{flag(name)} {given[name]} and {flag('no_' + name)} contradict one another")
            given[name] = info.no
    return TrainOptions(**{name: value for name, value in given.items() if name == "data" or name in INFO})


@speaks(works=True)
@click.command(cls=GroupedCommand, params=list(_options()))
@DATA
def train(**parameters: Any) -> Outcome:
    """Train a K-Net on DATA: data/coco or data/ade by default.

    Classes and task come from the data, the rest has defaults that are printed; config.py in the work dir has it all.

    \b
    seg2knet train --gpus 2
    seg2knet train data/coco --epochs 50 --backbone r101
    seg2knet train --resume --work-dir work_dirs/coco-r50
    """
    from seg2knet.dataset.layout import find_dataset
    from seg2knet.trainer import api

    options = options_from(parameters).check()
    if not options.resume and options.config is None:
        find_dataset(*[[options.data]] if options.data else [])
    check_outputs(options.work_dir or Path("work_dirs"))
    loading()
    try:
        result = api.run(options, echo)
    except KeyboardInterrupt:
        # Before the first step, or on a second Ctrl-C: there is nothing new to save.
        echo("\nstopped", err=True)
        raise SystemExit(130) from None
    if options.dry_run or result.last is None:  # nothing was trained, or another process speaks for this one
        return Outcome({"work_dir": result.work_dir, "config": result.config})
    if result.interrupted:
        again = ["--work-dir", str(result.work_dir)]
        again += options.arguments(name for name in ("gpus", "device", "workers") if getattr(options, name) is not None)
        echo(f"stopped after {result.epochs} whole epochs; saved {result.last}")
        echo(f"resume with: seg2knet train --resume {shlex.join(again)}")
    else:
        _show(result)
    return Outcome(asdict(result), 130 if result.interrupted else 0)


def _show(result: Any) -> None:
    """The figures and files of a finished run, on the terminal and in its train.log."""
    from rich.console import Console

    from seg2knet.trainer.run.progress import class_table, log

    console = Console(highlight=False, markup=False, soft_wrap=True, record=True)

    def show(text: str) -> None:
        console.print(printable_lines(text))

    def line(figures: Optional[dict[str, float]]) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in (figures or {}).items())

    if result.classes:
        show(f"\nbest epoch: {line(result.figures)}")
        console.print(class_table(result.classes))
        show("")
    if result.test:
        show(f"test split: {line(result.test)}")
    show(f"best checkpoint: {result.best}" if result.best else f"last checkpoint: {result.last}")
    files: dict[str, Optional[Path]] = {
        "results": result.work_dir / "results.csv",
        "curves": result.work_dir / "curves.png",
        "first batches": result.work_dir / "batches.jpg",
        "figures, errors, images": result.page,
        "predictions beside truth": result.samples,
    }
    for title, path in files.items():
        if path is not None and path.exists():
            show(f"{title}: {path}")
    show(f"next: seg2knet predict {shlex.quote(str(result.best or result.last))} IMAGES")
    log(result.work_dir, console.export_text().splitlines())
