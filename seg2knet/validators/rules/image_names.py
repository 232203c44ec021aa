"""IM rules about names: IM001 and IM006 to IM009."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, Remove, RenameFile, SetValue, Severity, rule
from seg2knet.validators.subjects.album import ODD, Album, AnyFile, album, stem
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.files import CocoFile


@rule("IM001", "image-file-missing", Severity.ERROR, Fix.UNSAFE, on="part")
def image_file_missing(part: Part) -> Iterator[Hit]:
    """An image of the JSON has no file.

    Training stops with `FileNotFoundError` the first time the image is drawn, which may be hours after the start.

    Example: `"file_name": "a.jpg"`, and there is no `train2017/a.jpg`. Where only letter case or the suffix differ, or
    the name is that of another machine, IM006, IM007 or IM008 say so instead. Where the whole folder is missing there
    is one finding, not one an image.

    The unsafe fix takes the only file of that name in another sub-folder, if there is one; else it removes the image
    and its annotations from the JSON.
    """
    book = album(part)
    if not book.folder:
        yield from _folder_missing(part)
        return
    for file in book.files:
        for row, name, meaning in book.unusual(file):
            if meaning.how in ("missing", "elsewhere"):
                elsewhere = meaning.proper if meaning.how == "elsewhere" else None
                yield file.image_hit(
                    row,
                    "there is no such picture; training stops when it comes to it",
                    "file_name",
                    expected=f"a file {part.dataset.show(_joined(book, name))}",
                    found=f"only {elsewhere!r}" if elsewhere else "no such file",
                    edits=[_renamed(file, row, elsewhere)] if elsewhere else _without(file, row),
                )


def _folder_missing(part: Part) -> Iterator[Hit]:
    if part.dataset.layout != "coco":
        return
    for file in part.json_files:
        count = sum(name is not None for name in file.images.names)
        if count:
            folder = part.dataset.show(part.images_dir) if part.images_dir else f"{part.split}2017 or {part.split}"
            yield Hit(
                f"the folder of its pictures is not there, nor is any of its {count:,} pictures",
                file.path,
                "/images",
                expected=f"a folder {folder}",
                found="no such folder",
                fix=Fix.NONE,
            )


def _joined(book: Album, name: str) -> Path:
    return Path(book.folder) / name.replace("\\", "/").replace("\0", "")


def _renamed(file: AnyFile, row: int, name: Optional[str]) -> SetValue:
    return SetValue(file.path, f"/images/{row}/file_name", name)


def _without(file: AnyFile, row: int) -> list[Edit]:
    """Take an image and what is annotated on it out of a file."""
    rows = np.flatnonzero(file.image_rows == row).tolist()
    return [*(Remove(file.path, f"/annotations/{each}") for each in rows), Remove(file.path, f"/images/{row}")]


@rule("IM006", "path-absolute-or-backslash-or-outside-root", Severity.WARNING, Fix.SAFE, on="part")
def path_odd(part: Part) -> Iterator[Hit]:
    r"""A file name is absolute, has back-slashes, or leads out of the folder of pictures.

    It means something on the machine that wrote it and nothing, or another file, elsewhere.

    Example: `C:\data\a.jpg`, `day1\a.jpg`, `../a.jpg`, `/home/me/a.jpg`; all should be `a.jpg` or `day1/a.jpg`.

    The fix puts the name, relative to the folder of pictures and with forward slashes, of the file that is meant: the
    longest end of the path that is a picture there. Where none is there is no fix.
    """
    book = album(part)
    for file in book.files:
        for row, name, meaning in book.unusual(file):
            if not ODD.search(name):
                continue
            free = meaning.proper is not None and meaning.proper not in book.names
            yield file.image_hit(
                row,
                "the file name is absolute, has back-slashes or leads out of the folder of pictures",
                "file_name",
                expected=repr(meaning.proper) if meaning.proper else "a name relative to the folder of pictures",
                found=repr(name),
                edits=[_renamed(file, row, meaning.proper)] if free else (),
            )


@rule("IM007", "file-name-case-mismatch", Severity.WARNING, Fix.SAFE, on="part")
def file_name_case(part: Part) -> Iterator[Hit]:
    """The file's name differs from the JSON's in letter case, or in how accents are coded.

    Windows and macOS find it all the same; Linux, where most training runs, does not.

    Example: the JSON says `A.JPG`, the file is `a.jpg`. The fix writes the file's own name into the JSON.
    """
    book = album(part)
    for file in book.files:
        for row, name, meaning in book.unusual(file):
            if meaning.how == "case" and not meaning.odd:
                yield file.image_hit(
                    row,
                    "the file's name is written otherwise; Linux does not find it",
                    "file_name",
                    expected=repr(meaning.proper),
                    found=repr(name),
                    edits=[_renamed(file, row, meaning.proper)],
                )


@rule("IM008", "same-stem-different-extension", Severity.ERROR, Fix.UNSAFE, on="part")
def same_stem(part: Part) -> Iterator[Hit]:
    """Two pictures differ only in their suffix, or a name only in the suffix from the file that is there.

    Masks are named after pictures: `a.jpg` and `a.png` both have the panoptic PNG, mask or prediction `a.png`, and one
    overwrites the other. A JSON that says `a.jpg` where only `a.png` exists stops training.

    The unsafe fix gives the second picture a name of its own (`a_png.png`), in the folder and in the JSON; in an ADE
    folder it removes the picture that loaders pass over. A JSON's wrong suffix becomes the file's.
    """
    book = album(part)
    for file in book.files:
        for row, name, meaning in book.unusual(file):
            if meaning.how == "suffix" and not meaning.odd:
                yield file.image_hit(
                    row,
                    "the only picture of that name has another suffix",
                    "file_name",
                    expected=repr(meaning.proper),
                    found=repr(name),
                    edits=[_renamed(file, row, meaning.proper)],
                )
    yield from _clashes(part, book)


def _clashes(part: Part, book: Album) -> Iterator[Hit]:
    # Nearly always no two are alike, which a set tells at once.
    if len({path.rpartition(".")[0] for path in book.paths}) == len(book.paths):
        return
    stems: dict[str, list[str]] = {}
    for path in book.paths:
        stems.setdefault(stem(book.name_of(path)), []).append(path)
    for base, paths in stems.items():
        if len(paths) < 2:
            continue
        ordered = sorted(paths, key=lambda path: not path.endswith(".jpg"))
        for path in ordered[1:]:
            yield Hit(
                f"it differs from {book.name_of(ordered[0])!r} only in its suffix: their masks have one name",
                Path(path),
                expected="names that differ before the suffix",
                found=f"{book.name_of(path)!r} and {book.name_of(ordered[0])!r}",
                edits=_apart(part, book, path, base),
                **book.of(path),  # type: ignore[arg-type]
            )


def _apart(part: Part, book: Album, path: str, base: str) -> list[Edit]:
    """Rename a picture, in the folder and wherever the JSON names it."""
    if not book.files:
        return [DeleteFile(Path(path))]
    if part.panoptic is not None:  # whose PNG the shared name means cannot be told
        return []
    suffix = Path(path).suffix
    name = f"{base}_{suffix[1:]}{suffix}"
    edits: list[Edit] = [RenameFile(Path(path), Path(book.folder) / name)]
    for file in book.files:
        edits += [_renamed(file, row, name) for row in book.rows_of(file, path)]
    return edits


@rule("IM009", "orphan-image", Severity.INFO, on="dataset")
def orphan_image(dataset: DataSet) -> Iterator[Hit]:
    """A picture lies in the folder and no annotation file names it.

    It is not trained on. That may be meant; it may also be an export that lost a picture, or a name that is wrong.
    Folders that several annotation files share are looked at together. There is no fix.
    """
    if dataset.ade is not None:
        return
    taken: set[str] = set()
    for part in dataset.parts:
        if part.json_files:
            taken.update(album(part).paths)
    folders: dict[Path, Album] = {}
    for part in dataset.parts:
        if part.json_files and part.images_dir is not None:
            folders.setdefault(part.images_dir, album(part))
    shadowed = [str(part.pngs_dir) for part in dataset.parts if part.pngs_dir is not None]
    for book in folders.values():
        if any(isinstance(file, CocoFile) and file.faults for file in book.files):
            continue  # what an unreadable file names is not known
        if taken.issuperset(book.listing.values()):
            continue
        for name, path in book.listing.items():
            if path not in taken and not any(path.startswith(each) for each in shadowed):
                yield Hit(
                    "no annotation file names it",
                    Path(path),
                    image_name=name,
                    expected="an image of that name in an annotation file",
                    found="none",
                )
