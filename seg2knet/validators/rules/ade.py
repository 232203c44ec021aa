"""AD rules: folders, names and kinds of files of the ADE layout, then the numbers in masks."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Optional

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.layout import SPLITS
from seg2knet.validators.fixing.remakes import counted_from_one, label_png, relabelled
from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, RenameFile, Severity, WriteFile, rule
from seg2knet.validators.subjects.album import stem
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.masks import IGNORE, AdeSet, MaskFolder, single_channel, sixteen_bit

MOST_CLASSES = 254


@rule("AD001", "layout-missing-folder", Severity.ERROR, on="ade")
def missing_folder(whole: AdeSet) -> Iterator[Hit]:
    """A folder of the layout is missing or has no images.

    Expected are `images/training` and `annotations/training`; with `images/validation` also `annotations/validation`,
    and the other way round. `images/test` needs no masks.
    """
    for split in SPLITS:
        folder = whole.folder(split)
        if split == "train" or folder.masks_dir.is_dir() or (split == "val" and folder.images_dir.is_dir()):
            for place, files in ((folder.images_dir, folder.images), (folder.masks_dir, folder.masks)):
                if not files:
                    found = "an empty folder" if place.is_dir() else "no such folder"
                    yield Hit("a folder of the layout is missing", place, expected="a folder of images", found=found)


@rule("AD002", "image-mask-stem-mismatch", Severity.ERROR, Fix.UNSAFE, on="ade")
def stems_differ(whole: AdeSet) -> Iterator[Hit]:
    """An image has no mask of its name, or a mask no image.

    mmsegmentation looks for the mask of each image's name: without it training stops. A mask without an image is never
    read. Example: `images/training/a.jpg` with `annotations/training/a_mask.png`. The unsafe fix renames a mask that
    can only be meant for one image (`a_mask.png`, `a.jpg.png`, `A.png`); else it removes the lonely file.
    """
    for folder in whole.folders:
        if not folder.images or not folder.masks:
            continue  # AD001
        likely, (images, masks) = folder.likely_pairs(), folder.lonely
        for image in images:
            path, wanted = Path(folder.images[image]), PurePosixPath(image).with_suffix(".png")
            edit: Edit = DeleteFile(path)
            if image in likely:
                edit = RenameFile(Path(folder.masks[likely[image]]), folder.masks_dir / wanted)
            found, message = f"only {likely[image]}" if image in likely else "none", "the image has no mask"
            yield Hit(message, path, image_name=image, expected=f"a mask {wanted}", found=found, edits=[edit])
        for name in (name for name in masks if name not in likely.values()):
            path, expected = Path(folder.masks[name]), f"an image {PurePosixPath(name).with_suffix('.jpg')}"
            yield Hit("the mask has no image", path, expected=expected, found="none", edits=[DeleteFile(path)])


@rule("AD003", "mask-size-mismatch", Severity.ERROR, on="ade")
def mask_size(whole: AdeSet) -> Iterator[Hit]:
    """A mask has another size than its image.

    The loader crops both at the same place: labels lie in the wrong place, or training stops. Whether image or mask was
    scaled cannot be told.
    """
    for folder in whole.folders:
        masks, images = ({name: at for at, name in enumerate(names)} for names in (folder.masks, folder.images))
        sides = folder.gallery.stored(), folder.image_gallery.shown(), folder.image_gallery.stored()
        broken, broken_images = folder.gallery.broken(), folder.image_gallery.broken()
        for image, mask in folder.pairs:
            at, other = masks[mask], images[image]
            own, shown, stored = (f"{w[i]}x{h[i]}" for (w, h), i in zip(sides, (at, other, other)))
            if not (broken[at] or broken_images[other] or own in (shown, stored)):
                message, path = "the mask has another size than its image", Path(folder.masks[mask])
                yield Hit(message, path, image_name=image, expected=shown, found=own)


def _masks(whole: AdeSet) -> Iterator[tuple[MaskFolder, str, Path, str, str]]:
    """Folder, name, path, format and mode of each mask that is not broken."""
    for folder in whole.folders:
        broken = folder.gallery.broken()
        for index, (name, path) in enumerate(folder.masks.items()):
            if not broken[index]:
                yield folder, name, Path(path), *folder.gallery.kind(index)


def _channel_hit(path: Path, message: str, found: str, make: Optional[Callable[[], bytes]], what: str) -> Hit:
    """A mask that is not one channel of 8 bits; ``make`` writes one that is, where that loses nothing."""
    edits = [WriteFile(path, make, what)] if make is not None else []
    return Hit(message, path, expected="one channel of 8 bits", found=found, edits=edits)


@rule("AD004", "mask-not-single-channel", Severity.ERROR, Fix.UNSAFE, on="ade")
def mask_channels(whole: AdeSet) -> Iterator[Hit]:
    """A mask has colours or alpha: more than one number a pixel.

    The loader expects `(H, W)` class numbers and stops, or takes the first channel of an image made for the eye. The
    unsafe fix keeps one channel where all three are equal. Colours for classes need `seg2knet convert masks --encoding
    colors`.
    """
    message = "the mask has more than one number a pixel"
    for _, name, path, kind, mode in _masks(whole):
        if kind == "JPEG" or single_channel(mode):
            continue
        labels, make = decode_labels(path), None
        if labels.dtype == np.uint8 and (labels.ndim == 2 or (labels == labels[..., :1]).all()):
            make = partial(encode_png, labels if labels.ndim == 2 else np.ascontiguousarray(labels[..., 0]))
        found = mode + ("; all channels equal" if make is not None else "")
        yield _channel_hit(path, message, found, make, f"kept one channel of {name}")


@rule("AD005", "mask-16-bit", Severity.ERROR, Fix.SAFE, on="ade")
def mask_bits(whole: AdeSet) -> Iterator[Hit]:
    """A mask has 16 bits a pixel.

    The loader silently makes 8 bits of it: 256 becomes 0, 257 becomes 1. The fix writes 8 bits where no number is over
    255 (65535, as ignored, becomes 255); else there is none.
    """
    for folder, name, path, _, mode in _masks(whole):
        if sixteen_bit(mode):
            table = folder.regions.get(name)
            numbers = [] if table is None else table[:, 0].tolist()
            small = table is not None and all(0 <= number <= 255 or number == 65535 for number in numbers)
            make = partial(relabelled, path, lambda labels: np.where(labels == 65535, 255, labels)) if small else None
            found = f"{mode}, numbers up to {max(numbers, default=0)}"
            yield _channel_hit(path, "the mask has 16 bits a pixel", found, make, f"saved {name} with 8 bits")


@rule("AD015", "mask-1-bit", Severity.ERROR, Fix.SAFE, on="ade")
def mask_one_bit(whole: AdeSet) -> Iterator[Hit]:
    """A mask has 1 bit a pixel.

    OpenCV reads its ones as 255, which is ignored, and Pillow as `True`: the class is never trained. The fix saves 0
    and 1 with 8 bits.
    """
    message = "the mask has 1 bit a pixel: OpenCV reads 255 for 1"
    for _, name, path, _, mode in _masks(whole):
        if mode == "1":
            make = partial(relabelled, path, lambda labels: labels > 0)
            yield _channel_hit(path, message, "1 bit", make, f"saved {name} with 8 bits")


@rule("AD009", "mask-saved-as-jpeg", Severity.ERROR, on="ade")
def mask_is_jpeg(whole: AdeSet) -> Iterator[Hit]:
    """A mask was saved as JPEG.

    JPEG changes numbers at every edge: a border between class 3 and class 90 is full of classes that are not there. The
    damage cannot be undone; save the masks again, as PNG.
    """
    for _, name, path, kind, _ in _masks(whole):
        if kind == "JPEG":
            yield Hit("the mask is a JPEG, which changes numbers", path, expected="PNG", found=f"JPEG in {name}")


@rule("AD011", "image-suffix-ignored-by-loader", Severity.ERROR, Fix.SAFE, on="ade")
def suffix_ignored(whole: AdeSet) -> Iterator[Hit]:
    """An image is not called `.jpg`, or a mask not `.png`: the loader does not see it.

    mmsegmentation's ADE20K data set takes `.jpg` and `.png`, in small letters, and nothing else: `.JPG`, `.jpeg` or
    `.png` images are silently skipped, and if all are, training stops on an empty data set. The fix renames the file.
    Images keep their content, because loaders go by that and not by the name; a mask that is not a PNG is written again
    as one. There is no fix where two files would get the same name.
    """
    for folder in whole.folders:
        stems = Counter(map(stem, folder.images))
        for name, text in folder.images.items():
            path = Path(text)
            if path.suffix != ".jpg" and stems[stem(name)] == 1:  # else IM008
                yield _unseen("image", path, ".jpg", [RenameFile(path, path.with_suffix(".jpg"))], name)
        stems = Counter(map(stem, folder.masks))
        for own, name, path, kind, _ in _masks(whole):
            if own is folder and path.suffix != ".png" and kind != "JPEG":  # else AD009
                target = path.with_suffix(".png")
                edits: list[Edit] = [RenameFile(path, target)]
                if kind != "PNG":
                    made = WriteFile(target, partial(label_png, path), f"saved {name} as PNG", new=True)
                    edits = [made, DeleteFile(path)]
                yield _unseen("mask", path, ".png", edits if stems[stem(name)] == 1 else [])


def _unseen(what: str, path: Path, suffix: str, edits: list[Edit], image_name: Optional[str] = None) -> Hit:
    message, expected = f"the loader does not see this {what}", f"a name that ends in {suffix}"
    return Hit(message, path, image_name=image_name, expected=expected, found=path.suffix, edits=edits)


@rule("AD012", "too-many-classes-for-uint8", Severity.ERROR, on="ade")
def too_many_classes(whole: AdeSet) -> Iterator[Hit]:
    """There are more than 254 classes.

    Masks have 8 bits: 0 is unlabelled, 255 ignored, so 254 classes fit. There is no fix: merge or drop classes
    (`seg2knet convert ... --map old=new --drop name`).
    """
    if (count := max(whole.top or 0, len(dict(whole.classes or ())))) > MOST_CLASSES:  # also counted from 0
        message, expected = "there are more classes than 8-bit masks can hold", f"at most {MOST_CLASSES}"
        yield Hit(message, whole.class_list or whole.layout.object_info, expected=expected, found=str(count))


@rule("AD016", "class-list-missing-or-with-commas", Severity.WARNING, Fix.SAFE, on="ade")
def class_list(whole: AdeSet) -> Iterator[Hit]:
    """There is no `objectInfo.txt`, or its columns are separated by commas and not by tabs.

    Without it nothing says which classes the numbers are, and wrong numbers in masks are not found. With commas,
    readers take each line, the header too, for a name. The fix puts tabs in the place of the commas.
    """
    path = whole.class_list
    if path is None:
        expected = "a line for each class: Idx, Ratio, Train, Val, Name, separated by tabs"
        yield Hit("there is no list of classes", whole.layout.object_info, expected=expected, found="no such file")
        return
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    filled = [line for line in lines if line.strip()]
    if filled and all("," in line and "\t" not in line for line in filled):
        with_tabs = "".join("\t".join(row) + "\n" for row in csv.reader(lines)).encode()
        edits = [WriteFile(path, partial(bytes, with_tabs), "put tabs in the place of commas")]
        yield Hit("the columns are separated by commas", path, expected="tabs", found="commas", edits=edits)


_NOTHING = ("background", "_background_", "unlabeled", "unlabelled", "void", "other", "none")


def _tables(whole: AdeSet) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Name, path and regions of each mask whose numbers can be trusted."""
    for folder in whole.folders:
        for name, table in folder.regions.items():
            yield name, Path(folder.masks[name]), table


