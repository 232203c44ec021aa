"""IM002 to IM005 and IM010 to IM013: the image files themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.images import upright
from seg2knet.validators.fixing import repairs
from seg2knet.validators.fixing.remakes import plain_rgb, untagged
from seg2knet.validators.model import Edit, Fix, Hit, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.album import Album, AnyFile, album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.image_files import same_content
from seg2knet.validators.subjects.masks import ade_set
from seg2knet.validators.subjects.measure import POLYGONS, RLE
from seg2knet.validators.subjects.panoptic import pngs

MIN_SIDE = 32
_SUFFIXES = {
    **dict.fromkeys(("JPEG", "MPO"), (".jpg", ".jpeg")),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}


def image_hit(book: Album, path: str, message: str, **more: Any) -> Hit:
    """A hit at an image file, with the id and name that the JSON has for it."""
    return Hit(message, Path(path), **more, **book.of(path))  # type: ignore[arg-type]


def _whole(book: Album, wanted: np.ndarray) -> Iterator[tuple[int, str]]:
    """Index and path of the ``wanted`` images, ``(N,)`` bool, that are not broken."""
    for index in np.flatnonzero(wanted & ~book.gallery.broken()).tolist():
        yield index, book.gallery.paths[index]


@rule("IM002", "image-corrupt-or-truncated", Severity.ERROR, on="part")
def image_corrupt(part: Part) -> Iterator[Hit]:
    """An image, panoptic PNG or mask is cut off, empty, or no image at all.

    OpenCV gives `None` for it and training stops; or it gives half an image, grey below, and training continues. Looked
    for are an end that is missing (a JPEG's end marker, a PNG's last chunk), check sums that do not fit, and headers
    that are none; whatever looks odd is decoded. Bytes changed in the middle of a JPEG, which has no check sum, are not
    seen. There is no fix: get the file again, or remove the image.
    """
    book, look, ade = album(part), pngs(part), part.dataset.ade
    galleries = {"image": book.gallery}
    if look is not None:
        galleries["mask"] = look.gallery
    elif ade is not None:
        galleries["mask"] = ade_set(ade).folder(part.split).gallery
    for what, gallery in galleries.items():
        for index in np.flatnonzero(gallery.broken()).tolist():
            more: dict[str, Any] = {"expected": "a whole image file", "found": gallery.facts[index].problem}
            message, path = f"the {what} cannot be used", gallery.paths[index]
            yield image_hit(book, path, message, **more) if what == "image" else Hit(message, Path(path), **more)


def _set_size(file: AnyFile, row: int, size: np.ndarray) -> list[Edit]:
    return [SetValue(file.path, f"/images/{row}/{s}", n) for s, n in zip(("width", "height"), size.tolist())]


class Sizes(NamedTuple):
    """Images of a file whose size in the JSON is neither that shown nor that stored; columns over them."""

    rows: np.ndarray  # ``(M,)``. said, true: ``(M, 2)`` int64, width and height in the JSON and as shown.
    said: np.ndarray
    true: np.ndarray
    swapped: np.ndarray  # ``(M,)`` bool. reach: ``(M, 2)`` how far right and down annotations reach, -1 without any.
    reach: np.ndarray
    codes: np.ndarray  # ``(M, 2)`` width and height of an RLE or a panoptic PNG on the image, 0 without one

    @property
    def verdicts(self) -> np.ndarray:
        """``(M,)`` int: 1 where annotations fit only the image's size, so that the JSON is wrong; -1 where they fit
        only the JSON's, so that the image was changed after it was annotated; 0 where they fit both."""
        fits_true, fits_said = (
            (self.reach <= size + 1).all(1) & ((self.codes == size) | (self.codes == 0)).all(1)
            for size in (self.true, self.said)
        )
        fits_said &= (self.reach >= 0).any(1) & (self.said > 0).all(1)
        return fits_true.astype(int) - fits_said


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
    elif len(rows) and (found := pngs(part)) is not None:
        for entry in np.flatnonzero((found.where >= 0) & (file.image_rows >= 0)).tolist():
            codes[file.image_rows[entry]], reach[file.image_rows[entry]] = found.size(entry), 0
    return Sizes(rows, said, shown, (said == shown[:, ::-1]).all(1), reach[rows], codes[rows])


def on_right_size(file: CocoFile, wrong: np.ndarray) -> list[int]:
    """Of annotations that are ``wrong`` (``(N,)`` bool) the rows of those on images whose size is not IM003's or
    IM004's: else the shapes may be right."""
    rows = np.flatnonzero(wrong)
    if len(rows) and file.part is not None:
        rows = rows[~np.isin(file.image_rows[rows], _wrong_sizes(file.part, file).rows)]
    return rows.tolist()


def _sides(size: np.ndarray) -> str:
    return "width {}, height {}".format(*(side or "missing" for side in size.tolist()))


def _size_hit(file: AnyFile, sizes: Sizes, place: int, message: str, edits: Any, fix: Optional[Fix] = None) -> Hit:
    row, expected, found = int(sizes.rows[place]), _sides(sizes.true[place]), _sides(sizes.said[place])
    return file.image_hit(row, message, expected=expected, found=found, edits=edits, fix=fix)


