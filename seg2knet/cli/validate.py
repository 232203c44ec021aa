"""``seg2knet validate``: find what is wrong with a data set, and fix it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List, Optional

import click
import msgspec

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import PATH, echo, plain, styled
from seg2knet.errors import UsageError

FORMATS = ["text", "json", "jsonl", "sarif", "github", "html"]


def _codes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[str]:
    return [code.strip() for value in values for code in value.split(",") if code.strip()]


@speaks()
@click.command()
@click.argument("paths", nargs=-1, type=PATH)
@click.option("--select", multiple=True, callback=_codes, metavar="CODES", help="Only these rules: CI,IM003,KN0.")
@click.option("--ignore", multiple=True, callback=_codes, metavar="CODES", help="Not these rules.")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--fix", is_flag=True, help="Apply the fixes that lose nothing.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix: also what removes or guesses; what goes is listed.")
@click.option("--diff", is_flag=True, help="Show what --fix would do and change nothing.")
@click.option("--no-backup", "backup", flag_value=False, default=True, help="Do not keep what --fix replaces as .bak.")
@click.option("--images", type=PATH, help="The folder of images, where they are not beside the JSON file.")
@click.option("--config", type=PATH, help="A training configuration to check the data against (rules KN).")
@click.option("--output-format", type=click.Choice(FORMATS), help="text by default.")
@click.option("--output-file", type=PATH, help="Write the report there instead of printing it.")
@click.option("--statistics", is_flag=True, help="Only the table by rule.")
@click.option("--show-all", "--all", is_flag=True, help="Every finding, not a rule's first few.")
@click.option("--baseline", type=PATH, help="A JSON report of an earlier run: its findings are known and do not fail.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; as many as there are cores by default.")
def validate(
    paths: tuple[Path, ...], fix: bool, unsafe_fixes: bool, diff: bool, output_file: Optional[Path], **given: Any
) -> Outcome:
    """Find what is wrong with a data set, and fix it.

    PATHS are folders in the COCO, panoptic or ADE layout, or COCO JSON files; data/coco or data/ade by default.

    Exits 0 if nothing is found at or above the failing severity (error; with --strict warning), 1 if something is, 2
    if it could not run.
    """
    from seg2knet.dataset.layout import find_dataset
    from seg2knet.validators import engine
    from seg2knet.validators.reports import FORMATS as RENDERERS

    given.update({name: given[name] or value for name, value in msgspec.structs.asdict(settings()).items()})
    output_format, statistics, show_all = map(given.pop, ("output_format", "statistics", "show_all"))
    if unsafe_fixes and not (fix or diff):
        raise UsageError("--unsafe-fixes says which fixes, not to fix", hint="seg2knet validate --fix --unsafe-fixes")
    try:
        report = engine.validate(
            paths or [find_dataset().root],
            fix=("unsafe" if unsafe_fixes else "safe") if fix or diff else None,
            diff=diff,
            **given,
        )
    except KeyboardInterrupt as stop:
        echo(f"stopped\n{stop}".rstrip(), err=True)
        sys.exit(130)
    if diff:
        for line in report.diff:
            echo(styled(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1])))
        echo(f"{len(report.fixed):,} would be fixed", err=True)
    else:
        write_report(report, output_format, output_file, statistics, show_all)
    return Outcome(lambda: RENDERERS["json"](report, show_all=True), report.exit_code)


def write_report(report, output_format: str, output_file: Optional[Path], statistics: bool, show_all: bool) -> None:  # type: ignore[no-untyped-def]
    from seg2knet.validators.reports import FORMATS as RENDERERS
    from seg2knet.validators.reports import text

    if output_format not in RENDERERS:
        raise UsageError("no such output format", found=output_format, expected=", ".join(RENDERERS))
    colour = output_file is None and sys.stdout.isatty() and not plain()
    if statistics and output_format == "text":
        out = text.statistics(report, colour=colour) + "\n"
    elif output_format == "text":
        out = text.render(report, show_all=show_all, colour=colour)
    else:
        out = RENDERERS[output_format](report, show_all=show_all)
    if output_file is None:
        sys.stdout.write(out)
        return
    try:
        output_file.parent.mkdir(parents=True, exist_ok=True)
        output_file.write_bytes(out.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError("the report cannot be written", file=output_file, found=error.strerror) from None
    echo(f"{len(report.findings):,} findings: {output_file}")


class Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """Settings from ``[tool.seg2knet]`` of the nearest ``pyproject.toml``; what the command line says goes first."""

    select: List[str] = []
    ignore: List[str] = []
    strict: bool = False
    output_format: str = "text"
    baseline: Optional[str] = None
    show_all: bool = False


def settings(start: Optional[Path] = None) -> Settings:
    """The settings that hold in a folder (by default the current one); the baseline is relative to their file.

    Raises UsageError: the file is no TOML, or has a setting that does not exist or of the wrong type.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    folder = (start or Path.cwd()).resolve()
    for path in (parent / "pyproject.toml" for parent in (folder, *folder.parents)):
        if not path.is_file():
            continue
        try:
            tools = tomllib.loads(path.read_text("utf-8")).get("tool")
        except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
            raise UsageError("the settings cannot be read", file=path, found=str(error)) from None
        if not isinstance(tools, dict) or "seg2knet" not in tools:
            continue
        try:
            found = msgspec.convert(tools["seg2knet"], Settings)
        except msgspec.ValidationError as error:
            raise UsageError(
                "a setting is wrong",
                file=path,
                place="[tool.seg2knet]",
                found=str(error),
                expected=", ".join(field.encode_name for field in msgspec.structs.fields(Settings)),
            ) from None
        if found.baseline is not None:
            found.baseline = str(path.parent / found.baseline)
        return found
    return Settings()
