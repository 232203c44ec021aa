"""Finds what is wrong with a data set and repairs it. ``validate`` is the way in; importing this costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg2knet.validators.engine import validate
    from seg2knet.validators.model import Finding, Fix, Rule, Severity, all_rules
    from seg2knet.validators.report import Report

__all__ = ["Finding", "Fix", "Report", "Rule", "Severity", "all_rules", "validate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = {"validate": "engine", "Report": "report"}.get(name, "model")
    return getattr(import_module(f"seg2knet.validators.{module}"), name)
