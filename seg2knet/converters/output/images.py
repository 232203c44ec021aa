"""Images of a data set on their way to the target: linked where they can be, re-saved where they must be."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import Any, Optional, Union

from typing_extensions import Literal

from seg2knet.dataset import images
from seg2knet.dataset.sample import Image
from seg2knet.errors import DataError, EnvironmentProblem

Mode = Literal["link", "copy", "symlink", "none"]


def resaved(image: Image, *, upright: bool) -> Optional[bytes]:
    """The image's new bytes where it cannot be taken as it stands: turned upright, or embedded; else ``None``.

    Raises:
        DataError: it cannot be decoded.
    """
    source = image.data if image.path is None else image.path
    if source is not None and upright and image.orientation != 1:
        return images.upright(source)
    return image.data if image.path is None else None


def as_jpeg(source: Union[str, bytes]) -> bytes:
    """An image of another format as JPEG at quality 95, as shown.

    Raises:
        DataError: it cannot be decoded.
    """
    return _encoded(source, "JPEG", quality=95, subsampling=0)


def as_png(source: Union[str, bytes]) -> bytes:
    """An image of another format as PNG, without loss at 8 bits, as shown.

    Raises:
        DataError: it cannot be decoded.
    """
    return _encoded(source, "PNG")


def _encoded(source: Union[str, bytes], kind: str, **options: Any) -> bytes:
    from PIL import Image as pillow

    out = io.BytesIO()
    pillow.fromarray(images.decode(source)).save(out, format=kind, **options)
    return out.getvalue()


def place(source: str, target: str, mode: Mode) -> None:
    """Put an image where it belongs: hard link, else copy.

    Raises:
        DataError: it is not there.
        EnvironmentProblem: it cannot be written.
    """
    try:
        if mode == "symlink":
            os.symlink(os.path.abspath(source), target)
            return
        if mode == "link":
            with contextlib.suppress(OSError):  # another file system, no such right, too many links: copied instead
                os.link(os.path.realpath(source) if os.path.islink(source) else source, target)
                return
        # Never over a file that is there: it may be a hard link to somebody's original.
        with open(source, "rb") as read, open(target, "xb") as out:
            shutil.copyfileobj(read, out, 1 << 20)
    except FileNotFoundError:
        if os.path.exists(source):
            raise
        raise DataError("the image was removed while it was to be copied", file=source) from None
    except OSError as error:
        raise unwritable(target, error) from None


def write(target: Path, data: bytes) -> None:
    """
    Raises:
        EnvironmentProblem: it cannot be written.
    """
    try:
        target.write_bytes(data)
    except OSError as error:
        raise unwritable(target, error) from None


def unwritable(target: Union[str, Path], error: OSError) -> EnvironmentProblem:
    """What the system's refusal to write means to a user."""
    return EnvironmentProblem(
        "cannot write",
        file=error.filename or target,
        found=error.strerror or str(error),
        hint="make room or choose another folder with --out; --resume continues where this run stopped",
    )
