"""Cityscapes' numbers, which KITTI shares (https://github.com/mcordts/cityscapesScripts, helpers/labels.py: the names
and numbers alone).
"""

from __future__ import annotations

from seg2knet.converters.readers.common.labelmap import Labelmap

_NAMES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
_FIRST_THING = 24

LABELMAP = Labelmap(
    names={number: name for number, name in enumerate(_NAMES) if number},
    void=frozenset({0}),
    things={number: number >= _FIRST_THING for number in range(1, len(_NAMES))},
)
