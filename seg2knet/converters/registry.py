"""Formats by name: those of the package, and plug-ins by entry point."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Callable, TypeVar

from seg2knet.converters.base import Reader
from seg2knet.errors import UsageError

_READERS: dict[str, type[Reader]] = {}
R = TypeVar("R", bound=type[Reader])


def register_reader(kind: R) -> R:
    """Class decorator: makes ``seg2knet convert NAME`` of a ``Reader`` with that ``name``."""
    _READERS[kind.name] = kind
    return kind


def readers() -> dict[str, type[Reader]]:
    """All readers by name, the package's own first, then plug-ins (entry points of ``seg2knet.readers``)."""
    from seg2knet.converters import readers as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for plugin in _entry_points("seg2knet.readers"):
        register_reader(plugin())
    return dict(_READERS)


def reader(name: str) -> type[Reader]:
    """
    Raises:
        UsageError: no reader of that name.
    """
    known = readers()
    if name not in known:
        raise UsageError(f"no format is called {name!r}", expected=", ".join(known))
    return known[name]


def _entry_points(group: str) -> list[Callable[[], type[Reader]]]:
    found = entry_points()
    chosen = found.select(group=group) if hasattr(found, "select") else found.get(group, ())
    return [point.load for point in chosen]
