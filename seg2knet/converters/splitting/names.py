"""Names of images in the target: as in the source where that is safe, changed and noted where it is not."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator
from typing import Optional

from seg2knet.errors import DataError

LONGEST = 255
"""Bytes of a file's name that file systems take."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


class BadName(DataError):
    """An image's name under which nothing can be written."""


def safe(name: str) -> str:
    """An image's name with forward slashes, checked to stay inside its folder.

    Raises BadName: it is empty, absolute, or leads out, or no file can have it.
    """
    clean = name.replace("\\", "/")
    parts = clean.split("/")
    if not clean or clean.startswith("/") or re.match("[A-Za-z]:", clean) or ".." in parts or "\0" in clean:
        raise BadName(
            "an image's name that leads out of the data set", found=repr(name),
            expected="a name relative to the images' folder, without '..'",
            hint="correct the name; nothing was read or written under it",
        )  # fmt: skip
    if any(len(part.encode(errors="replace")) > LONGEST for part in parts):
        raise BadName("an image's name that no file can have", found=repr(name), expected=f"at most {LONGEST} bytes")
    return "/".join(part for part in parts if part not in ("", "."))


def suffix(name: str) -> str:
    """From the last dot of the last part, in lower case; empty where there is none."""
    return posixpath.splitext(name)[1].lower()


def without_suffix(name: str) -> str:
    return posixpath.splitext(name)[0]


class Namer:
    """Gives each image of a split a name whose stem is its own, for loaders derive a mask's name from the stem; with
    ``png_names`` only ``.jpg`` and ``.png`` may follow it (mmdet's panoptic loader).
    """

    def __init__(self, png_names: bool) -> None:
        self.png_names = png_names
        self._taken: dict[str, set[str]] = {}

    def name(self, split: str, name: str, source: Optional[str]) -> str:
        """The final name; ``source`` names the source's folder where several are merged."""
        taken = self._taken.setdefault(split, set())
        stem = without_suffix(name)
        ending = name[len(stem) :]
        for candidate in _candidates(stem, ending, source):
            # mmdet replaces every ".jpg" in a name, not only the last.
            key = candidate.replace(".jpg", ".png") if self.png_names else candidate
            if key not in taken:
                taken.add(key)
                break
        if self.png_names and ending not in (".jpg", ".png"):
            ending = ".jpg" if ending.lower() in JPEG else ".png"
        return candidate + ending


def _candidates(stem: str, ending: str, source: Optional[str]) -> Iterator[str]:
    yield stem
    if ending:
        yield f"{stem}_{ending[1:].lower()}"
    if source:
        yield f"{source}/{stem}"
    yield from (f"{stem}_{number}" for number in itertools.count(2))
