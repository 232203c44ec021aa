"""IM rules about the image files themselves: IM002 to IM005 and IM010 to IM012."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from seg2knet.dataset.images import upright
from seg2knet.validators.fixing import repairs
from seg2knet.validators.fixing.remakes import plain_rgb, untagged
from seg2knet.validators.model import Edit, Fix, Hit, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.album import AnyFile, album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.measure import POLYGONS, RLE
from seg2knet.validators.subjects.panoptic import pngs
from seg2knet.validators.subjects.pictures import same_in, survey

MIN_SIDE = 32


@rule("IM002", "image-corrupt-or-truncated", Severity.ERROR, on="part")
def image_corrupt(part: Part) -> Iterator[Hit]:
    """A image, panoptic PNG or mask is cut off, empty, or no image at all.

    OpenCV gives `None` for it and training stops; or it gives half a image, grey below, and training goes on.

    Looked for are an end that is missing (a JPEG's end marker, a PNG's last chunk), check sums that do not fit, and
    headers that are none; whatever looks odd is decoded. Bytes changed in the middle of a JPEG, which has no check
    sum, are not seen. There is no fix: get the file again, or remove the image.
    """
    book = album(part)
    for index in np.flatnonzero(book.gallery.broken()).tolist():
        path = book.gallery.paths[index]
        yield Hit(
            "the image cannot be used",
            Path(path),
            expected="a whole image file",
            found=book.gallery.problem(index),
            **book.of(path),  # type: ignore[arg-type]
        )
    masks = survey(book.pngs() or _masks(part), part.dataset.jobs)
    for index in np.flatnonzero(masks.broken()).tolist():
        path = Path(masks.paths[index])
        yield Hit("the mask cannot be used", path, expected="a whole image file", found=masks.problem(index))


def _masks(part: Part) -> list[str]:
    from seg2knet.validators.subjects.masks import mask_folder

    return [] if part.dataset.ade is None else mask_folder(part.dataset.ade, part.split).paths


def _set_size(file: AnyFile, row: int, width: int, height: int) -> list[Edit]:
    return [SetValue(file.path, f"/images/{row}/width", width), SetValue(file.path, f"/images/{row}/height", height)]


class Sizes(NamedTuple):
    """Images of a file whose size in the JSON is neither that shown nor that stored; columns over them.

    Attributes:
        rows: ``(M,)``. said, true: ``(M, 2)`` int64, width and height in the JSON and as shown.
        swapped: ``(M,)`` bool. reach: ``(M, 2)`` how far right and down annotations reach, -1 without any.
        codes: ``(M, 2)`` width and height of an RLE or a panoptic PNG on the image, 0 without one.
    """

    rows: np.ndarray
    said: np.ndarray
    true: np.ndarray
    swapped: np.ndarray
    reach: np.ndarray
    codes: np.ndarray

    @property
    def verdicts(self) -> np.ndarray:
        """``(M,)`` int: 1 where annotations fit only the image's size, so that the JSON is wrong; -1 where they fit
        only the JSON's, so that the image was changed after it was annotated; 0 where they fit both."""
        fits_true = (self.reach <= self.true + 1).all(1) & ((self.codes == self.true) | (self.codes == 0)).all(1)
        fits_said = (self.reach <= self.said + 1).all(1) & ((self.codes == self.said) | (self.codes == 0)).all(1)
        fits_said &= (self.reach >= 0).any(1) & (self.said > 0).all(1)
        return np.where(fits_true & ~fits_said, 1, np.where(fits_said & ~fits_true, -1, 0))


