"""``seg2knet.convert``: the command's work as a function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.converters import pipeline
from seg2knet.converters.archives import unpacked
from seg2knet.converters.detection import detect
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.registry import reader
from seg2knet.converters.splitting.splits import parse_ratios

PathLike = Union[str, "os.PathLike[str]"]


def convert(
    format: str,
    *sources: PathLike,
    to: Union[str, Iterable[str]] = "coco",
    out: Optional[PathLike] = None,
    split: Union[str, Mapping[str, float], None] = None,
    classes: Optional[PathLike] = None,
    drop: Iterable[str] = (),
    stuff: Optional[Iterable[str]] = None,
    reader_options: Optional[Mapping[str, Any]] = None,
    **options: Any,
) -> pipeline.Result:
    """Convert annotations of one format into data sets, as ``seg2knet convert`` does.

    Args:
        format: a reader's name, or ``auto``.
        sources: folders, files, zip or tar files of them; ``val=./testset`` says that all of a source is one split.
        to: targets, as a list or with commas.
        out: the folder to be made.
        split: ``0.8/0.1/0.1``, or shares by split.
        classes: a class file.
        drop, stuff: class names.
        reader_options: the format's own options by name, as ``{"strip_instance_suffix": True}``.
        options: whatever else ``ConvertOptions`` has.

    Returns:
        The ledger, the classes, the folders made and what ``validate`` found.

    Raises:
        Seg2KNetError: the run failed; what was there before is as it was.
    """
    with unpacked([Source.parse(os.fspath(source)) for source in sources]) as parsed:
        if format == "auto" and parsed:
            format = detect([source.path for source in parsed])[0]
        asked = ConvertOptions(
            to=tuple(part.strip() for part in to.split(",")) if isinstance(to, str) else tuple(to),
            out=Path(out) if out is not None else None,
            split=parse_ratios(split) if isinstance(split, str) else split,
            classes=Path(classes) if classes is not None else None,
            drop=frozenset(drop),
            stuff=frozenset(stuff) if stuff is not None else None,
            reader=reader(format).Options(**(reader_options or {})),
            **options,
        )
        return pipeline.convert(format, parsed, asked)
