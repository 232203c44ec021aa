"""``seg2knet.convert``: the command's work as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Optional, Union

from seg2knet.converters.archives import unpacked
from seg2knet.converters.detection import detect
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.pipeline import Conversion, Result
from seg2knet.converters.registry import reader
from seg2knet.errors import UsageError

PathLike = Union[str, "os.PathLike[str]"]


def convert(
    format: str, *sources: PathLike, reader_options: Optional[Mapping[str, Any]] = None, **options: Any
) -> Result:
    """Convert annotations of one format into data sets, as ``seg2knet convert`` does.

    Args:
        format: a reader's name, or ``auto``.
        sources: folders, files, zip or tar files of them; ``val=./testset`` says that all of a source is one split.
        reader_options: the format's own options by name, as ``{"strip_instance_suffix": True}``.
        options: the fields of :class:`ConvertOptions`: ``to``, ``out``, ``split``, ``classes``...

    Returns:
        The ledger, the classes, the folders made and what ``validate`` found.

    Raises:
        Seg2KNetError: the run failed; what was there before is as it was.
    """
    if not sources:
        raise UsageError("no source", hint="name the folder with the annotations")
    with unpacked([Source.parse(os.fspath(source)) for source in sources], options) as parsed:
        if format == "auto":
            format = detect([source.path for source in parsed])[0]
        own = reader(format).Options(**(reader_options or {}))
        return Conversion(format, parsed, ConvertOptions(reader=own, **options)).run()
