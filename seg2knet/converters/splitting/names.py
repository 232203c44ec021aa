"""Names of pictures in the target: as in the source where that is safe, changed and said so where it is not."""

from __future__ import annotations

import re
from typing import Optional

from seg2knet.errors import DataError

_PLAIN = re.compile(r"[^./\\:\0][^/\\:\0]*(?:/[^./\\:\0][^/\\:\0]*)*")
"""Names that need no second look: relative, no part of which begins with a dot."""

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


def safe(name: str) -> str:
    """A picture's name with forward slashes, checked to stay inside its folder.

    Raises:
        DataError: it is empty, absolute, or leads out.
    """
    if _PLAIN.fullmatch(name) and ".." not in name:
        return name
    clean = name.replace("\\", "/")
    while clean.startswith("./"):
        clean = clean[2:]
    parts = clean.split("/")
    if not clean or clean.startswith("/") or re.match("[A-Za-z]:", clean) or ".." in parts or "\0" in clean:
        raise DataError(
            "a picture's name that leads out of the data set",
            found=repr(name),
            expected="a name relative to the pictures' folder, without '..'",
            hint="correct the name; nothing was read or written under it",
        )
    return "/".join(part for part in parts if part not in ("", "."))


def suffix(name: str) -> str:
    """From the last dot of the last part, in lower case; empty where there is none."""
    last = name.rpartition("/")[2]
    dot = last.rfind(".")
    return last[dot:].lower() if dot > 0 else ""


def without_suffix(name: str) -> str:
    return name[: len(name) - len(suffix(name))]


def stem_key(name: str, png_names: bool) -> str:
    """What no two pictures of a split may have in common; ``png_names`` as ``Namer`` has it."""
    return _key(without_suffix(name), png_names)


def _key(stem: str, png_names: bool) -> str:
    # mmdet replaces every ".jpg" in a name, not only the last.
    return stem.replace(".jpg", ".png") if png_names else stem


class Namer:
    """Gives each picture of a split a name whose stem is its own, for loaders derive a mask's name from the stem.

    Args:
        png_names: only ``.jpg`` and ``.png`` may follow the stem (mmdet's panoptic loader).
    """

    def __init__(self, png_names: bool) -> None:
        self.png_names = png_names
        self._taken: dict[str, set[str]] = {}

    def usual(self, name: str) -> str:
        """What a picture is called where no other is in its way."""
        stem = without_suffix(name)
        return stem + self._ending(name[len(stem) :])

    def name(self, split: str, name: str, source: Optional[str]) -> str:
        """The final name; ``source`` names the source's folder where several are merged."""
        taken = self._taken.setdefault(split, set())
        stem = without_suffix(name)
        ending = name[len(stem) :]
        for candidate in self._candidates(stem, ending, source):
            key = _key(candidate, self.png_names)
            if key not in taken:
                taken.add(key)
                return candidate + self._ending(ending)
        raise AssertionError("there is always a free number")

    def _candidates(self, stem: str, ending: str, source: Optional[str]):  # type: ignore[no-untyped-def]
        yield stem
        if ending:
            yield f"{stem}_{ending[1:].lower()}"
        if source:
            yield f"{source}/{stem}"
        number = 2
        while True:
            yield f"{stem}_{number}"
            number += 1

    def _ending(self, ending: str) -> str:
        if not self.png_names or ending in (".jpg", ".png"):
            return ending
        return ".jpg" if ending.lower() in JPEG else ".png"
