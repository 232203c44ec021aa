"""Convert every folder of ``../shared/corpora`` to every target, compare with what its author expected, and write the
table in ``docs/corpora.md``.

    python benchmarks/corpora.py            # or: make corpora

A source is converted as ``auto`` finds it, or, where that refuses to guess between two formats, as the format named in
``corpora_cases.py``. Exits 1 if a result differs from what is expected of it, or anything but an error of ours comes
out.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from corpora_cases import CASES, Case, Differs
from pycocotools import mask as coco_mask

from seg2knet.converters.api import convert
from seg2knet.converters.detection import detect
from seg2knet.converters.registry import reader
from seg2knet.dataset.geometry import shape_to_rle
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import as_pycocotools
from seg2knet.errors import Seg2KNetError

HERE = Path(__file__).resolve().parents[1]
TARGETS = ("coco", "panoptic", "ade")
TOOLS = ("yolo", "labelme", "cvat", "labelstudio", "voc", "masks")
"""Targets of label tools and other trainers."""
APART = ("yolo", "labelme", "cvat", "labelstudio")
"""Those of them that hold each object on its own."""


@dataclass
class Row:
    """A line of the table."""

    case: Case
    found: str
    results: dict[str, str]
    tools: str
    compared: str


def run(case: Case, root: Path, work: Path) -> Row:
    """Convert one source to all targets."""
    source = root / case.path
    found, format = _detected(case, source)
    results: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for target in TARGETS:
        if format is None:
            results[target] = "–"
            continue
        out = work / target
        try:
            results[target] = _converted(case, format, source, target, out, "copy")
        except Seg2KNetError as error:
            results[target] = _without_images(case, format, source, target, out, error)
        if out.is_dir():
            folders[target] = out
    tools = ""
    if format is not None and "coco" in folders and not re.match("`|.* 0 objects", results["coco"]):
        tools = _tools(case, format, source, folders["coco"], work)
    compared = ""
    if case.expected is not None and folders:
        compared = case.expected(source, folders)
    return Row(case, found, results, tools, compared)


def _converted(case: Case, format: str, source: Path, target: str, out: Path, images: str) -> str:
    return _counted(_result(case, format, source, target, out, images=images, validate=False).ledger, target)


def _result(case: Case, format: str, source: Path, target: str, out: Path, **more: Any) -> Any:
    options = dict(case.options)
    if "images" in options:
        options["images"] = source.parent / options["images"]
    return convert(format, source, to=target, out=out, jobs=1, sheet=False, reader_options=options, **more)


def _tools(case: Case, format: str, source: Path, coco: Path, work: Path) -> str:
    """What label tools' formats hold of the source's objects, read by their own readers, against those in COCO."""
    said: dict[str, list[str]] = {}
    truth = _objects("coco", coco)
    for target in TOOLS:
        try:
            result = _result(case, format, source, target, work / target)
        except Seg2KNetError as error:
            said.setdefault(f"refused: {_short(error)}", []).append(target)
            continue
        if result.problems:
            raise Differs(f"{target}: {result.problems[target][0]}")
        if target in APART:
            strange = _strangers(target, work / target, truth)
            if strange and "pixels-changed-by-bridges" not in result.ledger.notes:
                raise Differs(f"{target}: {strange} objects are not those of COCO")
        changed = result.ledger.notes.get("pixels-changed-by-bridges")
        bridges = f"; {changed.count} pixels of bridges" if changed is not None and target == "yolo" else ""
        said.setdefault(_counted(result.ledger, target).partition(", ")[2] + bridges, []).append(target)
    return "; ".join(f"{', '.join(targets)}: {text}" for text, targets in said.items())


def _objects(format: str, folder: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Masks by the image's file name and the class, which a crowd does not have in every format."""
    kind = reader(format)
    opened = kind(folder, kind.Options())
    samples = [opened.read(handle) for handle in opened.scan().handles]
    return grouped(
        (
            (Path(s.image.name).name, "crowd" if item.iscrowd else item.label),
            as_pycocotools(shape_to_rle(item.shape, s.image.height, s.image.width)),
        )
        for s in samples
        for item in s.objects
    )


