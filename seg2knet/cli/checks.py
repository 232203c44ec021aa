"""What is cheap to check, and is checked before PyTorch is loaded: files, swapped arguments, formats, outputs."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Optional, Union

from seg2knet.errors import DataError, UsageError


def check_checkpoint(given: Union[str, Path]) -> None:
    """Raises DataError: a folder, an image or nothing where a checkpoint should be; UsageError: no such model."""
    from seg2knet.dataset.images import is_image
    from seg2knet.trainer.config import models

    path = Path(given)
    if "://" in str(given):
        return
    if path.is_dir():
        inside = next((path / name for name in ("best.pth", "last.pth") if (path / name).is_file()), None)
        hint = f"did you mean {inside}?" if inside else "name the .pth file"
        raise DataError("a folder where the checkpoint should be", file=path, hint=hint)
    if is_image(path):
        hint = "the checkpoint comes first: seg2knet predict best.pth photo.jpg"
        raise DataError("an image where the checkpoint should be", file=path, hint=hint)
    if not path.suffix and not path.exists():
        models.get(str(given))
    elif not path.is_file():
        hint = "seg2knet models lists the names"
        raise DataError("no such checkpoint", file=path, expected="a file, a model's name or an http(s) URL", hint=hint)


def check_outputs(*places: Optional[Path]) -> None:
    """Raises UsageError: a file or folder to write cannot be made where it should be."""
    for place in places:
        if place is None or str(place) == "-":
            continue
        above = next(one for one in (place, *place.absolute().parents) if one.exists())
        if above != place and not above.is_dir():
            raise UsageError("cannot be written: there is a file in its way", file=place, found=str(above))
        if not os.access(above, os.W_OK):
            raise UsageError("cannot be written: no permission", file=place, found=str(above))


def check_names(given: str, known: Collection[str], what: str) -> list[str]:
    """The names in ``a,b``. Raises UsageError: one is not known."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UsageError(f"no such {what}", found=", ".join(unknown) or "none", expected=", ".join(known))
    return names