@rule("IM003", "image-size-mismatch", Severity.ERROR, Fix.SAFE, on="part")
def image_size_mismatch(part: Part) -> Iterator[Hit]:
    """The JSON's width and height are missing or not the image's.

    Masks are drawn at the JSON's size and images loaded at their own: everything lies in the wrong place, or training
    stops on arrays that do not fit. Example: `"width": 640, "height": 480` where the image has 1280x960 pixels.

    The fix writes the image's size as shown where the annotations fit no other, or there are none. Where they fit the
    JSON's size, the images were resized after they were annotated; three and more with the same ratio are one finding,
    and the unsafe fix scales their annotations. Where both fit, writing the image's size is unsafe.
    """
    for file in album(part).files:
        sizes = _wrong_sizes(part, file)
        verdicts, groups = sizes.verdicts, _resized(file, sizes)
        for places in groups:
            yield _resized_hit(file, sizes, places)
        other = ~sizes.swapped & (sizes.said > 0).all(1)  # else IM004 or CI003
        other[[place for places in groups for place in places]] = False
        for place in np.flatnonzero(other).tolist():
            edits: Any = _set_size(file, int(sizes.rows[place]), sizes.true[place])
            certain = verdicts[place] > 0 or (sizes.reach[place] < 0).all()
            message = "width and height are not the image's"
            if verdicts[place] < 0:
                message += ": it was resized after it was annotated"
                edits = partial(_scaled, file, sizes, [place])
            yield _size_hit(file, sizes, place, message, edits, None if certain else Fix.UNSAFE)


def _resized(file: AnyFile, sizes: Sizes) -> list[list[int]]:
    """Places of images that were resized by the same ratio, three and more in each group."""
    maybe = (sizes.verdicts <= 0) & ~sizes.swapped & (sizes.said > 0).all(1) & (sizes.reach >= 0).any(1)
    places = np.flatnonzero(maybe).tolist() if isinstance(file, CocoFile) else ()
    groups = grouped((tuple(np.round(sizes.true[at] / sizes.said[at], 2).tolist()), at) for at in places)
    return [group for group in groups.values() if len(group) >= 3]


def _resized_hit(file: AnyFile, sizes: Sizes, places: list[int]) -> Hit:
    first = places[0]
    rx, ry = (sizes.true[first] / sizes.said[first]).tolist()
    ratio = f"{rx:.3g}" if abs(rx - ry) < 0.01 else f"{rx:.3g} (width) and {ry:.3g} (height)"
    times = f"{len(places):,} images are {ratio} times the size in the JSON"
    message, edits = f"{times}, which the annotations fit: they were resized", partial(_scaled, file, sizes, places)
    expected = f"{file.images.names[int(sizes.rows[first])]!r}: {_sides(sizes.true[first])}"
    found = _sides(sizes.said[first])
    return Hit(message, file.path, "/images", expected=expected, found=found, edits=edits, fix=Fix.UNSAFE)


def _scaled(file: AnyFile, sizes: Sizes, places: list[int]) -> Sequence[Edit]:
    """Give images their true size and scale what is annotated on them."""
    edits: list[Edit] = []
    for place in places:
        row, size = int(sizes.rows[place]), sizes.true[place]
        across, down = (size / sizes.said[place]).tolist()
        edits += _set_size(file, row, size)
        if isinstance(file, CocoFile):
            for annotation in np.flatnonzero(file.image_rows == row).tolist():
                edits += repairs.scaled(file, annotation, across, down, size.tolist())
    return edits


@rule("IM004", "width-height-swapped", Severity.ERROR, Fix.SAFE, on="part")
def width_height_swapped(part: Part) -> Iterator[Hit]:
    """The JSON's width is the image's height, and the other way round.

    A script read `image.shape` (rows first) as width, height. Masks are turned and cut. Example: `"width": 480,
    "height": 640` where the image is 640 wide and 480 high. The fix swaps the two. There is none where annotations
    reach out of the image as it is: then the image was turned after it was annotated.
    """
    for file in album(part).files:
        sizes = _wrong_sizes(part, file)
        turned = bool((sizes.verdicts[sizes.swapped] < 0).any())
        message = "width and height are swapped" + (", or the images were turned after annotation" if turned else "")
        for place in np.flatnonzero(sizes.swapped).tolist():
            edits = [] if turned else _set_size(file, int(sizes.rows[place]), sizes.true[place])
            yield _size_hit(file, sizes, place, message, edits)