@rule("AD006", "mask-id-out-of-range", Severity.ERROR, on="ade")
def id_out_of_range(whole: AdeSet) -> Iterator[Hit]:
    """A mask has a number that is not a class.

    Numbers are 0 (unlabelled), 1 to the number of classes in `objectInfo.txt`, and 255 (ignored). Any other stops
    training on a GPU with an uninformative "device-side assert triggered". There is no fix: convert again, with the
    full list of classes. One number in place of 255 is AD008.
    """
    if whole.other_ignore is not None or _shifted(whole):
        return
    for _, path, table in _tables(whole):
        wrong = [number for number in table[:, 0].tolist() if number in whole.strange]
        if wrong:
            found = f"{first_few(wrong, 8)} ({int(table[np.isin(table[:, 0], wrong), 1].sum()):,} pixels)"
            yield Hit("the mask has numbers that are not classes", path, expected=whole.allowed, found=found)


def _rewritten(whole: AdeSet, change: Callable[[np.ndarray], np.ndarray], what: str) -> list[Edit]:
    """Every mask that can be read written again, with its numbers changed."""
    return [
        WriteFile(path, partial(relabelled, path, change), f"{what} in {name}")
        for name, path, table in _tables(whole)
        if table[:, 0].max() <= IGNORE
    ]