def _wrong_sizes(part: Part, file: AnyFile) -> Sizes:
    book = album(part)
    places = book.places(file)
    rows = np.flatnonzero(places >= 0)
    rows = rows[~book.gallery.broken()[places[rows]]]
    said = np.stack([file.images.widths[rows], file.images.heights[rows]], 1)
    shown, stored = (np.stack(sides, 1)[places[rows]] for sides in (book.gallery.shown(), book.gallery.stored()))
    wrong = ~((said == shown).all(1) | (said == stored).all(1))
    rows, said, shown = rows[wrong], said[wrong], shown[wrong]
    reach, codes = np.full((file.images.count, 2), -1.0), np.zeros((file.images.count, 2), np.int64)
    if len(rows) and isinstance(file, CocoFile):
        owners, shapes = file.image_rows, file.shapes
        drawn = (owners >= 0) & (shapes.kinds == POLYGONS) & ~np.isnan(shapes.extents[:, 2])
        np.maximum.at(reach, owners[drawn], shapes.extents[drawn, 2:])
        for row in np.flatnonzero((shapes.kinds == RLE) & np.isin(owners, rows)).tolist():
            size = (file.segmentation(row) or {}).get("size")
            if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
                codes[owners[row]], reach[owners[row]] = size[::-1], np.maximum(reach[owners[row]], 0)
    elif len(rows):
        found = pngs(part)
        for entry in np.flatnonzero(found.where >= 0).tolist() if found is not None else ():
            row = int(file.image_rows[entry])
            if row >= 0:
                codes[row], reach[row] = found.size(entry), 0  # type: ignore[union-attr]
    swapped = (said == shown[:, ::-1]).all(1)
    return Sizes(rows, said, shown, swapped, reach[rows], codes[rows])


def on_right_size(file: CocoFile, wrong: np.ndarray) -> list[int]:
    """Of annotations that are ``wrong`` (``(N,)`` bool) the rows of those on images whose size is not IM003's or
    IM004's: else the shapes may be right."""
    rows = np.flatnonzero(wrong)
    if len(rows) and file.part is not None:
        rows = rows[~np.isin(file.image_rows[rows], _wrong_sizes(file.part, file).rows)]
    return rows.tolist()


def _size_hit(file: AnyFile, sizes: Sizes, place: int, message: str, fix: Optional[Fix], edits: Any) -> Hit:
    width, height = sizes.said[place].tolist()
    return file.image_hit(
        int(sizes.rows[place]),
        message,
        expected="width {}, height {}".format(*sizes.true[place]),
        found=f"width {width or 'missing'}, height {height or 'missing'}",
        edits=edits,
        fix=fix,
    )


@rule("IM003", "image-size-mismatch", Severity.ERROR, Fix.SAFE, on="part")
def image_size_mismatch(part: Part) -> Iterator[Hit]:
    """The JSON's width and height are missing or not the image's.

    Masks are drawn at the JSON's size and images loaded at their own: everything lies in the wrong place, or training
    stops on arrays that do not fit.

    Example: `"width": 640, "height": 480` where the image has 1280x960 pixels.

    The fix writes the image's size as shown where the annotations fit no other, or there are none. Where they fit the
    JSON's size, the images were resized after they were annotated; three and more with the same ratio are one finding,
    and the unsafe fix scales their annotations. Where both fit, writing the image's size is unsafe.
    """
    for file in album(part).files:
        sizes = _wrong_sizes(part, file)
        verdicts = sizes.verdicts
        groups = _resized(file, sizes, verdicts)
        for places in groups:
            yield _resized_hit(file, sizes, places)
        taken = {place for places in groups for place in places}
        for place in np.flatnonzero(~sizes.swapped & (sizes.said > 0).all(1)).tolist():  # else CI003
            if place in taken:
                continue
            edits: Any = _set_size(file, int(sizes.rows[place]), *sizes.true[place].tolist())
            certain = verdicts[place] > 0 or (sizes.reach[place] < 0).all() or not sizes.said[place].all()
            message = "width and height are not the image's"
            if verdicts[place] < 0:
                message += ": it was resized after it was annotated"
                edits = partial(_scaled, file, sizes, [place])
            yield _size_hit(file, sizes, place, message, None if certain else Fix.UNSAFE, edits)


def _resized(file: AnyFile, sizes: Sizes, verdicts: np.ndarray) -> list[list[int]]:
    """Places of images that were resized by the same ratio, three and more in each group."""
    groups: dict[tuple[float, ...], list[int]] = {}
    maybe = (verdicts <= 0) & ~sizes.swapped & (sizes.said > 0).all(1) & (sizes.reach >= 0).any(1)
    for place in np.flatnonzero(maybe).tolist() if isinstance(file, CocoFile) else ():
        ratio = np.round(sizes.true[place] / sizes.said[place], 2)
        groups.setdefault(tuple(ratio.tolist()), []).append(place)
    return [places for places in groups.values() if len(places) >= 3]


