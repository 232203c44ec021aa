"""Contact sheets: some labelled images of each split. ``convert`` leaves one beside the data, ``stats`` draws one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from seg2knet.converters.base import Handle, Reader
from seg2knet.converters.detection import detect
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.registry import reader as reader_of
from seg2knet.converters.transforms import prepare
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.drawing import contact_sheet
from seg2knet.dataset.layout import SPLITS
from seg2knet.dataset.sample import Sample
from seg2knet.errors import DataError

Places = Mapping[str, Sequence[tuple[Reader, Handle]]]
"""By split: where images are."""
_MOST = 16
"""Images of a split."""


def of_images(places: Places, options: ConvertOptions, classes: Optional[ClassList] = None) -> Optional[bytes]:
    """The sheet as JPEG, of images of each split from the first to the last; ``None`` where none can be shown."""
    samples: dict[str, list[Sample]] = {}
    for split, found in places.items():
        spread = [found[index * len(found) // _MOST] for index in range(_MOST)] if len(found) > _MOST else found
        for reader, handle in spread:
            with contextlib.suppress(DataError):
                samples.setdefault(split, []).append(prepare(reader.read(handle), options).sample)
    labels = {item.label for split in samples.values() for sample in split for item in sample.objects}
    return contact_sheet(samples, classes or ClassList.of(sorted(labels)))


def of_folder(folder: Path) -> bytes:
    """The sheet of a data set. Raises DataError: it is none, or has no image that can be shown."""
    reader = reader_of(detect([folder])[0])(folder)
    scan = reader.scan()
    places: dict[str, list[tuple[Reader, Handle]]] = {split: [] for split in SPLITS}
    for handle in scan.handles:
        places.setdefault(handle.split or folder.name, []).append((reader, handle))
    sheet = of_images(places, ConvertOptions(), scan.classes)
    if sheet is None:
        raise DataError("no image to show", file=folder, hint="the images must stand where the annotations name them")
    return sheet
