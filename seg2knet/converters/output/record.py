"""What a run writes of itself: the record by which ``--resume`` knows its like, and the ledger's file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, Optional

import msgspec
import orjson

from seg2knet._version import __version__
from seg2knet.converters.base import Handle, Reader
from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.output.staging import Staging
from seg2knet.converters.work import Task, read_entries
from seg2knet.dataset.classes import ClassList


class Record:
    """Of one run.

    Args:
        format: of the sources.
        sources: as the user named them.
        options: what was asked for.
        reader: any of the readers, for its options.
    """

    def __init__(self, format: str, sources: Sequence[Source], options: ConvertOptions, reader: Reader) -> None:
        self.format = format
        self.sources = sources
        # The options, the reader's too, that decide the result.
        self.asked = {**options.recorded(), "reader": reader.options.model_dump(mode="json")}

    def plan(self, handles: Iterable[Sequence[Handle]], classes: Optional[ClassList]) -> dict[str, Any]:
        """What decides the bytes of this run's parts: a run with the same can go on where this one stops.

        Args:
            handles: the images of each source.
            classes: as far as they are known before reading.
        """
        digest = hashlib.blake2b(digest_size=16)
        for some in handles:
            for handle in some:
                digest.update(msgspec.msgpack.encode(handle))
        return {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [str(source.path.absolute()) for source in self.sources],
            "images": digest.hexdigest(),
            "classes": list(classes.names) if classes is not None else None,
            "stuff": list(classes.stuff) if classes is not None else None,
            **self.asked,
        }

    def ledger(self, ledger: Ledger) -> bytes:
        """The ledger's file: nothing in it tells when or where it was made."""
        root = str(self.sources[0].path) if len(self.sources) == 1 else ""
        document = {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [source.path.name for source in self.sources],
            "options": self.asked,
            **ledger.to_json(root),
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def usable(task: Task, staging: Staging) -> bool:
    """Whether a part of an earlier run is there and no file it came from is newer."""
    file = staging.part(task.number)
    try:
        made = file.stat().st_mtime_ns
        paths = {entry.path for entry in read_entries(file) if entry.path}
        for handle in task.handles:
            where = handle.where if isinstance(handle.where, (tuple, list)) else (handle.where,)
            paths |= {item for item in where if isinstance(item, str) and len(item) < 4096}
        return all(_changed(path) <= made for path in paths)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
