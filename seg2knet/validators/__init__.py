"""Finds what is wrong with a data set, and mends it. ``validate`` is the way in; importing this costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg2knet.validators.engine import validate
    from seg2knet.validators.model import Finding, Fix, Report, Rule, Severity, all_rules

__all__ = ["Finding", "Fix", "Report", "Rule", "Severity", "all_rules", "validate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(
        import_module("seg2knet.validators.engine" if name == "validate" else "seg2knet.validators.model"), name
    )
