"""The rules, a module or more a family. Importing this package registers them all, and those of the family ML."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
importlib.import_module("seg2knet.validators.suspicions")
