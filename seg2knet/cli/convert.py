"""``seg2knet convert FORMAT SOURCE... --to coco``: one sub-command a reader, with the reader's own options."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from seg2knet.cli.terminal import SuggestingGroup, max_pixels_option
from seg2knet.converters.base import ReaderOptions
from seg2knet.converters.options import ConvertOptions, Layout, Overlap, Source
from seg2knet.converters.registry import reader, readers
from seg2knet.converters.splitting.splits import parse_ratios
from seg2knet.errors import UsageError

RENAMED = {"images": "images-dir"}
"""Reader options whose plain name another option of the command has."""


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
    """Turn annotations of any format into COCO, panoptic or ADE.

    \b
    seg2knet convert labelme ./raw --to coco
    seg2knet convert coco train=./trainingset val=./testset --to coco
    seg2knet convert auto ./export --to coco,panoptic --stuff sky,road

    The images of a source without splits go to train (0.8) and val (0.2), rare classes to both. Ends with the ledger:
    what was read, written and skipped. Exits 0; 1 if something was skipped that nobody asked for, or the result has
    errors; 2 if the run failed, and then nothing was changed.
    """


def _command(name: str, text: str, kind: type[ReaderOptions]) -> click.Command:
    def run(**values: Any) -> None:
        own = {field: values.pop(f"reader_{field}") for field in kind.model_fields}
        sys.exit(_convert(name, kind(**{key: value for key, value in own.items() if value is not None}), values))

    params = [*_common(), *(_option(field, info) for field, info in kind.model_fields.items())]
    return click.Command(name, callback=run, params=params, help=text)


def _common() -> Iterable[click.Parameter]:
    """The options that all formats share."""
    path = click.Path(path_type=Path)
    choice = click.Choice
    return [
        click.Argument(["source"], nargs=-1, required=True, metavar="[SPLIT=]SOURCE..."),
        _opt("--to", default="coco", show_default=True, help="Targets: coco, panoptic, ade, yolo, labelme, cvat, "
             "labelstudio, voc, masks; several with commas."),
        _opt("--out", type=path, help="Folder to make [data/coco; ade: data/ade/ADEChallengeData2016]."),
        _opt("--split", metavar="SHARES", help="0.8/0.1/0.1 (train, val, test), train=0.9,test=0.1, or train."),
        _opt("--resplit", is_flag=True, help="Divide again what the source has divided."),
        _opt("--group-by", metavar="folder|REGEX", help="Keep images of a folder, or of one match, in one split."),
        _opt("--seed", type=int, default=0, show_default=True, help="Of the division."),
        _opt("--classes", type=path, help="Class file: one name a line; JSON or YAML with things, stuff, colours."),
        _opt("--map", "mapping", multiple=True, metavar="OLD=NEW", help="Rename a class; two of one name are merged."),
        _opt("--drop", multiple=True, metavar="CLASS", help="Leave a class out."),
        _opt("--stuff", metavar="A,B", help="Classes that are stuff, not things."),
        _opt("--min-area", type=click.IntRange(0), default=0, help="Leave out objects of fewer pixels."),
        _opt("--polygons", is_flag=True, help="Masks become polygons; what that changes is counted."),
        _opt("--layout", type=choice(get_args(Layout)), default="year", show_default=True,
             help="train2017/ ... or train/ ..."),
        _opt("--images", type=choice(["link", "copy", "symlink", "none"]), default="link", show_default=True,
             help="How images get to the target; link: hard link, else copy."),
        _opt("--exif", type=choice(["upright", "keep"]), default="upright", show_default=True,
             help="Re-save turned photographs upright, or keep their orientation tag."),
        _opt("--overlap", type=choice(get_args(Overlap)),
             help="Who has a pixel that several claim (panoptic, ade) [as the source paints, else small-first]."),
        _opt("--void-class", metavar="NAME", help="Class of pixels that nobody claims (panoptic)."),
        _opt("--boxes-only", is_flag=True, help="yolo: boxes in place of outlines."),
        _opt("--mask-kinds", default="index", show_default=True,
             help="masks: index, instances (Cityscapes ids), colors, several with commas."),
        _opt("--predictions", is_flag=True, help="labelstudio: write objects as predictions to be corrected."),
        _opt("--lossless", is_flag=True, help="Stop where a target cannot hold something, instead of listing it."),
        _opt("--dry-run", is_flag=True, help="Read everything, write nothing, print the ledger."),
        _opt("--jobs", "-j", type=click.IntRange(1), help="Worker processes [all cores]."),
        _opt("--resume", is_flag=True, help="Continue where a run that died stopped."),
        _opt("--overwrite", is_flag=True, help="Replace a folder that seg2knet did not make."),
        _opt("--engine", type=choice(["local", "ray"]), default="local", show_default=True, help="Where to work."),
        _opt("--ray-address", metavar="ADDRESS", help="Of the Ray cluster."),
        _opt("--allow-skips", is_flag=True, help="Exit 0 though objects were skipped."),
        max_pixels_option(),
        _opt("--no-validate", is_flag=True, help="Do not check the result."),
    ]  # fmt: skip


def _opt(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, **settings)


def _option(field: str, info: FieldInfo) -> click.Option:
    """A reader's option, made from its field."""
    kind = info.annotation
    if get_origin(kind) is Union:
        kind = next(each for each in get_args(kind) if each is not type(None))
    flag = f"--{RENAMED.get(field, field).replace('_', '-')}"
    settings: dict[str, Any] = {"help": info.description}
    if kind is bool:
        return click.Option([flag, f"reader_{field}"], is_flag=True, default=bool(info.default), **settings)
    if str(get_origin(kind)).endswith("Literal"):
        settings["type"] = click.Choice([str(each) for each in get_args(kind)])
    elif isinstance(kind, type) and issubclass(kind, Path):
        settings["type"] = click.Path(path_type=Path)
    elif kind in (int, float):
        settings["type"] = kind
    if info.default is not None:
        settings.update(default=info.default, show_default=True)
    return click.Option([flag, f"reader_{field}"], **settings)


