"""XML read without harm: no entities, no DTD, nothing from the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional, Union

from lxml import etree

from seg2knet.dataset.files import read_bytes
from seg2knet.errors import DataError

MAX_XML = 256 << 20
_DOCTYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
# Everything is off that reaches out of the file or makes it larger.
_PARSER = etree.XMLParser(
    resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
)


def parse(data: Union[bytes, str], name: Union[str, Path], place: Optional[str] = None) -> Any:
    """The root element of a document or a piece; errors call it ``name``. DataError: no XML, or it has entities."""
    if isinstance(data, bytes) and _DOCTYPE.search(data[:65536].replace(b"\0", b"")):
        raise doctype(name)
    try:
        return etree.fromstring(data, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        found, hint = str(error)[:200], "is the file cut off?"
        raise DataError("not XML", file=name, place=place, found=found, hint=hint) from None


def doctype(name: Union[str, Path]) -> DataError:
    """The error for a document type: no annotation tool writes one, and entities are how files grow or leak."""
    return DataError(
        "an XML file that declares a document type or entities", file=name, found="<!DOCTYPE or <!ENTITY",
        expected="annotations alone", hint="nothing of it was read; remove the declaration if the file is sound",
    )  # fmt: skip


def read(path: Union[str, Path]) -> Any:
    """The root element of a file; DataError where it is not XML, or too large to be the annotation of one image."""
    return parse(read_bytes(path, MAX_XML, "the annotation of one image"), path)


def root_tag(path: Union[str, Path]) -> Optional[str]:
    """The name of the first element, from the file's first bytes; ``None`` where it is not XML."""
    try:
        with open(path, "rb") as file:
            begin = file.read(4096).replace(b"\0", b"")
    except OSError:
        return None
    match = re.search(rb"<([A-Za-z_][\w.-]*)", re.sub(rb"<!--.*?-->", b"", begin, flags=re.DOTALL))
    return match[1].decode() if match else None


def text(element: Any, path: str) -> str:
    """The text of a child, without space around it; empty where there is none."""
    return (element.findtext(path) or "").strip()


def number(value: Optional[str]) -> Optional[float]:
    """A number, ``None`` where it is none."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
