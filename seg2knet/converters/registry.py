"""Formats by name: those of the package, and plug-ins by entry point."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec
from typing import Generic, TypeVar

from seg2knet import plugins
from seg2knet.converters.base import Reader, Writer
from seg2knet.errors import UsageError

K = TypeVar("K", type[Reader], type[Writer])
Own = TypeVar("Own", bound=type)


class _Registry(Generic[K]):
    """Classes by name: those of a package, whose modules are named as the formats they hold (one in a folder is in its
    ``reader.py``), and plug-ins by a group of entry points; ``noun`` is what one is called in errors.
    """

    def __init__(self, group: str, package: str, noun: str) -> None:
        self.group = group
        self.package = package
        self.noun = noun
        self.kinds: dict[str, K] = {}

    def all(self) -> dict[str, K]:
        """The package's own first, then plug-ins."""
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            self._import(module.name)
        self.kinds.update((kind.name, kind) for kind in plugins.load(self.group).values())
        return dict(self.kinds)

    def one(self, name: str) -> K:
        """Raises UsageError: there is none of that name."""
        if name not in self.kinds and name.isidentifier() and find_spec(f"{self.package}.{name}") is not None:
            self._import(name)  # one of the package's own, without importing the others
        kind = self.kinds.get(name) or self.all().get(name)
        if kind is None:
            raise UsageError(f"no {self.noun} is called {name!r}", expected=", ".join(sorted(self.all())))
        return kind

    def register(self, kind: Own) -> Own:
        """Class decorator: makes ``seg2knet convert NAME`` of a ``Reader`` with that ``name``, ``--to`` of a writer."""
        self.kinds[kind.name] = kind  # type: ignore[attr-defined]
        return kind

    def _import(self, name: str) -> None:
        module = importlib.import_module(f"{self.package}.{name}")
        if hasattr(module, "__path__") and find_spec(f"{module.__name__}.reader"):
            importlib.import_module(f"{module.__name__}.reader")


_READERS: _Registry[type[Reader]] = _Registry("seg2knet.readers", "seg2knet.converters.readers", "format")
_WRITERS: _Registry[type[Writer]] = _Registry("seg2knet.writers", "seg2knet.converters.writers", "target")
readers, reader, register_reader = _READERS.all, _READERS.one, _READERS.register
writers, writer, register_writer = _WRITERS.all, _WRITERS.one, _WRITERS.register
