"""Files of a source: found in natural order, read without harm."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Union

import orjson

from seg2knet.errors import DataError

MAX_JSON = 1 << 29
MAX_TEXT = 64 << 20
"""A list, label file or YAML of more bytes is none."""
MAX_ALIASED = 10_000
"""Nodes that a YAML file's aliases may stand for in all; no data set needs any."""


def walk(folder: Union[str, Path], suffixes: Sequence[str]) -> Iterator[str]:
    """Files below a folder whose names end in one of ``suffixes`` (lower case), in no order.

    Links to folders are followed, but none twice, so that loops end; hidden folders are left out.

    Raises DataError: a folder cannot be read.
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
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.name.lower().endswith(ends) and _is(entry.is_file):
                        yield entry.path
                    elif _is(entry.is_dir):
                        stack.append(entry.path)
        except OSError as error:
            raise DataError("the folder cannot be read", file=current, found=error.strerror or str(error)) from None


def _is(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a link that leads to itself
        return False


def read_text(path: Union[str, Path], limit: int = MAX_TEXT) -> str:
    """A text file in UTF-8 or UTF-16, with a byte-order mark or without; what is neither is taken as Latin-1.

    Raises DataError: it cannot be read, or is longer than ``limit`` bytes.
    """
    data = read_bytes(path, limit, "a text file of this kind")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_bytes(path: Union[str, Path], limit: int, kind: str) -> bytes:
    """A file's bytes. Raises DataError: it cannot be read, or is longer than ``limit``."""
    try:
        with open(path, "rb") as file:
            # Memory for as much as is asked for is taken first, which costs more than a small file's reading.
            size = os.fstat(file.fileno()).st_size or limit  # a pipe's is 0
            data = file.read(min(size, limit) + 1)
    except OSError as error:
        raise DataError("cannot be read", file=path, found=error.strerror or str(error)) from None
    if len(data) > limit:
        raise DataError(f"too large for {kind}", file=path, expected=f"at most {limit:,} bytes")
    return data


def load_yaml(path: Union[str, Path]) -> Any:
    """A YAML file as plain data; tags that make Python objects are refused, and so are aliases that make a small file
    large ("billion laughs").

    Raises DataError: it cannot be read, is not YAML of plain data, is nested too deep, or grows by its aliases.
    """
    import yaml

    text = read_text(path, 4 << 20)
    try:
        _check_growth(yaml.parse(text, yaml.SafeLoader), path)
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            "not a YAML file of plain data",
            file=path,
            found=" ".join(str(error).split())[:200],
            expected="names and paths, without tags such as !!python/...",
        ) from None


def _check_growth(events: Iterable[Any], path: Union[str, Path]) -> None:
    """Count the nodes that aliases stand for, without making them."""
    sizes: dict[Any, int] = {}
    open_nodes: list[tuple[Any, int]] = []  # anchor, and the count where its node began
    nodes = aliased = 0
    for event in events:
        name = type(event).__name__
        anchor = getattr(event, "anchor", None)
        if name == "AliasEvent":
            aliased += sizes.get(anchor, MAX_ALIASED + 1)  # within its own node: without end
        elif name in ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent"):
            nodes += 1
            if name == "ScalarEvent":
                sizes[anchor] = 1
            else:
                sizes.pop(anchor, None)
                open_nodes.append((anchor, nodes + aliased))
        elif name in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, begun = open_nodes.pop()
            sizes[anchor] = nodes + aliased - begun + 1
        if aliased > MAX_ALIASED or len(open_nodes) > 50:
            raise DataError("a YAML file nested, or repeated by aliases, beyond reason", file=path)


def load_json(path: Union[str, Path]) -> Any:
    """A JSON file as plain data: ``read_json``, then ``parse_json``."""
    return parse_json(read_json(path), path)


def read_json(path: Union[str, Path]) -> bytes:
    """The bytes of a JSON file. Raises DataError: it cannot be read, or is too large."""
    return read_bytes(path, MAX_JSON, "one annotation file")


def parse_json(data: bytes, name: Union[str, Path]) -> Any:
    """JSON in memory; ``name`` is what errors call it. Raises DataError: it is not JSON, or nested too deep."""
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", errors="replace").encode()
    try:
        return orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError) as error:
        place = f"line {getattr(error, 'lineno', '?')}, column {getattr(error, 'colno', '?')}"
        found, hint = getattr(error, "msg", str(error)), "the file is cut off, damaged or of another kind"
        if "UTF-8" in found:
            place, found, hint = "", "text in another encoding", "save it as UTF-8"
        raise DataError("not JSON", file=name, place=place, found=found, hint=hint) from None