def _resized_hit(file: AnyFile, sizes: Sizes, places: list[int]) -> Hit:
    rx, ry = (sizes.true[places[0]] / sizes.said[places[0]]).tolist()
    ratio = f"{rx:.3g}" if abs(rx - ry) < 0.01 else f"{rx:.3g} (width) and {ry:.3g} (height)"
    return Hit(
        f"{len(places):,} images are {ratio} times the size in the JSON, which the annotations fit: they were resized",
        file.path,
        "/images",
        expected=f"{file.images.names[int(sizes.rows[places[0]])]!r}: "
        + "width {}, height {}".format(*sizes.true[places[0]]),
        found="width {}, height {}".format(*sizes.said[places[0]]),
        edits=partial(_scaled, file, sizes, places),
        fix=Fix.UNSAFE,
    )


def _scaled(file: AnyFile, sizes: Sizes, places: list[int]) -> Sequence[Edit]:
    """Give images their true size and scale what is annotated on them."""
    edits: list[Edit] = []
    for place in places:
        row, ratio = int(sizes.rows[place]), sizes.true[place] / sizes.said[place]
        edits += _set_size(file, row, *sizes.true[place].tolist())
        if isinstance(file, CocoFile):
            for each in np.flatnonzero(file.image_rows == row).tolist():
                edits += repairs.scaled(file, each, float(ratio[0]), float(ratio[1]), sizes.true[place].tolist())
    return edits


@rule("IM004", "width-height-swapped", Severity.ERROR, Fix.SAFE, on="part")
def width_height_swapped(part: Part) -> Iterator[Hit]:
    """The JSON's width is the image's height, and the other way round.

    A script read `image.shape` (rows first) as width, height. Masks are turned and cut.

    Example: `"width": 480, "height": 640` where the image is 640 wide and 480 high.

    The fix swaps the two. There is none where annotations reach out of the image as it is: then the image was turned
    after it was annotated.
    """
    for file in album(part).files:
        sizes = _wrong_sizes(part, file)
        turned = bool((sizes.verdicts[sizes.swapped] < 0).any())
        message = "width and height are swapped" + (", or the images were turned after annotation" if turned else "")
        for place in np.flatnonzero(sizes.swapped).tolist():
            edits = _set_size(file, int(sizes.rows[place]), *sizes.true[place].tolist())
            yield _size_hit(file, sizes, place, message, None, [] if turned else edits)


@rule("IM005", "exif-orientation-set", Severity.ERROR, Fix.UNSAFE, on="part")
def exif_orientation_set(part: Part) -> Iterator[Hit]:
    """The image has an EXIF tag that says to turn it.

    Some programs turn it and some do not: annotation tool, trainer and viewer each see another image, and the masks
    lie across it. OpenCV turns, Pillow does not.

    The unsafe fix saves the image upright, without the tag (a JPEG is coded again at quality 95). Where the JSON has
    the size of the image as stored, not as shown, the annotations were made on that: then only the tag is reset, and
    no pixel changes.
    """
    book = album(part)
    gallery = book.gallery
    for index in np.flatnonzero((gallery.table["orientation"] > 1) & ~gallery.broken()).tolist():
        path = gallery.paths[index]
        shown = tuple(int(side[index]) for side in gallery.shown())
        stored = tuple(int(side[index]) for side in gallery.stored())
        file, row = book.owners.get(path, (None, 0))
        said = (int(file.images.widths[row]), int(file.images.heights[row])) if file is not None else None
        as_stored = said == stored != shown
        make = partial(untagged if as_stored else upright, Path(path))
        what = "reset the orientation tag" if as_stored else "turned the image upright"
        yield Hit(
            "the image's EXIF tag says to turn it; some programs do and some do not",
            Path(path),
            expected="no orientation tag, or 1",
            found=f"orientation {gallery.table['orientation'][index]}: {stored[0]}x{stored[1]} stored, "
            f"{shown[0]}x{shown[1]} shown" + ("; annotated as stored" if as_stored else ""),
            edits=[WriteFile(Path(path), make, f"{what} ({Path(path).name})")],
            **book.of(path),  # type: ignore[arg-type]
        )


