"""Weights in the names of the authors' release, for their own code."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from seg2knet.errors import DataError
from seg2knet.knet import checkpoints

KERNELS = "rpn_head.init_kernels.weight"


def export(checkpoint: Union[str, Path], out: Path) -> int:
    """Write a K-Net of the current stack as mmcv 1.x has it: ``state_dict`` in the released names, ``meta.CLASSES``.

    Returns how many tensors were written.

    Raises DataError: the checkpoint cannot be read, or is of another model.
    """
    import torch

    content = checkpoints.read(checkpoint)
    state = checkpoints.to_released(content["state_dict"])
    if KERNELS not in state:
        raise DataError(
            "only K-Net for instance and panoptic segmentation has released names", file=checkpoint,
            found=f"tensors such as {next(iter(content['state_dict']), 'none')}",
        )  # fmt: skip
    classes = ((content.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {"CLASSES": tuple(classes) if classes else None}, "state_dict": state}, out)
    return len(state)
