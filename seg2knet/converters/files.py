"""Files of a source: found in natural order, read without harm."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Union

import orjson

from seg2knet.errors import DataError

_DIGITS = re.compile(r"(\d+)")
MAX_JSON = 1 << 29


def natural(name: str) -> list[Any]:
    """A sort key by which ``img2`` comes before ``img10``; total, so that the order never depends on the system."""
    key: list[Any] = _DIGITS.split(name.lower())
    key[1::2] = [(int(digits), len(digits)) if len(digits) < 4000 else (0, len(digits)) for digits in key[1::2]]
    key.append(name)
    return key


def walk(folder: Union[str, Path], suffixes: Sequence[str]) -> Iterator[str]:
    """Files below a folder whose names end in one of ``suffixes`` (lower case), in no order.

    Links to folders are followed, but none twice, so that loops end; hidden folders are left out.
    """
    ends = tuple(suffixes)
    seen: set[tuple[int, int]] = set()
    stack = [os.fspath(folder)]
    while stack:
        current = stack.pop()
        try:
            stat = os.stat(current)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            entries = list(os.scandir(current))
        except OSError as error:
            raise DataError("the folder cannot be read", file=current, found=error.strerror or str(error)) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(ends) and _is_file(entry):
                yield entry.path
            elif _is_dir(entry):
                stack.append(entry.path)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def load_json(path: Union[str, Path]) -> Any:
    """A JSON file as plain data; a byte-order mark is no matter.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= MAX_JSON:
                return parse_json(file.read(), path)
    except OSError as error:
        raise DataError("cannot be read", file=path, found=error.strerror or str(error)) from None
    raise DataError(
        "too large for one annotation file", file=path, found=f"{size:,} bytes", expected=f"at most {MAX_JSON:,}"
    )


def parse_json(data: bytes, name: Union[str, Path]) -> Any:
    """JSON in memory; ``name`` is what errors call it.

    Raises:
        DataError: it is no JSON, or nested too deep.
    """
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", errors="replace").encode()
    try:
        return orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise DataError(
            "not JSON",
            file=name,
            place=f"line {getattr(error, 'lineno', '?')}, column {getattr(error, 'colno', '?')}",
            found=getattr(error, "msg", str(error)),
            hint="the file is cut off, damaged or of another kind",
        ) from None