def _plus_one(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == IGNORE, IGNORE, labels + 1)


@rule("AD007", "zero-label-policy-mismatch", Severity.ERROR, Fix.UNSAFE, on="ade")
def zero_is_a_class(whole: AdeSet) -> Iterator[Hit]:
    """The masks count classes from 0, the loader from 1.

    In the ADE layout 0 is unlabelled and classes start at 1 (`reduce_zero_label`): of masks made with 0 as the first
    class that class is ignored, and every other is taken for the one before it.

    Reported where `objectInfo.txt` counts from 0, or where the last class is in no mask though all others are, and the
    first is one like "background", or 255 is used beside 0 as ignored.

    The unsafe fix adds 1 to all numbers but 255 (none where 254 is a class), and counts `objectInfo.txt` from 1.
    """
    reason, info = _shifted(whole), whole.class_list
    if reason and info is not None:
        message = "the masks count classes from 0; the loader takes 0 for unlabelled"
        edits = _rewritten(whole, _plus_one, "added 1 to the numbers")
        deep = any(sixteen_bit(facts.mode) for folder in whole.folders for facts in folder.gallery.facts)
        if 0 in dict(whole.classes or ()):
            edits.append(WriteFile(info, partial(counted_from_one, info), "counted classes from 1"))
        if deep or IGNORE - 1 in {whole.top, *_used(whole)} or b"\t" not in info.read_bytes():
            edits = []  # AD005 and AD016 come first
        yield Hit(message, info, expected="0 unlabelled, classes from 1", found=reason, edits=edits)


