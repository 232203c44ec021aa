"""Parts of the network whose results are worked out anew for backward instead of being kept until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[[Tensor], Any], x: Tensor) -> Any:
    """``function(x)``; of what happens within it nothing but `x` is kept.

    Args:
        function: draws no random numbers.
        x: the only thing that its result depends on beside parameters.
    """
    if not torch.is_grad_enabled():
        return function(x)
    return checkpoint(function, x, use_reentrant=False, preserve_rng_state=False)
