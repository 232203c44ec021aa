"""XML read without harm: no entities, no DTD, nothing from the network."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.errors import DataError

MAX_XML = 256 << 20
"""An annotation of one image of more bytes is none."""

_DOCTYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


@cache
def parser() -> Any:
    """lxml's parser with everything off that reaches out of the file or makes it larger. To be had again is cheap."""
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip


def parse(data: Union[bytes, str], name: Union[str, Path], place: Optional[str] = None) -> Any:
    """The root element of a document or of a piece of one; ``name`` is what errors call it.

    Raises:
        DataError: it is no XML, or declares entities.
    """
    from lxml import etree

    if isinstance(data, bytes):
        refuse_doctype(data[:65536], name)
    try:
        root = etree.fromstring(data, parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DataError(
            "not XML", file=name, place=place, found=str(error)[:200], hint="is the file cut off?"
        ) from None
    if root is None:
        raise DataError("not XML", file=name, place=place, found="nothing")
    return root


def refuse_doctype(head: bytes, name: Union[str, Path]) -> None:
    """
    Raises:
        DataError: the document declares a type: no annotation tool's does, and entities are how files grow or leak.
    """
    if _DOCTYPE.search(head.replace(b"\0", b"")):
        raise DataError(
            "an XML file that declares a document type or entities",
            file=name,
            found="<!DOCTYPE or <!ENTITY",
            expected="annotations alone",
            hint="nothing of it was read; remove the declaration if the file is sound",
        )


def read(path: Union[str, Path]) -> Any:
    """The root element of a file.

    Raises:
        DataError: it cannot be read, is no XML, or is too large to be the annotation of one image.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_XML + 1)
    except OSError as error:
        raise DataError("cannot be read", file=path, found=error.strerror or str(error)) from None
    if len(data) > MAX_XML:
        raise DataError("too large for the annotation of one image", file=path, expected=f"at most {MAX_XML:,} bytes")
    return parse(data, path)


def root_tag(path: Union[str, Path]) -> Optional[str]:
    """The name of the first element, from the file's first bytes; ``None`` where it is no XML."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    match = re.search(rb"<([A-Za-z_][\w.-]*)", re.sub(rb"<!--.*?-->", b"", head.replace(b"\0", b""), flags=re.DOTALL))
    return match[1].decode() if match else None


def text(element: Any, path: str) -> str:
    """The text of a child, without space around it; empty where there is none."""
    found = element.findtext(path)
    return found.strip() if found else ""


def number(value: Optional[str]) -> Optional[float]:
    """A number, ``None`` where it is none."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