def _used(whole: AdeSet) -> set[int]:
    """Every number in any mask."""
    return {number for folder in whole.folders for number in folder.counts}


def _shifted(whole: AdeSet) -> str:
    """Why the masks seem to count classes from 0; empty where they do not."""
    if not whole.classes:
        return ""
    if 0 in dict(whole.classes):
        return "the list of classes counts from 0"
    count, used = len(whole.classes), _used(whole)
    if whole.strange or count < 2 or not set(range(count)) <= used or count in used:
        return ""
    if whole.classes[0][1].lower() in _NOTHING:
        return f"numbers 0 to {count - 1} for {count} classes, of which the first is {whole.classes[0][1]!r}"
    return f"numbers 0 to {count - 1} for {count} classes, and 255 beside 0" if IGNORE in used else ""


@rule("AD008", "ignore-value-not-255", Severity.WARNING, Fix.SAFE, on="ade")
def other_ignore(whole: AdeSet) -> Iterator[Hit]:
    """The masks have another number than 255 for ignored pixels.

    Losses and metrics skip 255 and nothing else; 254 or 65535 is taken for a class, and stops training. Reported where
    the only number beyond the classes is 250 to 254, or 65535. The fix writes 255.
    """
    number, message = whole.other_ignore, "the mask has another number than 255 for ignored pixels"
    if number is None:
        return
    deep = {path for _, _, path, _, mode in _masks(whole) if sixteen_bit(mode)}
    for name, path, table in _tables(whole):
        pixels = int(table[table[:, 0] == number, 1].sum())
        if pixels and path not in deep:  # else AD005 comes first
            make = partial(relabelled, path, lambda labels: np.where(labels == number, IGNORE, labels))
            edits = [WriteFile(path, make, f"changed {number} to 255 in {name}")]
            yield Hit(message, path, expected="255", found=f"{number} ({pixels:,} pixels)", edits=edits)


