"""``seg2knet stats``: what a data set holds."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import PATH, echo, plain


@speaks()
@click.command()
@click.argument("path", required=False, type=PATH)
@click.option(
    "--format", "output_format", type=click.Choice(["table", "json", "html"]), default="table", show_default=True
)
@click.option("--output-file", type=PATH, help="Write there instead of printing.")
@click.option("--sheet", type=PATH, metavar="FILE", help="Write a JPEG of some labelled images of each split there.")
def stats(path: Optional[Path], output_format: str, output_file: Optional[Path], sheet: Optional[Path]) -> Outcome:
    """Say what a data set holds: splits, classes, objects an image, areas, sizes of images.

    PATH is a folder in the COCO, panoptic or ADE layout, or a COCO JSON file; data/coco or data/ade by default.
    """
    from seg2knet.dataset.layout import find_dataset
    from seg2knet.validators.reports import stats as reports
    from seg2knet.validators.statistics import statistics
    from seg2knet.validators.subjects.data import find

    where = path if path is not None else find_dataset().root
    splits = statistics(find(where))
    if output_format == "json":
        text = reports.as_json_text(splits)
    elif output_format == "html":
        text = reports.html(splits, str(where))
    else:
        on_terminal = output_file is None and sys.stdout.isatty() and not plain()
        width = shutil.get_terminal_size((120, 40)).columns if on_terminal else 140
        text = reports.table(splits, colour=on_terminal, width=width)
    if output_file is None:
        sys.stdout.write(text)
    else:
        output_file.write_text(text, encoding="utf-8", errors="replace")
        echo(f"written: {output_file}", err=True)
    if sheet is not None:
        from seg2knet.converters.sheets import of_folder

        sheet.write_bytes(of_folder(where))
        echo(f"written: {sheet}", err=True)
    return Outcome(lambda: reports.as_json_text(splits))
