"""mmdet's FPN with fewer feature maps at a time, and without its last convolution where the next one takes it over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seg2knet.knet.merging import Pending


def slim(neck: nn.Module) -> bool:
    """Let a plain FPN of four levels add up in place; names and parameters stay what they are.

    Args:
        neck: any; what is not a plain FPN is left as it is.

    Returns:
        whether it was one.
    """
    neck_: Any = neck
    plain = (
        type(neck).__name__ == "FPN"
        and len(neck_.lateral_convs) == len(neck_.fpn_convs) == neck_.num_outs
        and not any(conv.with_norm or conv.with_activation for conv in (*neck_.lateral_convs, *neck_.fpn_convs))
    )
    if plain:
        neck.forward = partial(_forward, neck)
    return plain


def unfinished(neck: nn.Module, inputs: Sequence[Tensor]) -> tuple[Pending | Tensor, ...]:
    """As ``neck(inputs)`` of a slim FPN, but P2's own convolution is left to whoever reads P2."""
    neck_: Any = neck
    first, *others = _sums(neck_, inputs)
    last = [conv(level) for conv, level in zip(neck_.fpn_convs[1:], others)]
    return (Pending(first, neck_.fpn_convs[0].conv), *last)


def _forward(neck: Any, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(conv(level) for conv, level in zip(neck.fpn_convs, _sums(neck, inputs)))


def _sums(neck: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Every level with all coarser ones added."""
    levels = [conv(inputs[i + neck.start_level]) for i, conv in enumerate(neck.lateral_convs)]
    for low, high in zip(levels[-2::-1], levels[:0:-1]):
        size = {} if "scale_factor" in neck.upsample_cfg else {"size": low.shape[2:]}
        low.add_(F.interpolate(high, **size, **neck.upsample_cfg))
    return levels
