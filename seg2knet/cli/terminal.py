"""What commands share: options, groups that name the nearest command, a progress bar, ``KEY=VALUE`` options."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.util
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

import click

from seg2knet.errors import EnvironmentProblem, UsageError, extra, is_quiet, printable_lines

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
DATA = click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
SPLIT = click.option("--split", metavar="NAME", help="train, val or test; by default val.")
CLASSES = click.option(
    "--classes", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Class file of a released checkpoint; by default COCO's or ADE20K's classes.",
)  # fmt: skip
DEVICE = click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
STACK = click.option("--stack", metavar="NAME", help="mmengine, or classic (mmdet 2): by default what is installed.")
KNET = click.option("--knet", type=PATH, metavar="DIR", help="Classic stack: a checkout of K-Net.")
LOADERS = click.option(
    "--workers", type=int, default=2, show_default=True, metavar="N", help="Processes that load images."
)


class Styled(str):
    """Text that is clean and may be coloured: ``echo`` leaves it as it is."""


def styled(text: object, **style: Any) -> Styled:
    """Text in a colour or in bold, as ``click.style`` takes them, where that is wanted (https://no-color.org)."""
    clean = printable_lines(text)
    return Styled(clean if plain() else click.style(clean, **style))


def plain() -> bool:
    """Whether the user or the terminal wants no colours, bars that move and the like."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def loading() -> None:
    """Say at once what takes the next seconds. Raises EnvironmentProblem: PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise EnvironmentProblem("PyTorch is not installed", hint=extra("train"))
    if not is_quiet():
        echo("loading PyTorch", err=True)


def echo(*parts: object, err: bool = False, nl: bool = True) -> None:
    """Print text, its parts one after another. Commands print in no other way: what comes from data, such as names of
    files and classes, has no power over the terminal."""
    clean = (part if isinstance(part, Styled) else printable_lines(part) for part in parts)
    click.echo("".join(clean), err=err, nl=nl)


class SuggestingGroup(click.Group):
    """A group whose error for an unknown command says which one was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[Optional[str], Optional[click.Command], list[str]]:
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no {self.kind} is called {name!r}. {self.suggestion(ctx, args)}", ctx)

    kind = "command"
    """What the names of this group are names of."""

    def suggestion(self, ctx: click.Context, args: list[str]) -> str:
        """What to type instead of ``args``."""
        names = {name.lower(): name for name in self.list_commands(ctx)}
        near = difflib.get_close_matches(args[0].lower(), names, n=1, cutoff=0.6)
        if near:
            return f"Did you mean: {ctx.command_path} {names[near[0]]}"
        return f"Expected one of: {', '.join(names.values())}"


@contextlib.contextmanager
def bars(titles: Mapping[str, str], every: Optional[float] = None) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar a step on a terminal; in a log a line each ``every`` seconds, or nothing.

    No thread draws it, for workers are forked meanwhile. Yields what to call with a step, how many are done and of how
    many.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=is_quiet())
    shown, pause = time.monotonic(), 0.1 if console.is_terminal else every
    columns = TextColumn("{task.description:>20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:

        def show(step: str, done: int, total: int) -> None:
            nonlocal shown
            if console.is_terminal:
                if step not in tasks:
                    tasks[step] = progress.add_task(titles[step], total=total)
                progress.update(tasks[step], completed=done, total=total, refresh=done == total)
            if pause is not None and time.monotonic() - shown > pause:
                shown = time.monotonic()
                progress.refresh()
                if not console.is_terminal:
                    console.print(f"{titles[step]}: {done:,} of {total:,}", highlight=False)

        yield show


@contextlib.contextmanager
def bar(title: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of one step, nothing in a log: yields what to call with how many are done, and of how many."""
    with bars({title: title}) as show:
        yield partial(show, title) if shown else lambda done, total: None


def max_pixels_option() -> click.Option:
    """``--max-pixels``: larger images are refused before they are decoded, here and in worker processes."""

    def keep(_: click.Context, __: click.Parameter, value: Optional[int]) -> None:
        if value is not None:
            from seg2knet.dataset.rle import MAX_PIXELS_VARIABLE

            os.environ[MAX_PIXELS_VARIABLE] = str(value)

    text = "Refuse images and masks of more pixels [268 million]."
    return click.Option(["--max-pixels"], type=click.IntRange(1), expose_value=False, callback=keep, help=text)


def key_values(pairs: Iterable[str], option: str, form: str = "KEY=VALUE", *, literal: bool = True) -> dict[str, Any]:
    """``["a.b=3", "c=x"]`` as ``{"a.b": 3, "c": "x"}``: values are Python literals, else text, or text alone.

    Raises UsageError: one has no ``=``; the message says which ``option`` it was, and what ``form`` that takes.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{option} takes {form}", found=pair, expected="model.num_kernels=50" if literal else form)
        if not literal:
            found[key.strip()] = value.strip()
            continue
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = {"true": True, "false": False, "none": None}.get(value.lower(), value)
    return found