def _odd_mode(mode: str, pages: int) -> str:
    """What loaders disagree about in a image of that mode; empty for nothing."""
    if pages > 1:
        return f"{pages} images in one file"
    if mode == "CMYK":
        return "CMYK colours"
    if mode.startswith(("I", "F")) or ";16" in mode:
        return "more than 8 bits a channel"
    if mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        return "an alpha channel"
    return "" if mode in ("1", "L", "P", "RGB", "YCbCr") else f"colours of the kind {mode}"


@rule("IM010", "unsupported-mode", Severity.WARNING, Fix.UNSAFE, on="part")
def unsupported_mode(part: Part) -> Iterator[Hit]:
    """The image is not plain 8-bit grey or RGB: CMYK, 16 bits, an alpha channel, several pages.

    Loaders disagree: OpenCV drops alpha and the lower 8 bits, Pillow hands over four channels, TIFF readers stack the
    pages. A image annotated with one and trained on with another is another image.

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
                "loaders disagree about such a image",
                path,
                expected="8-bit grey or RGB, one page",
                found=_odd_mode(mode, int(gallery.table["pages"][index])),
                edits=[WriteFile(path, partial(plain_rgb, path), f"saved {path.name} as 8-bit RGB")],
                **book.of(str(path)),  # type: ignore[arg-type]
            )


@rule("IM011", "image-below-min-size", Severity.WARNING, on="part")
def image_below_min_size(part: Part) -> Iterator[Hit]:
    """The image has a side of less than 32 pixels.

    The coarsest level of the network has one cell for 32 pixels; a smaller image is a thumbnail that got in by
    mistake, or one of which nothing is left.
    """
    book = album(part)
    width, height = book.gallery.shown()
    for index in np.flatnonzero((np.minimum(width, height) < MIN_SIDE) & ~book.gallery.broken()).tolist():
        path = book.gallery.paths[index]
        yield Hit(
            "the image is very small",
            Path(path),
            expected=f"sides of at least {MIN_SIDE} pixels",
            found=f"{width[index]}x{height[index]}",
            **book.of(path),  # type: ignore[arg-type]
        )


@rule("IM012", "exact-duplicate-images", Severity.WARNING, on="part")
def exact_duplicate_images(part: Part) -> Iterator[Hit]:
    """Two images of a split are the same, byte for byte.

    The doubled image counts twice in training and in the figures; annotated twice, it may be annotated differently.
    A image in two splits is SP001. There is no fix, for which of the annotations is right only you can say.
    """
    book = album(part)
    for group in same_in(book.gallery, part.dataset.jobs):
        first = book.name_of(book.gallery.paths[group[0]])
        for index in group[1:]:
            path = book.gallery.paths[index]
            yield Hit(
                f"it is the same image as {first!r}, byte for byte",
                Path(path),
                expected="each image once",
                found=f"{len(group)} copies",
                **book.of(path),  # type: ignore[arg-type]
            )


_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}


@rule("IM013", "content-not-of-suffix", Severity.WARNING, on="part")
def content_not_of_suffix(part: Part) -> Iterator[Hit]:
    """The file's content is not what its suffix says: a WebP called `.jpg`.

    Most loaders look at the content; TensorFlow, browsers and annotation tools go by the name and refuse the file.
    There is no fix, because masks and other files are named after it. In the ADE layout loaders want `.jpg` whatever
    the content, so nothing is reported.
    """
    book = album(part)
    for index, path in enumerate(book.gallery.paths if book.files else ()):
        kind, suffix = book.gallery.kind(index)[0], Path(path).suffix.lower()
        if kind in _SUFFIXES and suffix not in _SUFFIXES[kind]:
            more: dict[str, Any] = {"expected": f"a name that ends in {_SUFFIXES[kind][0]}", "found": suffix}
            yield Hit(f"the file is a {kind}", Path(path), **more, **book.of(path))  # type: ignore[arg-type]