@rule("IM005", "exif-orientation-set", Severity.ERROR, Fix.UNSAFE, on="part")
def exif_orientation_set(part: Part) -> Iterator[Hit]:
    """The image has an EXIF tag that says to turn it.

    Some programs turn it and some do not: annotation tool, trainer and viewer each see another image, and the masks lie
    across it. OpenCV turns, Pillow does not. The unsafe fix saves the image upright, without the tag (a JPEG is coded
    again at quality 95). Where the JSON has the size of the image as stored, not as shown, the annotations were made on
    that: then only the tag is reset, and no pixel changes.
    """
    book = album(part)
    orientations = book.gallery.table["orientation"]
    message = "the image's EXIF tag says to turn it; some programs do and some do not"
    for index, path in _whole(book, orientations > 1):
        sizes = book.gallery.shown(), book.gallery.stored()
        shown, stored = (f"{widths[index]}x{heights[index]}" for widths, heights in sizes)
        file, row = book.owners.get(path, (None, 0))
        said = f"{file.images.widths[row]}x{file.images.heights[row]}" if file is not None else ""
        make, what, how = partial(upright, Path(path)), "turned the image upright", ""
        if said == stored != shown:
            make, what, how = partial(untagged, Path(path)), "reset the orientation tag", "; annotated as stored"
        found = f"orientation {orientations[index]}: {stored} stored, {shown} shown{how}"
        edits = [WriteFile(Path(path), make, f"{what} ({Path(path).name})")]
        yield image_hit(book, path, message, expected="no orientation tag, or 1", found=found, edits=edits)


def _odd_mode(mode: str, pages: int) -> str:
    """What loaders disagree about in an image of that mode; empty for nothing."""
    if pages > 1:
        return f"{pages} images in one file"
    if mode == "CMYK":
        return "CMYK colours"
    if mode.startswith(("I", "F")) or ";16" in mode:
        return "more than 8 bits a channel"
    if mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        return "an alpha channel"
    return "" if mode in ("", "1", "L", "P", "RGB", "YCbCr") else f"colours of the kind {mode}"


@rule("IM010", "unsupported-mode", Severity.WARNING, Fix.UNSAFE, on="part")
def unsupported_mode(part: Part) -> Iterator[Hit]:
    """The image is not plain 8-bit grey or RGB: CMYK, 16 bits, an alpha channel, several pages.

    Loaders disagree: OpenCV drops alpha and the lower 8 bits, Pillow hands over four channels, TIFF readers stack the
    pages. An image annotated with one and trained on with another is another image. The unsafe fix writes the first
    page as 8-bit RGB.
    """
    book = album(part)
    pages = book.gallery.table["pages"]
    odd = np.array([bool(_odd_mode(facts.mode, 1)) for facts in book.gallery.facts], bool)
    message, expected = "loaders disagree about such an image", "8-bit grey or RGB, one page"
    for index, path in _whole(book, odd | (pages > 1)):
        found = _odd_mode(book.gallery.kind(index)[1], int(pages[index]))
        edits = [WriteFile(Path(path), partial(plain_rgb, Path(path)), f"saved {Path(path).name} as 8-bit RGB")]
        yield image_hit(book, path, message, expected=expected, found=found, edits=edits)


@rule("IM011", "image-below-min-size", Severity.WARNING, on="part")
def image_below_min_size(part: Part) -> Iterator[Hit]:
    """The image has a side of less than 32 pixels.

    The coarsest level of the network has one cell for 32 pixels; a smaller image is a stray thumbnail, or nothing is
    left of it.
    """
    book = album(part)
    width, height = book.gallery.shown()
    for index, path in _whole(book, np.minimum(width, height) < MIN_SIDE):
        expected, found = f"sides of at least {MIN_SIDE} pixels", f"{width[index]}x{height[index]}"
        yield image_hit(book, path, "the image is very small", expected=expected, found=found)


@rule("IM012", "exact-duplicate-images", Severity.WARNING, on="part")
def exact_duplicate_images(part: Part) -> Iterator[Hit]:
    """Two images of a split are the same, byte for byte.

    The doubled image counts twice in training and in the figures; annotated twice, it may be annotated differently. An
    image in two splits is SP001. Which of the annotations is right only you can say.
    """
    book = album(part)
    for first, *others in same_content(book.gallery, part.dataset.jobs):
        message = f"it is the same image as {book.name_of(book.gallery.paths[first])!r}, byte for byte"
        for index in others:
            found = f"{len(others) + 1} copies"
            yield image_hit(book, book.gallery.paths[index], message, expected="each image once", found=found)


@rule("IM013", "content-not-of-suffix", Severity.WARNING, on="part")
def content_not_of_suffix(part: Part) -> Iterator[Hit]:
    """The file's content is not what its suffix says: a WebP called `.jpg`.

    Most loaders look at the content; TensorFlow, browsers and annotation tools go by the name and refuse the file.
    Masks and other files are named after it, so there is no fix. ADE's loaders want `.jpg` whatever the content.
    """
    book = album(part)
    for index, path in enumerate(book.gallery.paths if book.files else ()):
        kind, suffix = book.gallery.kind(index)[0], f".{path.rpartition('.')[2].lower()}"
        if kind in _SUFFIXES and suffix not in _SUFFIXES[kind]:
            expected = f"a name that ends in {_SUFFIXES[kind][0]}"
            yield image_hit(book, path, f"the file is a {kind}", expected=expected, found=suffix)
