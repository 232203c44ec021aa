"""IM rules about the picture files themselves: IM002 to IM005 and IM010 to IM012."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from seg2knet.dataset.images import upright
from seg2knet.validators.fixing.remakes import plain_rgb, untagged
from seg2knet.validators.model import Edit, Fix, Hit, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.album import Album, AnyFile, album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.pictures import same_in, survey

MIN_SIDE = 32


@rule("IM002", "image-corrupt-or-truncated", Severity.ERROR, on="part")
def image_corrupt(part: Part) -> Iterator[Hit]:
    """A picture, panoptic PNG or mask is cut off, empty, or no picture at all.

    OpenCV gives `None` for it and training stops; or it gives half a picture, grey below, and training goes on.

    Looked for are an end that is missing (a JPEG's end marker, a PNG's last chunk), check sums that do not fit, and
    headers that are none; whatever looks odd is decoded. Bytes changed in the middle of a JPEG, which has no check
    sum, are not seen. There is no fix: get the file again, or remove the image.
    """
    book = album(part)
    for index in np.flatnonzero(book.gallery.broken()).tolist():
        path = book.gallery.paths[index]
        yield Hit(
            "the picture cannot be used",
            Path(path),
            expected="a whole picture file",
            found=book.gallery.problem(index),
            **book.of(path),  # type: ignore[arg-type]
        )
    masks = survey(book.pngs() or _masks(part), part.dataset.jobs)
    for index in np.flatnonzero(masks.broken()).tolist():
        path = Path(masks.paths[index])
        yield Hit("the mask cannot be used", path, expected="a whole picture file", found=masks.problem(index))


def _masks(part: Part) -> list[str]:
    from seg2knet.validators.subjects.masks import mask_folder

    return [] if part.dataset.ade is None else mask_folder(part.dataset.ade, part.split).paths


def _sizes(book: Album, file: AnyFile) -> Iterator[tuple[np.ndarray, ...]]:
    """Rows with a whole picture; width and height as the JSON, the shown and the stored picture have them."""
    places = book.places(file)
    rows = np.flatnonzero(places >= 0)
    rows = rows[~book.gallery.broken()[places[rows]]]
    if len(rows):
        shown, stored = book.gallery.shown(), book.gallery.stored()
        where = places[rows]
        said = file.images.widths[rows], file.images.heights[rows]
        yield rows, *said, shown[0][where], shown[1][where], stored[0][where], stored[1][where]


def _set_size(file: AnyFile, row: int, width: int, height: int) -> list[Edit]:
    return [
        SetValue(file.path, f"/images/{row}/width", width),
        SetValue(file.path, f"/images/{row}/height", height),
    ]


def _size_hits(part: Part, *, swapped: bool, message: str) -> Iterator[Hit]:
    book = album(part)
    for file in book.files:
        for rows, width, height, shown_w, shown_h, stored_w, stored_h in _sizes(book, file):
            right = ((width == shown_w) & (height == shown_h)) | ((width == stored_w) & (height == stored_h))
            turned = (width == shown_h) & (height == shown_w)
            for place in np.flatnonzero(~right & (turned == swapped)).tolist():
                row, true_w, true_h = int(rows[place]), int(shown_w[place]), int(shown_h[place])
                yield file.image_hit(
                    row,
                    message,
                    expected=f"width {true_w}, height {true_h}",
                    found=f"width {width[place] or 'missing'}, height {height[place] or 'missing'}",
                    edits=_set_size(file, row, true_w, true_h),
                )


@rule("IM003", "image-size-mismatch", Severity.ERROR, Fix.SAFE, on="part")
def image_size_mismatch(part: Part) -> Iterator[Hit]:
    """The JSON's width and height are missing or not the picture's.

    Masks are drawn at the JSON's size and pictures loaded at their own: everything lies in the wrong place, or training
    stops on arrays that do not fit.

    Example: `"width": 640, "height": 480` where the picture has 1280x960 pixels. The fix writes the picture's size as
    shown. Where the pictures were scaled after they were annotated, convert them again instead: the shapes need the
    same scale.
    """
    yield from _size_hits(part, swapped=False, message="width and height are not the picture's")


@rule("IM004", "width-height-swapped", Severity.ERROR, Fix.SAFE, on="part")
def width_height_swapped(part: Part) -> Iterator[Hit]:
    """The JSON's width is the picture's height, and the other way round.

    A script that read `image.shape` (rows first) as width, height. Masks come out turned and cut.

    Example: `"width": 480, "height": 640` where the picture is 640 wide and 480 high. The fix swaps the two.
    """
    yield from _size_hits(part, swapped=True, message="width and height are swapped")


@rule("IM005", "exif-orientation-set", Severity.ERROR, Fix.UNSAFE, on="part")
def exif_orientation_set(part: Part) -> Iterator[Hit]:
    """The picture has an EXIF tag that says to turn it.

    Some programs turn it and some do not: annotation tool, trainer and viewer each see another picture, and the masks
    lie across it. OpenCV turns, Pillow does not.

    The unsafe fix saves the picture upright, without the tag (a JPEG is coded again at quality 95). Where the JSON has
    the size of the picture as stored, not as shown, the annotations were made on that: then only the tag is reset, and
    no pixel changes.
    """
    book = album(part)
    gallery = book.gallery
    for index in np.flatnonzero((gallery.table["orientation"] > 1) & ~gallery.broken()).tolist():
        path = gallery.paths[index]
        shown = tuple(int(side[index]) for side in gallery.shown())
        stored = tuple(int(side[index]) for side in gallery.stored())
        as_stored = _said_size(book, path) == stored != shown
        make = partial(untagged if as_stored else upright, Path(path))
        what = "reset the orientation tag" if as_stored else "turned the picture upright"
        yield Hit(
            "the picture's EXIF tag says to turn it; some programs do and some do not",
            Path(path),
            expected="no orientation tag, or 1",
            found=f"orientation {gallery.table['orientation'][index]}: {stored[0]}x{stored[1]} stored, "
            f"{shown[0]}x{shown[1]} shown" + ("; annotated as stored" if as_stored else ""),
            edits=[WriteFile(Path(path), make, f"{what} ({Path(path).name})")],
            **book.of(path),  # type: ignore[arg-type]
        )


def _said_size(book: Album, path: str) -> tuple[int, int]:
    if path not in book.owners:
        return 0, 0
    file, row = book.owners[path]
    return int(file.images.widths[row]), int(file.images.heights[row])


def _odd_mode(mode: str, pages: int) -> str:
    """What loaders disagree about in a picture of that mode; empty for nothing."""
    if pages > 1:
        return f"{pages} pictures in one file"
    if mode == "CMYK":
        return "CMYK colours"
    if mode.startswith(("I", "F")) or ";16" in mode:
        return "more than 8 bits a channel"
    if mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        return "an alpha channel"
    return "" if mode in ("1", "L", "P", "RGB", "YCbCr") else f"colours of the kind {mode}"


@rule("IM010", "unsupported-mode", Severity.WARNING, Fix.UNSAFE, on="part")
def unsupported_mode(part: Part) -> Iterator[Hit]:
    """The picture is not plain 8-bit grey or RGB: CMYK, 16 bits, an alpha channel, several pages.

    Loaders disagree: OpenCV drops alpha and the lower 8 bits, Pillow hands over four channels, TIFF readers stack the
    pages. A picture annotated with one and trained on with another is another picture.

    The unsafe fix writes the first page as 8-bit RGB in the file's own format.
    """
    book = album(part)
    gallery = book.gallery
    several = gallery.table["pages"] > 1
    for kind in np.unique(gallery.kinds()).tolist():
        mode = gallery.texts[kind].partition(" ")[2]
        if not mode:
            continue
        odd = bool(_odd_mode(mode, 1))
        for index in np.flatnonzero((gallery.kinds() == kind) & (odd | several) & ~gallery.broken()).tolist():
            path = Path(gallery.paths[index])
            yield Hit(
                "loaders disagree about such a picture",
                path,
                expected="8-bit grey or RGB, one page",
                found=_odd_mode(mode, int(gallery.table["pages"][index])),
                edits=[WriteFile(path, partial(plain_rgb, path), f"saved {path.name} as 8-bit RGB")],
                **book.of(str(path)),  # type: ignore[arg-type]
            )


@rule("IM011", "image-below-min-size", Severity.WARNING, on="part")
def image_below_min_size(part: Part) -> Iterator[Hit]:
    """The picture has a side of less than 32 pixels.

    The coarsest level of the network has one cell for 32 pixels; a smaller picture is a thumbnail that got in by
    mistake, or one of which nothing is left. There is no fix.
    """
    book = album(part)
    width, height = book.gallery.shown()
    for index in np.flatnonzero((np.minimum(width, height) < MIN_SIDE) & ~book.gallery.broken()).tolist():
        path = book.gallery.paths[index]
        yield Hit(
            "the picture is very small",
            Path(path),
            expected=f"sides of at least {MIN_SIDE} pixels",
            found=f"{width[index]}x{height[index]}",
            **book.of(path),  # type: ignore[arg-type]
        )


@rule("IM012", "exact-duplicate-images", Severity.WARNING, on="part")
def exact_duplicate_images(part: Part) -> Iterator[Hit]:
    """Two pictures of a split are the same, byte for byte.

    The doubled picture counts twice in training and in the figures; annotated twice, it may be annotated differently.
    A picture in two splits is SP001. There is no fix, for which of the annotations is right only you can say.
    """
    book = album(part)
    for group in same_in(book.gallery, part.dataset.jobs):
        first = book.name_of(book.gallery.paths[group[0]])
        for index in group[1:]:
            path = book.gallery.paths[index]
            yield Hit(
                f"it is the same picture as {first!r}, byte for byte",
                Path(path),
                expected="each picture once",
                found=f"{len(group)} copies",
                **book.of(path),  # type: ignore[arg-type]
            )
