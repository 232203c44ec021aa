"""``KEY=VALUE`` on the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from seg2knet.errors import UsageError


def key_values(pairs: Iterable[str], option: str) -> dict[str, Any]:
    """``["a.b=3", "c=x"]`` as ``{"a.b": 3, "c": "x"}``: values are Python literals, else text.

    Raises:
        UsageError: one has no ``=``.
    """
    found = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{option} takes KEY=VALUE", found=pair, expected="model.num_kernels=50")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = {"true": True, "false": False, "none": None}.get(value.lower(), value)
    return found
