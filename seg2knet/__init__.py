"""seg2knet: from annotated images to a trained K-Net.

Importing it costs nothing: what a call needs is imported by the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seg2knet._version import __version__

if TYPE_CHECKING:
    from seg2knet.converters.api import convert
    from seg2knet.trainer.api import evaluate, load, predict, train
    from seg2knet.trainer.evaluate.audit import audit
    from seg2knet.trainer.evaluate.judging import compare
    from seg2knet.validators.engine import validate

__all__ = ["__version__", "audit", "compare", "convert", "evaluate", "load", "predict", "train", "validate"]

_API = {
    "convert": "seg2knet.converters.api",
    "validate": "seg2knet.validators.engine",
    "train": "seg2knet.trainer.api",
    "evaluate": "seg2knet.trainer.api",
    "predict": "seg2knet.trainer.api",
    "load": "seg2knet.trainer.api",
    "compare": "seg2knet.trainer.evaluate.judging",
    "audit": "seg2knet.trainer.evaluate.audit",
}
"""Name -> module: imported when asked for."""


def __getattr__(name: str) -> Any:
    if name in _API:
        from importlib import import_module

        return getattr(import_module(_API[name]), name)
    from difflib import get_close_matches

    near = get_close_matches(name, _API, n=1)
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
