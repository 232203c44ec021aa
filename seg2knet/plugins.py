"""Entry points: objects that stand in packages' metadata under a group's name, ours and other packages' alike."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

OURS = [EntryPoint("classic", "seg2knet.trainer.classic", "seg2knet.stacks")]
"""This package's own, which are there without an installation too."""


def load(group: str) -> dict[str, Any]:
    """The objects of a group (``seg2knet.stacks``) by name."""
    installed = entry_points()
    points = installed.select(group=group) if hasattr(installed, "select") else installed.get(group, ())
    objects = {point.name: point.load() for point in [*points, *(own for own in OURS if own.group == group)]}
    return dict(sorted(objects.items()))
