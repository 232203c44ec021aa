"""Entry points: objects that stand in packages' metadata under a group's name, ours and other packages' alike."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCE_TREE = Path(__file__).resolve().parents[1] / "pyproject.toml"


def load(group: str) -> dict[str, Any]:
    """The objects of a group (``seg2knet.stacks``) by name. In a source tree our own are read from its pyproject.toml,
    so that they are there without an installation."""
    installed = entry_points()
    points = installed.select(group=group) if hasattr(installed, "select") else installed.get(group, ())
    objects = {point.name: point.load() for point in [*points, *_of_the_source_tree(group)]}
    return dict(sorted(objects.items()))


def _of_the_source_tree(group: str) -> list[EntryPoint]:
    if not SOURCE_TREE.is_file():
        return []
    project = tomllib.loads(SOURCE_TREE.read_text(encoding="utf-8")).get("project", {})
    if project.get("name") != "seg2knet":
        return []
    return [EntryPoint(name, value, group) for name, value in project["entry-points"].get(group, {}).items()]
