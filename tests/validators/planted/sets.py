"""The clean sets and their defects."""

from __future__ import annotations

from pathlib import Path

import small_sets
from ade_cases import ADE
from coco_cases import COCO
from image_cases import COCO_IMAGES
from panoptic_cases import PANOPTIC_CASES
from planting import Case
from shapes_set import folder_set

CASES: dict[str, list[Case]] = {"coco": [*COCO, *COCO_IMAGES], "panoptic": PANOPTIC_CASES, "ade": ADE}


def clean_set(layout: str, root: Path) -> Path:
    """A set without a finding, made in ``root``."""
    if layout == "coco":
        folder_set(root)
        return root
    return {"panoptic": small_sets.coco, "ade": small_sets.ade}[layout](root)
