"""Which mask belongs to which image, from nothing but their paths.

A path is read as words: a folder such as ``images`` or ``masks``, a prefix or suffix such as ``_img`` or ``gt_`` says
what a file is; what is left (``train/berlin``, ``000019``) is its key. An image and a mask of one key are a pair.
Masks of several kinds (``instances`` and ``labels``, ``v1.2`` and ``v2.0``) are told apart by the folders and suffixes
that made them masks.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Optional

import msgspec

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.text import natural

_IMAGE_FOLDERS = (
    "images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "rgb", "photos", "pictures", "inputs", "input",
    "image_2",
)  # fmt: skip
_MASK_FOLDERS = (
    "segmentationclassraw", "segmentationclassaug", "segmentationclass", "segmentationobject", "ground_truth",
    "groundtruth", "segmentations", "segmentation", "semantic_rgb", "semantic_maps", "semantics", "semantic",
    "annotations", "annotation", "annots", "annot", "instances", "instance", "instance_maps", "labels", "label",
    "masks", "mask", "classes", "gtfine", "gtcoarse", "gts", "gt", "panoptic", "seg",
)  # fmt: skip
_SPLITS = ("train", "val", "valid", "validation", "test", "training", "testing")
_IMAGE_ENDS = ("_leftimg8bit", "_image", "_img", "-image", "-img", "_rgb")
_IMAGE_STARTS = ("image_", "image-", "img_", "img-")
_MASK_ENDS = (
    "_gtfine_instanceids", "_gtfine_labeltrainids", "_gtfine_labelids", "_gtfine_color", "_gtcoarse_instanceids",
    "_gtcoarse_labelids", "_gtcoarse_color", "_instanceids", "_labelids", "_labeltrainids", "_color_mask",
    "_segmentation", "_annotation", "_instances", "_instance", "_labels", "_label", "_masks", "_mask", "-mask", "_gt",
    "-gt", "_seg", "_l",
)  # fmt: skip
_MASK_WORD = re.compile("mask|label|seg|annot|truth|gt", re.IGNORECASE)
_MASK_STARTS = ("gt_", "gt-", "mask_", "mask-", "masks_", "label_", "seg_")
_AFFIX = {
    role: re.compile(f"(.+?)({'|'.join(ends)})$|({'|'.join(starts)})(.+)$", re.IGNORECASE | re.DOTALL)
    for role, ends, starts in (("mask", _MASK_ENDS, _MASK_STARTS), ("image", _IMAGE_ENDS, _IMAGE_STARTS))
}


class Mask(msgspec.Struct, frozen=True, gc=False):
    """A mask file: what kind of mask it is (``gtfine/_gtfine_instanceids``) and where."""

    kind: str
    path: str


class Pair(msgspec.Struct, gc=False):
    """An image with its masks; paths relative to the source."""

    image: str
    masks: list[Mask] = []


class Pairing(msgspec.Struct):
    """Images that have a mask, in natural order; ``bare`` images that have none; ``loose`` masks without an image."""

    pairs: list[Pair]
    bare: list[str]
    loose: list[str]
    images_there: bool = True


class _Parsed(msgspec.Struct, gc=False):
    """A path as words: its folders without those that say what it is, its stem, its stem without affixes."""

    path: str
    role: Optional[str]
    folders: tuple[str, ...]
    stem: str
    bare: str
    kind: str


def pair(paths: Iterable[str], images: Optional[str] = None, masks: Sequence[str] = ()) -> Pairing:
    """Pair files by their paths, all relative to one folder: by the folders of ``images`` and of ``masks`` (each a kind
    of its own), or by the words in the paths where these are not given."""
    paths = sorted(paths, key=natural)
    parsed = [_parse(path, images, masks) for path in paths]
    if images is None and not any(one.role == "image" for one in parsed):
        parsed = [_as_image(one) if one.role is None else one for one in parsed]
    if not {"image", "mask"} <= {one.role for one in parsed}:
        parsed = _by_affix(parsed)
    if images is None and not masks and not any(one.role == "mask" for one in parsed):
        folders = _two_folders(parsed)
        if folders is not None:
            return pair(paths, folders[0], [folders[1]])
    return _matched([one for one in parsed if one.role == "image"], [one for one in parsed if one.role == "mask"])


def _parse(path: str, images: Optional[str], masks: Sequence[str]) -> _Parsed:
    for folder, role in [*((folder, "mask") for folder in masks), (images, "image")]:
        if folder is not None and (folder == "." or path.startswith(folder + "/")):
            *inner, file = (path if folder == "." else path[len(folder) + 1 :]).split("/")
            stem = posixpath.splitext(file)[0]
            return _Parsed(path, role, tuple(inner), stem, without_affix(stem, role)[0], folder)
    parsed = _by_words(path)
    if (masks and parsed.role == "mask") or (images is not None and parsed.role != "mask"):
        return msgspec.structs.replace(parsed, role="other")
    return parsed


def _by_words(path: str) -> _Parsed:
    *folders, file = path.split("/")
    role, kinds, neutral = None, [], []
    for folder in folders:
        said, word, rest = _folder_role(folder)
        if said is not None and (role is None or said == role or said == "mask"):
            role = said
            kinds.append(word)
            neutral.append(rest)
        else:
            neutral.append(folder)
    stem = posixpath.splitext(file)[0]
    bare, affix = without_affix(stem, role)
    return _Parsed(path, role, tuple(filter(None, neutral)), stem, bare, "/".join(filter(None, [*kinds, affix])))


@lru_cache(maxsize=65536)
def _folder_role(folder: str) -> tuple[Optional[str], str, str]:
    """What a folder's name says, by which word, and what is left of it: ``trainannot`` is masks of ``train``."""
    low = folder.lower()
    for role, words in (("image", _IMAGE_FOLDERS), ("mask", _MASK_FOLDERS)):
        if low in words:
            return role, folder, ""
        for word in words:
            for rest in (low.removesuffix(word), low.removeprefix(word)):
                if rest != low and rest.strip("-_ ") in _SPLITS:
                    return role, word, rest.strip("-_ ")
    return None, "", ""


