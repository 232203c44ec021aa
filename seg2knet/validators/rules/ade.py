"""AD rules about folders, names and kinds of files: AD001 to AD005, AD009, AD011 and AD012."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.layout import AdeLayout
from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, RenameFile, Severity, WriteFile, rule
from seg2knet.validators.subjects.masks import MaskFolder, ade_set, single_channel, sixteen_bit

MOST_CLASSES = 254


@rule("AD001", "layout-missing-folder", Severity.ERROR, on="ade")
def missing_folder(layout: AdeLayout) -> Iterator[Hit]:
    """A folder of the layout is missing, or has no picture in it.

    Expected are `images/training` and `annotations/training`; where there is `images/validation` also
    `annotations/validation`, and the other way round. `images/test` needs no masks. There is no fix.
    """
    whole = ade_set(layout)
    wanted = [layout.images("train"), layout.annotations("train")]
    folders = {"train": wanted, "val": [layout.images("val"), layout.annotations("val")]}
    if layout.annotations("test").is_dir():
        folders["test"] = [layout.images("test"), layout.annotations("test")]
    for split, (images, masks) in folders.items():
        if split == "val" and not images.is_dir() and not masks.is_dir():
            continue
        folder = whole.folder(split)
        for place, files in ((images, folder.images), (masks, folder.masks)):
            if not files:
                found = "an empty folder" if place.is_dir() else "no such folder"
                yield Hit("a folder of the ADE layout is missing", place, expected="a folder of pictures", found=found)


@rule("AD002", "image-mask-stem-mismatch", Severity.ERROR, Fix.UNSAFE, on="ade")
def stems_differ(layout: AdeLayout) -> Iterator[Hit]:
    """A picture has no mask of its name, or a mask no picture.

    mmsegmentation takes each picture and looks for the mask of the same name: without it training stops. A mask without
    a picture is never read.

    Example: `images/training/a.jpg` with `annotations/training/a_mask.png`.

    The unsafe fix renames a mask that can only be meant for one picture (`a_mask.png`, `a.jpg.png`, `A.png`); else it
    removes the file that is alone.
    """
    for folder in ade_set(layout).folders:
        if not folder.images or not folder.masks:
            continue  # AD001
        likely = folder.likely_pairs()
        images, masks = folder.lonely
        for image in images:
            path = Path(folder.images[image])
            edits: list[Edit] = [DeleteFile(path)]
            if image in likely:
                mask = Path(folder.masks[likely[image]])
                edits = [RenameFile(mask, folder.masks_dir / f"{PurePosixPath(image).with_suffix('')}.png")]
            yield Hit(
                "the picture has no mask",
                path,
                image_name=image,
                expected=f"a mask {PurePosixPath(image).with_suffix('.png')}",
                found=f"only {likely[image]}" if image in likely else "none",
                edits=edits,
            )
        for mask_name in masks:
            if mask_name not in likely.values():
                path = Path(folder.masks[mask_name])
                yield Hit(
                    "the mask has no picture",
                    path,
                    expected=f"a picture {PurePosixPath(mask_name).with_suffix('.jpg')}",
                    found="none",
                    edits=[DeleteFile(path)],
                )


@rule("AD003", "mask-size-mismatch", Severity.ERROR, on="ade")
def mask_size(layout: AdeLayout) -> Iterator[Hit]:
    """A mask has another size than its picture.

    The loader crops both at the same place: labels lie in the wrong place, or training stops. There is no fix, for
    whether picture or mask was scaled cannot be told.
    """
    for folder in ade_set(layout).folders:
        masks = {name: index for index, name in enumerate(folder.masks)}
        images = {name: index for index, name in enumerate(folder.images)}
        sides, shown, stored = folder.gallery.stored(), folder.picture_gallery.shown(), folder.picture_gallery.stored()
        broken, broken_pictures = folder.gallery.broken(), folder.picture_gallery.broken()
        for image, mask in folder.pairs:
            place, other = masks[mask], images[image]
            if broken[place] or broken_pictures[other]:
                continue
            size = (int(sides[0][place]), int(sides[1][place]))
            sizes = [(int(width[other]), int(height[other])) for width, height in (shown, stored)]
            if size not in sizes:
                yield Hit(
                    "the mask has another size than its picture",
                    Path(folder.masks[mask]),
                    image_name=image,
                    expected="{}x{}".format(*sizes[0]),
                    found="{}x{}".format(*size),
                )


def _modes(folder: MaskFolder) -> Iterator[tuple[str, Path, str, str]]:
    """Name, path, format and mode of each whole mask."""
    broken = folder.gallery.broken()
    for index, (name, path) in enumerate(folder.masks.items()):
        if not broken[index]:
            yield name, Path(path), *folder.gallery.kind(index)


@rule("AD004", "mask-not-single-channel", Severity.ERROR, Fix.UNSAFE, on="ade")
def mask_channels(layout: AdeLayout) -> Iterator[Hit]:
    """A mask has colours or alpha: more than one number a pixel.

    The loader expects `(H, W)` class numbers and stops, or takes the first channel of a picture meant for the eye.

    The unsafe fix keeps one channel where all three are equal. Colours that stand for classes need
    `seg2knet convert masks --encoding colors`.
    """
    for folder in ade_set(layout).folders:
        for name, path, kind, mode in _modes(folder):
            if kind != "JPEG" and not single_channel(mode):
                grey = _one_channel(path)
                edits = []
                if grey is not None:
                    edits = [WriteFile(path, partial(encode_png, grey), f"kept one channel of {name}")]
                yield Hit(
                    "the mask has more than one number a pixel",
                    path,
                    expected="one channel of 8 bits",
                    found=f"{mode}" + ("; all channels equal" if grey is not None else ""),
                    edits=edits,
                )


def _one_channel(path: Path) -> np.ndarray | None:
    labels = decode_labels(path)
    if labels.dtype == np.uint8 and (labels.ndim == 2 or (labels == labels[..., :1]).all()):
        return labels if labels.ndim == 2 else np.ascontiguousarray(labels[..., 0])
    return None


@rule("AD005", "mask-16-bit", Severity.ERROR, Fix.SAFE, on="ade")
def mask_bits(layout: AdeLayout) -> Iterator[Hit]:
    """A mask has 16 bits a pixel.

    The loader makes 8 bits of it: 256 becomes 0, 257 becomes 1, without a word. The fix writes 8 bits where no number
    is over 255 (65535, as ignored, becomes 255); where one is, there is none.
    """
    whole = ade_set(layout)
    for folder in whole.folders:
        for name, path, _, mode in _modes(folder):
            if sixteen_bit(mode):
                table = folder.regions.get(name)
                numbers = [] if table is None else table[:, 0].tolist()
                largest = max((number for number in numbers if number != 65535), default=0)
                small = table is not None and largest <= 255 and min(numbers, default=0) >= 0
                edits = [WriteFile(path, partial(_eight_bits, path), f"saved {name} with 8 bits")] if small else []
                yield Hit(
                    "the mask has 16 bits a pixel",
                    path,
                    expected="one channel of 8 bits",
                    found=f"{mode}, numbers up to {max(numbers, default=0)}",
                    edits=edits,
                )


def _eight_bits(path: Path) -> bytes:
    labels = decode_labels(path)
    return encode_png(np.where(labels == 65535, 255, labels).astype(np.uint8))


@rule("AD009", "mask-saved-as-jpeg", Severity.ERROR, on="ade")
def mask_is_jpeg(layout: AdeLayout) -> Iterator[Hit]:
    """A mask was saved as JPEG.

    JPEG changes numbers at every edge: a border between class 3 and class 90 is full of classes that are not there. The
    damage cannot be undone; make the masks anew, as PNG.
    """
    for folder in ade_set(layout).folders:
        for name, path, kind, _ in _modes(folder):
            if kind == "JPEG":
                yield Hit("the mask is a JPEG, which changes numbers", path, expected="PNG", found=f"JPEG in {name}")


@rule("AD011", "image-suffix-ignored-by-loader", Severity.ERROR, Fix.SAFE, on="ade")
def suffix_ignored(layout: AdeLayout) -> Iterator[Hit]:
    """A picture is not called `.jpg`, or a mask not `.png`: the loader does not see it.

    mmsegmentation's ADE20K data set takes `.jpg` and `.png`, in small letters, and nothing else: `.JPG`, `.jpeg` or
    `.png` pictures are left out without a word, and if all are, training stops on an empty data set.

    The fix renames the file. Pictures keep their content, for loaders go by that and not by the name; a mask that is
    not a PNG is written anew as one.
    """
    for folder in ade_set(layout).folders:
        stems: dict[str, int] = {}
        for name in folder.images:
            stem = str(PurePosixPath(name).with_suffix(""))
            stems[stem] = stems.get(stem, 0) + 1
        for name, text in folder.images.items():
            path, stem = Path(text), str(PurePosixPath(name).with_suffix(""))
            if path.suffix != ".jpg" and stems[stem] == 1:  # else IM008
                yield _unseen("picture", path, ".jpg", [RenameFile(path, path.with_suffix(".jpg"))], name)
        for name, path, kind, _ in _modes(folder):
            if path.suffix != ".png" and kind != "JPEG":  # else AD009
                target = path.with_suffix(".png")
                rename: list[Edit] = [RenameFile(path, target)]
                anew: list[Edit] = [WriteFile(target, partial(_as_png, path), f"saved {name} as PNG"), DeleteFile(path)]
                yield _unseen("mask", path, ".png", rename if kind == "PNG" else [] if target.exists() else anew, name)


def _unseen(what: str, path: Path, suffix: str, edits: list[Edit], name: str) -> Hit:
    return Hit(
        f"the loader does not see this {what}",
        path,
        image_name=name if what == "picture" else None,
        expected=f"a name that ends in {suffix}",
        found=path.suffix,
        edits=edits,
    )


def _as_png(path: Path) -> bytes:
    from PIL import Image

    labels = decode_labels(path)
    if labels.dtype == np.uint8:
        return encode_png(labels)
    import io

    out = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(out, format="PNG")
    return out.getvalue()


@rule("AD012", "too-many-classes-for-uint8", Severity.ERROR, on="ade")
def too_many_classes(layout: AdeLayout) -> Iterator[Hit]:
    """There are more than 254 classes.

    Masks have 8 bits: 0 is unlabelled, 255 ignored, so 254 classes fit. There is no fix: merge or leave out classes
    (`seg2knet convert ... --map old=new --drop name`).
    """
    top = ade_set(layout).top
    if top is not None and top > MOST_CLASSES:
        yield Hit(
            "there are more classes than 8-bit masks can hold",
            layout.object_info,
            expected=f"at most {MOST_CLASSES}",
            found=str(top),
        )
