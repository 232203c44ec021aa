"""``seg2knet download``: public data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import echo


@speaks(works=True)
@click.command()
@click.argument("name", metavar="coco2017|ade20k", type=click.Choice(["coco2017", "ade20k"]))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [data/coco or data/ade]")
@click.option("--splits", default="train,val", show_default=True, help="COCO: which images to fetch.")
@click.option("--test", is_flag=True, help="The test images too, with image_info_test-dev2017.json for COCO.")
@click.option("--panoptic/--no-panoptic", default=True, show_default=True, help="COCO: the panoptic annotations too.")
@click.option("--url", help="A mirror that has the files under the publisher's paths or their bare names.")
@click.option("--keep", is_flag=True, help="Keep the zip files, in .download in the folder.")
@click.option(
    "--no-digest", "check_digest", flag_value=False, default=True, help="Take files whose digest is not the one known."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched, and how large it is.")
def download(name: str, out: Optional[Path], splits: str, url: Optional[str], dry_run: bool, **how: Any) -> Outcome:
    """Fetch COCO 2017 or ADE20K into the layout that train expects.

    Resumes an interrupted download. Checks the disk space first, and every file.
    """
    from seg2knet.download import public_sets

    wanted = [part.strip() for part in splits.split(",") if part.strip()]
    chosen, archives = public_sets.choose(name, wanted, how.pop("panoptic"), how.pop("test"))
    folder = out or chosen.out
    todo = public_sets.plan(chosen, archives, folder, url)
    files = [{"name": one.name, "url": remote.urls[0], "bytes": size} for one, remote, size in todo.wanted]
    outcome = Outcome({"folder": folder, "files": files, "download": todo.download, "space": todo.space})
    if not todo.wanted:
        echo(f"all is there already, {public_sets.what_is_there(name, folder)}")
        return outcome
    for line in todo.lines():
        echo(line)
    if dry_run:
        return outcome
    try:
        public_sets.bring(todo, folder, say=echo, **how)
    except KeyboardInterrupt:
        echo("\nstopped; run the same command again to resume", err=True)
        return outcome._replace(code=130)
    echo(public_sets.what_is_there(name, folder))
    echo(f"next: seg2knet train {folder}")
    return outcome
