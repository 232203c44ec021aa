"""``seg2knet convert FORMAT SOURCE... --to coco``: one sub-command a reader, with the reader's own options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from typing_extensions import Literal

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import SuggestingGroup, bars, echo, max_pixels_option
from seg2knet.converters.archives import unpacked
from seg2knet.converters.base import ReaderOptions
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.registry import reader, readers
from seg2knet.errors import UsageError

RENAMED = {"mapping": "map", "checked": "validate"}
RENAMED_OF_READERS = {"images": "images-dir"}
"""Options whose name is not the field's: some plain names are those of other options."""
MULTIPLE = ("mapping", "drop")


class Formats(SuggestingGroup):
    """The formats as sub-commands, made from the readers."""

    kind = "format"

    def suggestion(self, ctx: click.Context, args: list[str]) -> str:
        if Path(args[0]).exists():
            return f"To detect the format of {args[0]}: {ctx.command_path} auto {shlex.join(args)}"
        return super().suggestion(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["auto", *sorted(readers())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name == "auto":
            return _command("auto", "Find out the format, say why, and convert.", ReaderOptions)
        try:
            kind = reader(cmd_name)
        except UsageError:
            return None
        return _command(cmd_name, f"Convert {kind.title}.", kind.Options)


@click.group(cls=Formats)
def convert() -> None:
    """Turn annotations of any format into COCO, panoptic, ADE, or those of label tools.

    \b
    seg2knet convert labelme ./raw --to coco
    seg2knet convert coco train=./trainingset val=./testset --to coco
    seg2knet convert auto ./export --to coco,panoptic --stuff sky,road

    The images of a source without splits go to train (0.8) and val (0.2), rare classes to both. Ends with the ledger:
    what was read, written and skipped. Exits 0; 1 if something was skipped that nobody asked for, or the result has
    errors; 2 if the run failed, and then nothing was changed.
    """


def _command(name: str, text: str, kind: type[ReaderOptions]) -> click.Command:
    def run(source: tuple[str, ...], **values: Any) -> Outcome:
        given = {key: value for key, value in values.items() if value is not None}
        own = {field: given.pop(f"reader_{field}") for field in kind.model_fields if f"reader_{field}" in given}
        with unpacked([Source.parse(text) for text in source], given) as sources:
            return _convert(name, sources, kind(**own), given)

    params = [
        click.Argument(["source"], nargs=-1, required=True, metavar="[SPLIT=]SOURCE..."),
        *(_option(field, info) for field, info in ConvertOptions.model_fields.items() if field != "reader"),
        max_pixels_option(),
        *(_option(field, info, "reader_") for field, info in kind.model_fields.items()),
    ]
    return speaks(works=True)(click.Command(name, callback=run, params=params, help=text))


def _option(field: str, info: FieldInfo, prefix: str = "") -> click.Option:
    """An option made from a field of ``ConvertOptions`` or of a reader's options."""
    kind = info.annotation
    if get_origin(kind) is Union:
        kind = next(one for one in get_args(kind) if one is not type(None))
    name = (RENAMED_OF_READERS if prefix else RENAMED).get(field, field).replace("_", "-")
    names = [f"--{name}", *(["-j"] if field == "jobs" else []), prefix + field]
    settings: dict[str, Any] = {"help": info.description}
    if kind is bool:
        if info.default is True:  # asked for by default: the option says no
            return click.Option([f"--no-{name}", prefix + field], flag_value=False, default=True, **settings)
        return click.Option(names, is_flag=True, default=False, **settings)
    if isinstance(info.json_schema_extra, dict):
        settings["metavar"] = info.json_schema_extra["metavar"]
    if get_origin(kind) is Literal:
        settings["type"] = click.Choice([str(one) for one in get_args(kind)])
    elif isinstance(kind, type) and issubclass(kind, Path):
        settings["type"] = click.Path(path_type=Path)
    elif kind is int and info.metadata:
        settings["type"] = click.IntRange(info.metadata[0].ge)
    elif kind in (int, float):
        settings["type"] = kind
    if field in MULTIPLE:
        settings["multiple"] = True
    elif info.default is not None:
        default = ",".join(info.default) if isinstance(info.default, tuple) else info.default
        settings.update(default=default, show_default=True)
    return click.Option(names, **settings)


def _convert(format: str, sources: list[Source], own: ReaderOptions, values: dict[str, Any]) -> Outcome:
    from seg2knet.cli import conversion
    from seg2knet.converters.detection import detect
    from seg2knet.converters.pipeline import Conversion

    if format == "auto":
        format, evidence = detect([source.path for source in sources])
        kind = reader(format)
        echo(f"{kind.title} (seg2knet convert {format}):", *(f"\n  {reason}" for reason in evidence.reasons))
        own = kind.Options(**own.model_dump(exclude_unset=True))
    options = ConvertOptions(reader=own, **values)
    with bars(conversion.STEPS, every=10.0) as progress:
        try:
            work = Conversion(format, sources, options, progress)
            for root, former in work.former.items():
                if former:
                    echo(f"{root}: replaces the conversion of {', '.join(former)}", err=True)
            result = work.run()
        except KeyboardInterrupt:
            echo(f"\n{conversion.stopped(options, sources)}", err=True)
            return Outcome(None, 130)
    conversion.report(result, options)
    return conversion.outcome(result, options.allow_skips)