def _strangers(format: str, folder: Path, truth: dict[tuple[str, str], list[dict[str, Any]]]) -> int:
    """How many objects are none of the truth's, each of which is one object only; a mask IoU of 0.999 is the same (YOLO
    writes six digits)."""
    count = 0
    for key, masks in _objects(format, folder).items():
        left = list(truth.get(key, []))
        for mask in masks:
            ious = coco_mask.iou([mask], left, [0] * len(left))
            if len(ious) and ious.max() >= 0.999:
                del left[int(ious.argmax())]
            else:
                count += 1
    return count


def _without_images(case: Case, format: str, source: Path, target: str, out: Path, first: Seg2KNetError) -> str:
    """Where nothing can be converted for want of images: the annotations alone."""
    if re.search("image", f"{first.found}"):
        try:
            return f"`--images none`: {_converted(case, format, source, target, out, 'none')}"
        except Seg2KNetError as error:
            return f"refused: {_short(error)}"
    return f"refused: {_short(first)}"


def _detected(case: Case, source: Path) -> tuple[str, Optional[str]]:
    try:
        name = detect([source])[0]
    except Seg2KNetError as error:
        return f"refused: {_short(error)}", case.format
    return name, case.format or name


def _short(error: Seg2KNetError) -> str:
    found = re.sub(r"(?<![\w.])/\S+/", "", error.found or "")  # absolute paths say nothing to others
    return f"{error.message} ({found})" if found and len(found) < 300 else error.message


def _counted(ledger: Any, target: str) -> str:
    """``3 images, 12 objects; skipped: 2 point-has-no-area``."""
    said = f"{ledger.images_written} images, {ledger.written.get(target, 0)} objects"
    skips = {**ledger.skips, **ledger.target_skips.get(target, {})}
    lost = [f"{tally.count} {reason}" for reason, tally in sorted(skips.items())]
    lost += [f"{tally.count} images {reason}" for reason, tally in sorted(ledger.image_skips.items())]
    return said + (f"; skipped: {', '.join(lost)}" if lost else "")


def page(rows: list[Row]) -> str:
    """The document."""
    lines = [
        "# Real data sets, converted",
        "",
        "Written by `make corpora`: folders of annotation files that other people's tools wrote, as `convert auto`",
        "names them, converted to every target or refused, and compared with what their authors published.",
        "Where a folder has no images, `--images none` converts the annotations alone.",
        "",
        "| source | auto says | coco | panoptic | ade | label tools, read again | compared with its author's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = row.case.path + (f" <br> {row.case.note}" if row.case.note else "")
        found = row.found if row.case.format in (None, row.found) else f"{row.found}; converted as {row.case.format}"
        values = [row.results[target] for target in TARGETS]
        if len(set(values)) == 1:
            values = [values[0], "the same", "the same"] if values[0] != "–" else values
        lines.append("| " + " | ".join(_cell(text) for text in (name, found, *values, row.tools, row.compared)) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, default=HERE.parent / "shared/corpora")
    parser.add_argument("--out", type=Path, default=HERE / "docs/corpora.md")
    parser.add_argument("only", nargs="*", help="cases whose path begins so; then nothing is written")
    given = parser.parse_args()
    if not given.corpora.is_dir():
        print(f"no corpora at {given.corpora}: nothing to do")
        return 0
    rows, failed = [], False
    for case in CASES:
        if given.only and not case.path.startswith(tuple(given.only)):
            continue
        with tempfile.TemporaryDirectory() as work:
            try:
                row = run(case, given.corpora, Path(work))
            except Differs as problem:
                row = Row(case, "", dict.fromkeys(TARGETS, ""), "", f"DIFFERS: {problem}")
                failed = True
        rows.append(row)
        print(
            f"{case.path}: {row.found}; {'; '.join(row.results.values())}; {row.tools}; {row.compared}".replace(
                str(given.corpora), ""
            )
        )
    missing = {path.name for path in given.corpora.iterdir() if path.is_dir()} - {
        case.path.split("/")[0] for case in CASES
    }
    if missing:
        print(f"not in the table: {', '.join(sorted(missing))}")
        failed = True
    if not given.only:
        given.out.write_text(page(rows).replace(f"{given.corpora}/", ""), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
