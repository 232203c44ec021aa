"""``convert auto``: which format a source is of, with its evidence; a guess between two that fit is refused."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seg2knet.converters.base import Evidence
from seg2knet.converters.registry import readers
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import SUFFIXES
from seg2knet.errors import DataError, UsageError

TIE = 0.2
"""Two formats whose scores are this near one another both fit."""


def detect(sources: Sequence[Path]) -> tuple[str, Evidence]:
    """The name of the one format that all sources are of.

    Raises DataError: a source is not there, or of no format known; UsageError: two formats fit, or the sources are of
    several.
    """
    found = {source: _detect(source) for source in sources}
    names = sorted({name for name, _ in found.values()})
    if len(names) > 1:
        said = "; ".join(f"{source}: {name}" for source, (name, _) in found.items())
        raise UsageError("the sources are of several formats", found=said, hint="convert one format at a time")
    return found[sources[0]]


def _detect(source: Path) -> tuple[str, Evidence]:
    if not source.exists():
        raise DataError("no such source", file=source, hint="check the path; quote it if it has spaces")
    sniffed = [(name, kind.sniff(source)) for name, kind in sorted(readers().items())]
    fitting = [(name, evidence) for name, evidence in sniffed if evidence is not None]
    if not fitting:
        seen, advice = _unknown(source)
        raise DataError("unknown format", file=source, found=seen, hint=advice)
    best, *others = sorted(fitting, key=lambda pair: -pair[1].score)
    rivals = [other for other in others if best[1].score - other[1].score < TIE]
    if rivals:
        lines = [f"{name}: {', '.join(evidence.reasons)}" for name, evidence in [best, *rivals]]
        raise UsageError(
            "two formats fit",
            found=f"{source}: " + "; ".join(lines),
            hint=" or ".join(f"seg2knet convert {name} {source}" for name, _ in [best, *rivals]),
        )
    return best


KNOWN = {
    "COCO results": (r'^\s*\[\s*\{\s*"(image_id|category_id)"', "seg2knet convert coco RESULTS --results-of TRUTH"),
    "Datumaro's JSON": (r'"dm_format_version"', "datum convert -f coco_instances"),
    "CreateML JSON": (r'"coordinates"\s*:\s*\{', "export COCO or masks: CreateML has boxes alone"),
    "Hasty JSON": (r'"export_format_version"', "export COCO from the tool"),
    "LabelMe's old web tool": (r"<polygon>\s*<pt>", "open and save it with LabelMe (github.com/wkentaro/labelme)"),
    "COCO without one of its lists": (r'"annotations?"\s*:|"categor', "seg2knet convert coco says what is missing"),
}
"""What is known and not read: its name, a pattern that tells it, what to do instead."""
_SUFFIXES = {
    ".mat": "MATLAB arrays", ".tfrecord": "TFRecords", ".parquet": "a Parquet table", ".nii": "NIfTI volumes",
    ".dcm": "DICOM", ".npy": "NumPy arrays", ".h5": "HDF5",
}  # fmt: skip


def _unknown(source: Path) -> tuple[str, str]:
    """What a source holds that no reader takes, and which export to ask the tool for instead."""
    paths = [source] if source.is_file() else [Path(path) for path in walk(source, ("",))]
    counts = Counter(path.suffix.lower() or "no suffix" for path in paths)
    seen = ", ".join(f"{number} {suffix}" for suffix, number in counts.most_common(4)) or "an empty folder"
    advice = "export COCO, LabelMe, CVAT for images 1.1, YOLO segmentation or mask images from the tool"
    for path in [path for path in paths if path.suffix.lower() in (".json", ".xml")][:3]:
        with contextlib.suppress(OSError):
            with path.open("rb") as file:
                text = file.read(1 << 16).decode(errors="replace")
            for name, (pattern, instead) in KNOWN.items():
                if re.search(pattern, text):
                    return f"{seen}; {path.name}: {name}", instead
    for suffix in counts:
        if suffix in _SUFFIXES:
            return f"{seen}: {_SUFFIXES[suffix]}", "save the masks as PNG, one an image, in a folder beside the images"
    if counts and all(suffix in SUFFIXES for suffix in counts):
        return f"{seen}: images alone", "put the annotations beside them, or masks in a folder of their own"
    return seen, f"{advice}; or name the format: seg2knet convert FORMAT {source.name}"
