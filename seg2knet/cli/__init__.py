"""The command line: one module a command, imported when it is called, so that ``--help`` costs nothing."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Optional

import click

from seg2knet._version import __version__
from seg2knet.cli.terminal import SuggestingGroup, echo, max_pixels_option, styled
from seg2knet.errors import Seg2KNetError

COMMANDS = {
    "convert": ("seg2knet.cli.convert", "Turn annotations of any format into COCO, panoptic or ADE."),
    "validate": ("seg2knet.cli.validate", "Find what is wrong with a data set, and repair it."),
    "train": ("seg2knet.cli.train", "Train a K-Net on a data set."),
    "test": ("seg2knet.cli.test", "Evaluate a checkpoint."),
    "compare": ("seg2knet.cli.test", "Compare two checkpoints or result files."),
    "audit": ("seg2knet.cli.audit", "Rank the labels that look wrong."),
    "predict": ("seg2knet.cli.predict", "Segment images with a checkpoint."),
    "doctor": ("seg2knet.cli.doctor", "Check this machine and the installed packages."),
    "models": ("seg2knet.cli.catalogues", "List the models that train by name."),
    "stats": ("seg2knet.cli.stats", "Show what a data set contains."),
    "rule": ("seg2knet.cli.catalogues", "Explain one of the validator's rules."),
    "rules": ("seg2knet.cli.catalogues", "List the validator's rules."),
    "download": ("seg2knet.cli.download", "Download COCO 2017 or ADE20K into the layout that train expects."),
    "export": ("seg2knet.cli.export", "Write a checkpoint as ONNX or TorchScript."),
    "setup": ("seg2knet.cli.doctor", "Create the environment of the authors' own stack."),
}
"""Name -> (module, one line of help). The module has a click command under the name of the command."""
DECODING = ("validate", "stats", "train", "test", "predict")
"""Commands that open images: they have ``--max-pixels``."""


class LazyGroup(SuggestingGroup):
    """A group whose commands are imported when they are called; ``COMMANDS`` has a line of help for each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        if cmd_name in DECODING and not any(param.name == "max_pixels" for param in command.params):
            command.params.append(max_pixels_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seg2knet")
def cli() -> None:
    """From annotated images to a trained K-Net.

    \b
    seg2knet convert labelme ./raw --to coco
    seg2knet validate data/coco
    seg2knet train --gpus 2
    """


def main() -> None:
    """Entry point. Errors that a user can act on are printed, not traced; they exit 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names need not be UTF-8, nor the terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        cli()
    except (Seg2KNetError, OSError) as error:
        if isinstance(error, OSError):  # an output that cannot be written, a disk that is full
            if error.filename is None:
                raise
            error = Seg2KNetError(
                str(error.strerror), file=error.filename, hint="check the path, its permissions and the free space"
            )
        echo(styled("error: ", fg="red", bold=True), error, err=True)
        sys.exit(2)