@rule("AD010", "class-absent-in-split", Severity.WARNING, on="ade")
def class_absent(whole: AdeSet) -> Iterator[Hit]:
    """Classes of the list are in no mask of a split.

    Missing from training a class is never learned; missing from validation its figures are `nan`, and a mean over
    classes skips it. There is no fix: split again (`seg2knet convert ade ... --split`), or remove the class.
    """
    if not whole.classes or _shifted(whole) or _two_valued(whole) or _used(whole) <= {0}:
        return
    for folder in whole.folders:
        # Masks whose numbers cannot be trusted may hold any class.
        if folder.split == "test" or not folder.masks or len(folder.regions) < len(folder.masks):
            continue
        absent = [(number, name) for number, name in whole.classes if number not in folder.counts]
        if absent:
            things = "the class" if len(absent) == 1 else f"{len(absent)} classes:"
            message = f"no mask of the split has {things} {first_few([repr(name) for _, name in absent])}"
            expected = f"pixels of {first_few([number for number, _ in absent])}"
            yield Hit(message, folder.masks_dir, expected=expected, found=f"none in {len(folder.masks):,} masks")


def _two_valued(whole: AdeSet) -> bool:
    """Whether all masks have 0 and 255 and no other number."""
    return _used(whole) in ({0, IGNORE}, {IGNORE})


@rule("AD013", "masks-are-0-and-255", Severity.ERROR, Fix.UNSAFE, on="ade")
def masks_are_black_and_white(whole: AdeSet) -> Iterator[Hit]:
    """The masks have only 0 and 255.

    They are drawn for the eye: 255 is ignored and 0 unlabelled, so that nothing is trained on. The unsafe fix writes 1
    for 255 where there is one class, or no list of classes.
    """
    if _two_valued(whole):
        single = whole.classes is None or len(whole.classes) == 1
        edits = _rewritten(whole, lambda labels: labels == IGNORE, "wrote 1 for 255") if single else []
        message, found = "the masks have only 0 and 255: every pixel is ignored", "0 and 255 in every mask"
        yield Hit(message, whole.layout.annotations("train"), expected=whole.allowed, found=found, edits=edits)


@rule("AD014", "one-class-without-background", Severity.WARNING, Fix.UNSAFE, on="ade")
def one_class(whole: AdeSet) -> Iterator[Hit]:
    """The masks have only 0 and 1, one class.

    0 is unlabelled and not trained on: a model that finds the class everywhere is never corrected. The unsafe fix makes
    the background a class: it adds 1 to every number and lists `background` first.
    """
    if _used(whole) - {IGNORE} != {0, 1} or len(whole.classes or [1]) != 1 or _shifted(whole):
        return
    name = whole.classes[0][1] if whole.classes else "object"
    text = f"Idx\tRatio\tTrain\tVal\tName\n1\t0\t0\t0\tbackground\n2\t0\t0\t0\t{name}\n".encode()
    listed = WriteFile(whole.layout.object_info, partial(bytes, text), "listed the background as a class")
    edits = [*_rewritten(whole, _plus_one, "added 1 to the numbers"), listed]
    message, expected = f"only {name!r} is labelled: nothing teaches what is not", "two classes, one the background"
    yield Hit(message, whole.layout.annotations("train"), expected=expected, found="0 and 1", edits=edits)


@rule("AD017", "mask-without-class", Severity.WARNING, on="ade")
def mask_empty(whole: AdeSet) -> Iterator[Hit]:
    """A mask has no pixel of any class, only 0 or 255.

    Its image teaches nothing; often the mask was saved before it was drawn.
    """
    for _, path, table in _tables(whole) if not _two_valued(whole) else ():  # else AD013
        if set(table[:, 0].tolist()) <= {0, IGNORE}:
            found = " and ".join(map(str, table[:, 0].tolist()))
            yield Hit("the mask has no pixel of any class", path, expected="pixels of a class", found=found)
