"""IM001 and IM006 to IM009: the names of image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, Remove, RenameFile, SetValue, Severity, rule
from seg2knet.validators.rules.images import image_hit
from seg2knet.validators.subjects.album import ODD, Album, AnyFile, Meaning, album, stem
from seg2knet.validators.subjects.data import DataSet, Part


def _unusual(part: Part) -> Iterator[tuple[AnyFile, int, str, Meaning, bool]]:
    """Each image whose name is not simply that of a file in the folder: its file, row, name and meaning, and whether
    no other image means the same file."""
    book = album(part)
    for file in book.files:
        entries = book.unusual(file)
        meant = Counter(meaning.proper for _, _, meaning in entries)
        for row, name, meaning in entries:
            alone = meaning.proper is not None and meant[meaning.proper] == 1 and meaning.proper not in book.names
            yield file, row, name, meaning, alone


def _name_hit(file: AnyFile, row: int, message: str, meaning: Meaning, name: str, certain: bool) -> Hit:
    expected = repr(meaning.proper) if meaning.proper else "a name relative to the folder of images"
    edits = [_renamed(file, row, meaning.proper)] if certain else []
    return file.image_hit(row, message, "file_name", expected=expected, found=repr(name), edits=edits)


@rule("IM001", "image-file-missing", Severity.ERROR, Fix.UNSAFE, on="part")
def image_file_missing(part: Part) -> Iterator[Hit]:
    """An image of the JSON has no file.

    Training stops with `FileNotFoundError` the first time the image is loaded, which may be hours after the start.
    Names that differ from the file's in a known way are IM006, IM007 or IM008. A missing folder is one finding.

    The unsafe fix takes the only file of that name in a sub-folder, if there is one. Where several files may be meant,
    or the data set has a file of that name in another folder, there is no fix. Else it removes the image and its
    annotations.
    """
    book = album(part)
    for file in part.json_files if not book.folder and part.dataset.layout == "coco" else ():
        count = sum(name is not None for name in file.images.names)
        if count:
            folder = part.dataset.show(part.images_dir) if part.images_dir else f"{part.split}2017 or {part.split}"
            message, expected = f"the folder of images is missing, with all {count:,} images", f"a folder {folder}"
            yield Hit(message, file.path, "/images", expected=expected, found="no such folder")
    if not book.folder:
        return
    for file, row, name, meaning, alone in _unusual(part):
        if meaning.how not in ("missing", "elsewhere", "ambiguous"):
            continue
        message, outside = "there is no such image; training stops there", part.dataset.elsewhere(name)
        edits: list[Edit] = []
        if meaning.how == "elsewhere":
            found, edits = f"only {meaning.proper!r}", [_renamed(file, row, meaning.proper)] if alone else []
        elif meaning.how == "ambiguous":
            message, found = message + "; several files may be meant", "names that nearly match"
        elif outside is not None:
            found = f"only {part.dataset.show(outside)}"
        else:
            rows = np.flatnonzero(file.image_rows == row).tolist()
            pointers = [*(f"/annotations/{each}" for each in rows), f"/images/{row}"]
            found, edits = "no such file", [Remove(file.path, pointer) for pointer in pointers]
        wanted = Path(book.folder) / name.replace("\\", "/").replace("\0", "")
        expected = f"a file {part.dataset.show(wanted)}"
        yield file.image_hit(row, message, "file_name", expected=expected, found=found, edits=edits)


def _renamed(file: AnyFile, row: int, name: Optional[str]) -> SetValue:
    return SetValue(file.path, f"/images/{row}/file_name", name)


@rule("IM006", "path-absolute-or-backslash-or-outside-root", Severity.WARNING, Fix.SAFE, on="part")
def path_odd(part: Part) -> Iterator[Hit]:
    r"""A file name is absolute, has back-slashes, or leads out of the folder of images.

    It has a meaning on the machine that wrote it and none, or another one, elsewhere. Examples: `C:\data\a.jpg`,
    `day1\a.jpg`, `../a.jpg`, `/home/me/a.jpg`; all should be `a.jpg` or `day1/a.jpg`. The fix writes the name, relative
    to the folder of images and with forward slashes, of the file that is meant: the longest end of the path that is an
    image there. There is no fix where no file is, or where two names mean one file.
    """
    for file, row, name, meaning, alone in _unusual(part):
        if ODD.search(name):
            message = "the file name is absolute, has back-slashes or leads out of the folder of images"
            yield _name_hit(file, row, message, meaning, name, alone)


@rule("IM007", "file-name-case-mismatch", Severity.WARNING, Fix.SAFE, on="part")
def file_name_case(part: Part) -> Iterator[Hit]:
    """The file's name differs from the JSON's in letter case, white space, `%20` and the like, or coding of accents.

    Windows and macOS find most of them; Linux, where most training runs, does not. Example: the JSON says `A.JPG` or
    `my%20dog.jpg`, the file is `a.jpg` or `my dog.jpg`. The fix writes the file's own name into the JSON; there is none
    where two files or two images could be meant.
    """
    for file, row, name, meaning, alone in _unusual(part):
        if meaning.how in ("case", "quoted") and not meaning.odd:
            yield _name_hit(file, row, "the file's name is written differently", meaning, name, alone)


@rule("IM008", "same-stem-different-extension", Severity.ERROR, Fix.UNSAFE, on="part")
def same_stem(part: Part) -> Iterator[Hit]:
    """Two images differ only in their suffix, or a name only in the suffix from the file that is there.

    Masks are named after images: `a.jpg` and `a.png` both have the panoptic PNG, mask or prediction `a.png`, and one
    overwrites the other. A JSON that says `a.jpg` where only `a.png` exists stops training. The unsafe fix gives the
    second image a name of its own (`a_png.png`), in the folder and in the JSON; in an ADE folder it removes the image
    that loaders skip. A JSON's wrong suffix becomes the file's.
    """
    for file, row, name, meaning, alone in _unusual(part):
        if meaning.how == "suffix" and not meaning.odd:
            yield _name_hit(file, row, "the only image of that name has another suffix", meaning, name, alone)
    book, expected = album(part), "names that differ before the suffix"
    # Nearly always no two are alike, which a set tells at once.
    alike = len({path.rpartition(".")[0] for path in book.paths}) < len(book.paths)
    stems = grouped((stem(book.name_of(path)), path) for path in (book.paths if alike else ()))
    for base, paths in stems.items():
        first, *others = sorted(paths, key=lambda path: not path.endswith(".jpg"))
        message = f"it differs from {book.name_of(first)!r} only in its suffix: their masks have one name"
        for path in others:
            found, edits = f"{book.name_of(path)!r} and {book.name_of(first)!r}", _apart(part, book, path, base)
            yield image_hit(book, path, message, expected=expected, found=found, edits=edits)


def _apart(part: Part, book: Album, path: str, base: str) -> list[Edit]:
    """Rename an image, in the folder and wherever the JSON names it."""
    if not book.files:
        return [DeleteFile(Path(path))]
    name = f"{base}_{Path(path).suffix[1:]}{Path(path).suffix}"
    if part.panoptic is not None or name in book.listing:  # whose PNG the shared name means cannot be told
        return []
    edits: list[Edit] = [RenameFile(Path(path), Path(book.folder) / name)]
    for file in book.files:
        edits += [_renamed(file, row, name) for row in book.rows_of(file, path)]
    return edits


@rule("IM009", "orphan-image", Severity.INFO, on="dataset")
def orphan_image(dataset: DataSet) -> Iterator[Hit]:
    """An image is in the folder and no annotation file names it.

    It is not trained on. That may be intended; or an export lost an image, or a name is wrong (where as many images of
    the folder are missing, only IM001 speaks). Folders that several annotation files share are looked at together.
    """
    books = [album(part) for part in dataset.parts if part.json_files and dataset.ade is None]
    taken = {path for book in books for path in book.paths}
    shadowed = tuple(str(part.pngs_dir) for part in dataset.parts if part.pngs_dir is not None)
    for shared in grouped((book.folder, book) for book in books).values():
        files = [(book, file) for book in shared for file in book.files]
        if any(file.faults or not file.has["images"] for _, file in files):
            continue  # what such a file names is not known
        listing = shared[0].listing.items()
        orphans = [(n, path) for n, path in listing if path not in taken and not path.startswith(shadowed)]
        missing = {name for book, file in files for _, name, meaning in book.unusual(file) if meaning.path is None}
        expected = "an image of that name in an annotation file"
        for name, path in orphans if len(orphans) > len(missing) else ():
            yield Hit("no annotation file names it", Path(path), image_name=name, expected=expected, found="none")
