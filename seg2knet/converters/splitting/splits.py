"""What splits are called, how large they shall be, and what of a name makes a group (``--split``, ``--group-by``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Callable, Optional, Union

from seg2knet.dataset.layout import SPLITS
from seg2knet.errors import UsageError

_ALIASES = {
    "train": "train", "training": "train", "trainset": "train", "trainingset": "train", "train2017": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val", "validationset": "val", "val2017": "val",
    "dev": "val", "test": "test", "testing": "test", "testset": "test", "test2017": "test",
}  # fmt: skip


def canonical(name: Optional[str]) -> Optional[str]:
    """``train``, ``val`` or ``test`` for the many names that people give them, ``None`` for any other."""
    return _ALIASES.get(name.strip().lower()) if name else None


def parse_ratios(given: Union[str, Mapping[str, float]]) -> dict[str, float]:
    """Shares that sum to 1 from ``0.8/0.1/0.1`` (train, val, test), ``80/20``, ``train=0.9,test=0.1`` or ``train``, or
    from shares by name.

    Raises UsageError: it is none of these.
    """
    hint = None
    try:
        pairs = _pairs(given) if isinstance(given, str) else list(given.items())
        shares = {name.strip(): float(number) for name, number in pairs}
        total = sum(shares.values())
        right = set(shares) <= set(SPLITS) and min(shares.values()) >= 0
        if right and 0 < total < float("inf"):
            if abs(total - 1) < 0.011 or abs(total - 100) < 1.1:
                return {name: share / total for name, share in shares.items() if share > 0}
            hint = f"the shares sum to {total:g}, not to 1"
    except ValueError:
        pass
    expected = "0.8/0.1/0.1 (train, val, test), 0.8/0.2, train=0.9,test=0.1, or train"
    raise UsageError("not a split", found=f"--split {given}", expected=expected, hint=hint)


def _pairs(text: str) -> list[Sequence[str]]:
    """The splits and shares that a text names; more shares than splits are of a split that there is not."""
    if text in SPLITS:
        return [(text, "1")]
    if "=" in text:
        return [part.split("=") for part in re.split("[,/]", text)]
    return list(zip((*SPLITS, "more"), re.split("[/,:]", text)))


def group_key(rule: str) -> Callable[[str], Optional[str]]:
    """What ``--group-by`` says of an image's name: its group, ``None`` where it is a group of its own. The rule is
    ``folder``, or a regular expression whose first group (else whole match) names the group.

    Raises UsageError: not a regular expression.
    """
    if rule == "folder":
        return lambda name: name.rpartition("/")[0]
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UsageError("not a regular expression", found=f"--group-by {rule}: {error}") from None

    def key(name: str) -> Optional[str]:
        match = pattern.search(name)
        return (match.group(1) if pattern.groups else match.group(0)) if match else None

    return key


def part_sizes(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of ``count`` each part gets: rounded by largest remainder, none empty while there are enough."""
    sizes = {name: int(count * share) for name, share in shares.items()}
    by_rest = sorted(shares, key=lambda name: (sizes[name] - count * shares[name], list(shares).index(name)))
    for name in by_rest[: count - sum(sizes.values())]:
        sizes[name] += 1
    for name in shares:
        largest = max(sizes, key=lambda other: sizes[other])
        if sizes[name] == 0 and sizes[largest] > 1:
            sizes[name] += 1
            sizes[largest] -= 1
    return sizes
