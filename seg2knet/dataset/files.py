"""Files of a source: found in natural order, read without harm."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Union

import orjson

from seg2knet.errors import DataError

MAX_JSON = 1 << 29
_END = 1 << 12
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


def digest(path: str, ends: bool = False) -> str:
    """A file's content, or its first and last 4 KiB alone, as a short text; empty where it cannot be read."""
    total = hashlib.blake2b(digest_size=20)
    try:
        with open(path, "rb", buffering=0) as file:
            total.update(file.read(_END))
            if ends:
                file.seek(max(file.seek(0, os.SEEK_END) - _END, 0))
            while piece := file.read(1 << 20):
                total.update(piece)
    except OSError:
        return ""
    return total.hexdigest()


def load_yaml(path: Union[str, Path]) -> Any:
    """A YAML file as plain data; tags that make Python objects are refused, and so are aliases that make a small file
    large ("billion laughs").

    Raises DataError: it cannot be read, is not YAML of plain data, is nested too deep, or grows by its aliases.
    """
    import yaml

    text = read_text(path, 4 << 20)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_growth(node, path)
        return loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            "not a YAML file of plain data",
            file=path,
            found=" ".join(str(error).split())[:200],
            expected="names and paths, without tags such as !!python/...",
        ) from None


def _check_growth(node: Any, path: Union[str, Path]) -> None:
    """Go through the nodes as often as aliases repeat them, which makes none of them, as far as is within reason."""
    seen: set[int] = set()
    visits, left = 0, [(node, 0)]
    while left:
        node, depth = left.pop()
        seen.add(id(node))
        visits += 1
        if visits - len(seen) > MAX_ALIASED or depth > 50:
            raise DataError("a YAML file nested, or repeated by aliases, beyond reason", file=path)
        below = node.value if isinstance(getattr(node, "value", None), list) else ()
        pairs = (each if isinstance(each, tuple) else (each,) for each in below)
        left += [(each, depth + 1) for each in chain.from_iterable(pairs)]


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
