"""``--json``, ``--quiet`` and ``-v``: the same on every command that prints results."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import click

from seg2knet.cli.terminal import echo
from seg2knet.errors import QUIET, Seg2KNetError


class Outcome(NamedTuple):
    """What a command hands back: its result for ``--json`` (plain data, JSON, or what makes it), its exit code."""

    data: Any
    code: int = 0


def speaks(*, works: bool = False, file: bool = False) -> Callable[[click.Command], click.Command]:
    """Give a command ``--json``, ``--quiet`` and ``-v``; its function returns an :class:`Outcome`, or nothing.

    One that ``works`` answers no question: --quiet leaves out its lines, --json sends them to stderr. With ``file``
    ``--json`` takes the name of a file; ``-``, or none at all, prints.
    """
    kept: dict[str, Any] = {"expose_value": False, "callback": _keep}
    where: dict[str, Any] = {**kept, "flag_value": "-", "help": "Print the result as JSON, and nothing else on stdout."}
    if file:
        where.update(is_flag=False, metavar="[FILE]", help="Write the result as JSON; without FILE, print it.")
    options = [
        click.Option(["--json", "json_to"], **where),
        click.Option(["-q", "--quiet"], **kept, is_flag=True, help="No progress and no remarks."),
        click.Option(["-v", "--verbose"], **kept, is_flag=True, help="Time taken, logs, and the trace of an error."),
    ]

    def give(command: click.Command) -> click.Command:
        callback = command.callback or click.Command.__call__

        @functools.wraps(callback)
        def run(**given: Any) -> None:
            json_to, quiet, verbose = map(click.get_current_context().meta.get, ("json_to", "quiet", "verbose"))
            with contextlib.ExitStack() as stack:
                if quiet and not os.environ.get(QUIET):
                    os.environ[QUIET] = "1"
                    stack.callback(os.environ.pop, QUIET, None)
                if verbose:
                    stack.enter_context(_traced())
                if json_to == "-" or (quiet and works):
                    aside = sys.stderr if works and not quiet else stack.enter_context(open(os.devnull, "w"))
                    stack.enter_context(contextlib.redirect_stdout(aside))
                outcome = callback(**given) or Outcome(None)
            if json_to is not None:
                _write(outcome.data, json_to)
            if outcome.code:
                sys.exit(outcome.code)

        command.callback = run
        command.params.extend(options)
        return command

    return give


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Beside the command's own parameters."""
    context.meta[parameter.name or ""] = value


def _write(data: Any, where: str) -> None:
    import json

    data = data() if callable(data) else data
    text = data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False, default=str)
    if where == "-":
        sys.stdout.write(text.rstrip("\n") + "\n")
    else:
        Path(where).write_text(text.rstrip("\n") + "\n", encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def _traced() -> Iterator[None]:
    """The time taken, logs, and of an error its trace."""
    import logging
    import traceback

    logging.basicConfig(level=logging.INFO)
    began = time.monotonic()
    try:
        yield
    except (Seg2KNetError, OSError):
        echo(traceback.format_exc(), err=True)
        raise
    finally:
        echo(f"{click.get_current_context().info_name}: {time.monotonic() - began:.1f} s", err=True)