def left_of(folder: str) -> Optional[str]:
    """What a folder's name says beside what its files are: ``None`` for ``images``, ``train`` for ``trainannot``."""
    role, _, rest = _folder_role(folder)
    return folder if role is None else rest or None


def without_affix(stem: str, role: Optional[str]) -> tuple[str, str]:
    """A stem without the affix that says what its file is, and the affix."""
    for kind in ("mask", "image"):
        match = _AFFIX[kind].match(stem) if role in (kind, None) else None
        if match:
            return match[1] or match[4], (match[2] or match[3]).lower()
    return stem, ""


def _as_image(one: _Parsed) -> _Parsed:
    return msgspec.structs.replace(one, role="image", bare=without_affix(one.stem, "image")[0])


def _by_affix(parsed: Sequence[_Parsed]) -> list[_Parsed]:
    """Roles of files in one folder: a mask's affix makes a mask where an image of the bare name stands beside it."""
    stems = {(one.folders, stem) for one in parsed for stem in (one.stem, without_affix(one.stem, "image")[0])}
    result = []
    for one in parsed:
        bare, affix = without_affix(one.stem, "mask")
        is_mask = affix and (one.folders, bare) in stems
        result.append(msgspec.structs.replace(one, role="mask", bare=bare, kind=affix) if is_mask else _as_image(one))
    return result


def _two_folders(parsed: Sequence[_Parsed]) -> Optional[tuple[str, str]]:
    """Two folders of nearly equal stems, of images and of masks: these are PNGs, or the name has a word for masks."""
    folders = grouped((posixpath.dirname(one.path) or ".", one) for one in parsed)
    for two in combinations(folders, 2):
        stems, more = ({without_affix(one.stem, "mask")[0] for one in folders[folder]} for folder in two)
        if len(stems & more) < 0.9 * max(len(stems), len(more)):
            continue
        masks = [folder for folder in two if _MASK_WORD.search(posixpath.basename(folder))]
        if len(masks) != 1:
            masks = [folder for folder in two if all(one.path.endswith(".png") for one in folders[folder])]
        if len(masks) == 1:
            return two[masks[0] == two[0]], masks[0]
    return None


def _matched(images: Sequence[_Parsed], masks: Sequence[_Parsed]) -> Pairing:
    pairs = {one.path: Pair(one.path) for one in images}
    table = _Images(images)
    loose = []
    for mask in masks:
        image, extra = table.of(mask) or (None, ())
        if image is None:
            loose.append(mask.path)
        else:
            pairs[image].masks.append(Mask("/".join(filter(None, [*extra, mask.kind])), mask.path))
    bare = [path for path, one in pairs.items() if not one.masks]
    return Pairing([one for one in pairs.values() if one.masks], bare, loose)


class _Images:
    """Images by folder and name: the file's, its stem, its stem without affixes."""

    def __init__(self, images: Sequence[_Parsed]) -> None:
        self.folders = {folder for one in images for folder in one.folders}
        self.table: dict[tuple[tuple[str, ...], str, str], list[str]] = {}
        for one in images:
            for kind, name in (("file", posixpath.basename(one.path)), ("stem", one.stem), ("bare", one.bare)):
                self.table.setdefault((one.folders, kind, name), []).append(one.path)

    def of(self, mask: _Parsed) -> Optional[tuple[str, tuple[str, ...]]]:
        """The image of a mask, and those of its folders that no image has; ``None`` where there is not one."""
        common, extra = (tuple(one for one in mask.folders if (one in self.folders) is own) for own in (True, False))
        file, stripped = posixpath.basename(mask.path), without_affix(mask.bare, "image")[0]
        # Of a.jpg and a.png, a.png has the mask a.png; a.jpg.png is the mask of a.jpg.
        kinds = ("stem", "stem", "bare", "file", "file", "bare")
        names = (mask.stem, mask.bare, mask.bare, file, mask.stem, stripped)
        for folders, left in ((mask.folders, ()), (common, extra)):
            image = next(filter(None, (self._only(folders, *name) for name in zip(kinds, names))), None)
            if image is not None:
                return image, left
        # One mask an object, in a folder of the image's name.
        for index in range(len(mask.folders) - 1, -1, -1):
            inner, left = mask.folders[index], mask.folders[index + 1 :]
            outer = tuple(folder for folder in mask.folders[:index] if folder in self.folders)
            image = self._only(outer, "stem", inner) or self._only((*outer, inner), "stem", inner)
            if image is not None:
                return image, left
        # One mask an object, beginning with the image's stem: street_car_1 is of street.
        for match in reversed(list(re.finditer("[-_. ]", mask.stem))):
            image = self._only(common, "stem", mask.stem[: match.start()])
            if image is not None:
                return image, (*extra, mask.stem[match.start() :])
        return None

    def _only(self, folders: tuple[str, ...], kind: str, name: str) -> Optional[str]:
        images = self.table.get((folders, kind, name), ())
        return images[0] if len(images) == 1 else None
