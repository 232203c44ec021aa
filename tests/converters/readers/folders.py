"""What tests of readers share: images and masks on disk, a source read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image as pillow

from seg2knet.converters.base import Reader, Scan
from seg2knet.converters.readers.voc.folders import palette
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Sample

VOC_PALETTE = [color >> shift & 255 for color in palette() for shift in (0, 8, 16)]


def picture(path: Path, width: int = 8, height: int = 6, orientation: int = 1) -> Path:
    """A grey image; ``width`` and ``height`` as stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = pillow.new("RGB", (width, height), (90, 120, 150))
    exif = pillow.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    drawn.save(path, exif=exif)
    return path


def mask(path: Path, labels: Any, colors: Optional[list[int]] = None) -> Path:
    """A mask image of these numbers or colours, in palette mode where a palette is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(labels)
    image = pillow.fromarray(array)
    if colors is not None:
        image = pillow.frombytes("P", image.size, array.astype(np.uint8).tobytes())
        image.putpalette(colors)
    image.save(path)
    return path


def read(reader: Reader) -> dict[str, Sample]:
    """All samples by ``split:name``, or by name where there is no split."""
    found: dict[str, Sample] = {}
    for handle in reader.scan().handles:
        sample = reader.read(handle)
        key = f"{sample.split}:{sample.image.name}" if sample.split else sample.image.name
        assert key not in found
        found[key] = sample
    return found


def one(reader: Reader) -> Sample:
    (sample,) = read(reader).values()
    return sample


def masks(sample: Sample) -> list[np.ndarray]:
    """``(H, W)`` bool, one an object."""
    height, width = sample.image.height, sample.image.width
    return [rle_to_mask(geometry.shape_to_rle(found.shape, height, width)) for found in sample.objects]


def labels(sample: Sample) -> list[str]:
    return [found.label for found in sample.objects]


def reasons(sample: Sample | Scan) -> list[str]:
    return [skip.reason for skip in sample.skips]


def kinds(sample: Sample | Scan) -> list[str]:
    return [note.kind for note in sample.notes]
