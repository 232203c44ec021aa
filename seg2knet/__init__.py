"""seg2knet: from annotated images to a trained K-Net.

Importing it costs nothing: what a call needs is imported by the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seg2knet._version import __version__

if TYPE_CHECKING:
    from seg2knet.converters.api import convert
    from seg2knet.trainer.api import evaluate, predict, train
    from seg2knet.validators.engine import validate

__all__ = ["__version__", "convert", "evaluate", "predict", "train", "validate"]

_API = {
    "convert": "seg2knet.converters.api",
    "train": "seg2knet.trainer.api",
    "evaluate": "seg2knet.trainer.api",
    "predict": "seg2knet.trainer.api",
    "validate": "seg2knet.validators.engine",
}
"""Name -> module: imported when asked for, so that importing the package costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_API[name]), name)
