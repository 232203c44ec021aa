"""Formats by name: those of the package, and plug-ins by entry point."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Callable, Optional, TypeVar

from seg2knet.converters.base import Reader, Writer
from seg2knet.errors import UsageError

_READERS: dict[str, type[Reader]] = {}
_WRITERS: dict[str, type[Writer]] = {}
R = TypeVar("R", bound=type[Reader])
W = TypeVar("W", bound=type[Writer])


def register_reader(kind: R) -> R:
    """Class decorator: makes ``seg2knet convert NAME`` of a ``Reader`` with that ``name``."""
    _READERS[kind.name] = kind
    return kind


def register_writer(kind: W) -> W:
    """Class decorator: makes ``--to NAME`` of a ``Writer`` with that ``name``."""
    _WRITERS[kind.name] = kind
    return kind


def readers() -> dict[str, type[Reader]]:
    """All readers by name, the package's own first, then plug-ins (entry points of ``seg2knet.readers``)."""
    _import_all("seg2knet.converters.readers")
    for plugin in _entry_points("seg2knet.readers"):
        register_reader(plugin())
    return dict(_READERS)


def writers() -> dict[str, type[Writer]]:
    """All writers by name, the package's own first, then plug-ins (entry points of ``seg2knet.writers``)."""
    _import_all("seg2knet.converters.writers")
    for plugin in _entry_points("seg2knet.writers"):
        register_writer(plugin())
    return dict(_WRITERS)


def reader(name: str) -> type[Reader]:
    """
    Raises:
        UsageError: no reader of that name.
    """
    kind = _named(name, _READERS, "seg2knet.converters.readers") or readers().get(name)
    if kind is None:
        raise UsageError(f"no format is called {name!r}", expected=", ".join(sorted(readers())))
    return kind


def writer(name: str) -> type[Writer]:
    """
    Raises:
        UsageError: no writer of that name.
    """
    kind = _named(name, _WRITERS, "seg2knet.converters.writers") or writers().get(name)
    if kind is None:
        raise UsageError(f"no target is called {name!r}", expected=", ".join(writers()))
    return kind


K = TypeVar("K")


def _named(name: str, known: dict[str, type[K]], package: str) -> Optional[type[K]]:
    """One of the package's own, without importing the others: its module has its name."""
    if name not in known and name.isidentifier() and find_spec(f"{package}.{name}") is not None:
        _import(f"{package}.{name}")
    return known.get(name)


def _import_all(package: str) -> None:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        _import(f"{package}.{module.name}")


def _import(module: str) -> None:
    """A format is a module, or a folder whose ``reader.py`` registers it."""
    importlib.import_module(f"{module}.reader" if _is_folder(module) else module)


def _is_folder(module: str) -> bool:
    spec = find_spec(module)
    return (
        spec is not None and spec.submodule_search_locations is not None and find_spec(f"{module}.reader") is not None
    )


def _entry_points(group: str) -> list[Callable[[], Any]]:
    found = entry_points()
    chosen = found.select(group=group) if hasattr(found, "select") else found.get(group, ())
    return [point.load for point in chosen]
