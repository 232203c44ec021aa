"""What became of everything that was read: the count that a conversion ends with, and that has to balance.

A ledger counts places without keeping them all, so that it stays small whatever the data set; ledgers of parts of a
data set are added up in the order of the scan, so that the first places named are the same for any number of workers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import msgspec

from seg2knet.dataset.sample import Note, Skip

PLACES = 5
"""Places kept for each reason."""


class Tally(msgspec.Struct, gc=False):
    """How often, and where first: ``(place, detail)``."""

    count: int = 0
    places: list[tuple[str, str]] = []

    def add(self, count: int, places: list[tuple[str, str]]) -> None:
        self.count += count
        self.places = (self.places + places)[:PLACES] if len(self.places) < PLACES else self.places


class Ledger(msgspec.Struct):
    """What was read, written and skipped."""

    images_read: int = 0
    images_written: int = 0  # the same for all targets
    objects_read: int = 0
    written: dict[str, int] = {}  # objects by target
    skips: dict[str, Tally] = {}  # objects lost to all targets, by reason
    asked: dict[str, Tally] = {}  # those that were to be left out
    target_skips: dict[str, dict[str, Tally]] = {}  # by target and reason: objects that one target cannot hold
    image_skips: dict[str, Tally] = {}  # images by reason
    notes: dict[str, Tally] = {}
    splits: dict[str, tuple[int, int]] = {}  # images and objects of each
    classes: dict[str, int] = {}  # objects of each

    def skip(self, skip: Skip, target: Optional[str] = None) -> None:
        """Count objects that one target does not get, or none does."""
        into = self.asked if skip.asked else self.skips
        into = into if target is None else self.target_skips.setdefault(target, {})
        into.setdefault(skip.reason, Tally()).add(skip.count, [(skip.place, skip.detail)])

    def skip_image(self, reason: str, place: str, detail: str = "") -> None:
        """Count an image that is not written; its objects are counted by ``skip``."""
        self.image_skips.setdefault(reason, Tally()).add(1, [(place, detail)])

    def lose_image(self, reason: str, place: str, detail: str, objects: int) -> None:
        """Count an image that is not written, and the objects on it."""
        self.skip_image(reason, place, detail)
        self.objects_read += objects
        if objects:
            self.skip(Skip(f"image-{reason}", place, objects, detail=detail))

    def note(self, *notes: Note) -> None:
        for note in notes:
            self.notes.setdefault(note.kind, Tally()).add(note.count, [(note.place, note.detail)])

    def add(self, other: Ledger) -> None:
        """Add the ledger of the part that follows: what was read, and lost before splits and names are known."""
        self.images_read += other.images_read
        self.objects_read += other.objects_read
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("skips", "asked", "image_skips", "notes")]
        pairs += [(self.target_skips.setdefault(target, {}), lost) for target, lost in other.target_skips.items()]
        for mine, theirs in pairs:
            for reason, tally in theirs.items():
                mine.setdefault(reason, Tally()).add(tally.count, tally.places)

    @property
    def unasked(self) -> int:
        """Objects and images that were lost though nobody asked for it."""
        of_targets = (item for reasons in self.target_skips.values() for item in reasons.items())
        lost = sum(tally.count for reason, tally in of_targets if reason not in ASKED_OF_TARGET)
        return total(self.skips) + total(self.image_skips) + lost

    def imbalance(self) -> Optional[str]:
        """Which sum does not come out, or ``None``."""
        if self.images_read != self.images_written + total(self.image_skips):
            return f"images: {self.images_read} != {self.images_written} + {total(self.image_skips)}"
        for target, count in self.written.items():
            lost = total(self.skips) + total(self.asked) + total(self.target_skips.get(target, {}))
            if self.objects_read != count + lost:
                return f"{target}: {self.objects_read} != {count} + {lost}"
        return None

    def to_json(self, root: str = "") -> dict[str, Any]:
        """As plain data in fixed order; ``root`` is cut off the places: the file does not tell where it was made."""
        return {
            "images": {
                "read": self.images_read,
                "written": self.images_written,
                "skipped": _listed(self.image_skips, root),
            },
            "objects": {
                "read": self.objects_read,
                "written": dict(sorted(self.written.items())),
                "skipped": _listed(self.skips, root),
                "skipped_as_asked": _listed(self.asked, root),
                "skipped_by_target": {
                    target: _listed(reasons, root) for target, reasons in sorted(self.target_skips.items())
                },
            },
            "balanced": self.imbalance() is None,
            "splits": {split: {"images": n, "objects": m} for split, (n, m) in self.splits.items()},
            "classes": self.classes,
            "notes": _listed(self.notes, root),
        }


ASKED_OF_TARGET = frozenset({"stuff-in-panoptic"})
"""Reasons for which a target leaves out what another target of the same run holds: no loss."""


def total(tallies: dict[str, Tally]) -> int:
    return sum(tally.count for tally in tallies.values())


def _listed(tallies: dict[str, Tally], root: str) -> list[dict[str, Any]]:
    def short(text: str) -> str:
        return text.replace(root + "/", "") if root and root != str(Path(root).anchor) else text

    def placed(place: str, detail: str) -> dict[str, str]:
        return {"place": short(place), **({"detail": short(detail)} if detail else {})}

    return [
        {"reason": reason, "count": tally.count, "first": [placed(*first) for first in tally.places]}
        for reason, tally in sorted(tallies.items())
    ]