def _convert(format: str, own: ReaderOptions, values: dict[str, Any]) -> int:
    from seg2knet.converters.archives import unpacked

    with unpacked([Source.parse(text) for text in values["source"]]) as sources:
        return _run(format, sources, own, values)


def _run(format: str, sources: list[Source], own: ReaderOptions, values: dict[str, Any]) -> int:
    from seg2knet.cli import conversion
    from seg2knet.converters.pipeline import convert as run

    if format == "auto":
        format, own = conversion.detected(sources, own)
    options = ConvertOptions(
        to=_listed(values["to"]),
        out=values["out"],
        split=parse_ratios(values["split"]) if values["split"] else None,
        mapping=_mapping(values["mapping"]),
        drop=frozenset(values["drop"]),
        stuff=frozenset(_listed(values["stuff"])) if values["stuff"] is not None else None,
        mask_kinds=_listed(values["mask_kinds"]),
        validate=not values["no_validate"],
        reader=own,
        **{key: values[key] for key in _PLAIN},
    )
    with conversion.Progress() as progress:
        try:
            result = run(format, sources, options, progress)
        except KeyboardInterrupt:
            click.echo(f"\n{conversion.stopped(options)}", err=True)
            return 130
    conversion.report(result, options)
    return conversion.exit_code(result, options.allow_skips)


_PLAIN = (
    "resplit", "group_by", "seed", "classes", "min_area", "polygons", "layout", "images", "exif", "overlap",
    "void_class", "boxes_only", "predictions", "lossless",
    "allow_skips", "dry_run", "jobs", "resume", "overwrite", "engine", "ray_address",
)  # fmt: skip


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _mapping(pairs: Iterable[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals or not old or not new:
            raise UsageError("not a renaming", found=f"--map {pair}", expected="--map OLD=NEW")
        mapping[old] = new
    return mapping
