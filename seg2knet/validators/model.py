"""What a rule is, what it finds, how it is fixed: the words that engine, rules, fixes and reports have in common.

A rule's code, name, severity, kind of fix and explanation stand with the function that checks; the command
``seg2knet rule``, the page of rules and SARIF's list of rules are made from them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import cleandoc
from pathlib import Path
from typing import Any, Callable, Optional, Union


class Severity(str, enum.Enum):
    """How bad a finding is. Errors break or falsify training; warnings likely do harm; infos are worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Fix(str, enum.Enum):
    """What can be done about a finding: a safe fix loses nothing, an unsafe one removes or guesses."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    NONE = "none"


@dataclass(frozen=True)
class SetValue:
    """Put ``value`` (anything JSON can say) at ``pointer`` (RFC 6901), replacing what is there or adding the key."""

    file: Path
    pointer: str
    value: Any


@dataclass(frozen=True)
class Remove:
    """Take the key or array element at ``pointer`` out of a JSON file."""

    file: Path
    pointer: str


@dataclass(frozen=True)
class WriteFile:
    """Replace a file by what ``make()`` returns (called when the fix is applied); ``what`` says it in a few words.

    ``new``: there is no such file yet; where one stands the fix is left out.
    """

    file: Path
    make: Callable[[], bytes]
    what: str
    new: bool = False


@dataclass(frozen=True)
class ReplaceText:
    """Put ``text`` in place of the bytes from ``start`` to ``end`` of a text file."""

    file: Path
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class RenameFile:
    """Give a file another name; an existing file of that name is never overwritten (the fix is then left out)."""

    file: Path
    to: Path


@dataclass(frozen=True)
class DeleteFile:
    """Remove a file; it is kept beside as ``.bak`` unless backups are off."""

    file: Path


Edit = Union[SetValue, Remove, ReplaceText, WriteFile, RenameFile, DeleteFile]
Edits = Union[Sequence[Edit], Callable[[], Sequence[Edit]]]


@dataclass(frozen=True)
class Hit:
    """What a rule's function yields: one thing that is wrong, and where."""

    message: str  # what is wrong, one sentence without a full stop; it may name the harm
    file: Path
    pointer: str = ""  # where in the file, as JSON pointer; empty for the file as a whole
    image_id: Any = None
    image_name: Optional[str] = None
    annotation_id: Any = None  # the annotation (panoptic: the segment) it concerns
    # what should be there (or a function that says so when asked) and what is
    expected: Union[str, Callable[[], Optional[str]], None] = None
    found: Optional[str] = None
    edits: Edits = ()  # what would fix it, or a function that says so when asked; empty for no fix
    fix: Optional[Fix] = None  # the kind of this hit's fix where it differs from the rule's


Check = Callable[[Any], Iterable[Hit]]


@dataclass(frozen=True)
class Rule:
    code: str  # family and number, ``CI034``; never reused. name: kebab-case.
    name: str
    # of its findings; a single finding may offer less
    severity: Severity
    fix: Fix
    # what the function ``check`` is called with, of ``SUBJECTS``; nothing for rules that other commands apply
    on: tuple[str, ...]
    check: Check

    @cached_property
    def explanation(self) -> str:
        """The function's docstring, Markdown: the first line says what is wrong, the rest why it matters."""
        return cleandoc(self.check.__doc__ or "")

    @property
    def summary(self) -> str:
        return self.explanation.split("\n", 1)[0]

    @property
    def family(self) -> str:
        return self.code[:2]


SUBJECTS = ("instances", "panoptic", "pngs", "part", "ade", "dataset")
"""What a rule can look at: an instance file (``CocoFile``), a panoptic file (``PanopticFile``) or its PNGs (``Pngs``),
one split with its images (``Part``), an ADE folder (``AdeSet``), the whole (``DataSet``). See ``data.py``."""

FAMILIES = {
    "CI": "COCO instance",
    "IM": "Images",
    "CP": "COCO panoptic",
    "AD": "ADE layout",
    "SP": "Splits",
    "KN": "Ready for K-Net",
    "ML": "Labels that look wrong to a model",
}

_RULES: dict[str, Rule] = {}


def rule(
    code: str, name: str, severity: Severity, fix: Fix = Fix.NONE, *, on: Union[str, tuple[str, ...]]
) -> Callable[[Check], Check]:
    """Make a function a rule. It takes the subject named by ``on`` and yields a ``Hit`` for each thing wrong."""
    subjects = (on,) if isinstance(on, str) else on

    def register(check: Check) -> Check:
        if code in _RULES and _RULES[code].check.__module__ != check.__module__:
            raise ValueError(f"two rules have the code {code}")
        if code[:2] not in FAMILIES or not set(subjects) <= set(SUBJECTS) or not check.__doc__:
            raise ValueError(f"{code}: unknown family or subject, or no explanation")
        _RULES[code] = Rule(code, name, severity, fix, subjects, check)
        return check

    return register


def all_rules() -> dict[str, Rule]:
    """Every rule by code, in the order of the families and their numbers."""
    import seg2knet.validators.rules  # noqa: F401  # importing the families registers their rules

    order = {family: place for place, family in enumerate(FAMILIES)}
    return {code: _RULES[code] for code in sorted(_RULES, key=lambda code: (order[code[:2]], code))}


@dataclass(frozen=True)
class Finding:
    """A rule's hit, ready to be reported. ``path`` is the file on disk and ``file`` how it is shown: relative to the
    data set, with forward slashes; ``known`` says that it stands in the baseline."""

    rule: Rule
    hit: Hit
    file: str
    fix: Fix
    known: bool = False

    code = property(lambda self: self.rule.code)
    name = property(lambda self: self.rule.name)
    severity = property(lambda self: self.rule.severity)
    path = property(lambda self: self.hit.file)
    pointer = property(lambda self: self.hit.pointer)
    image_id = property(lambda self: self.hit.image_id)
    image_name = property(lambda self: self.hit.image_name)
    annotation_id = property(lambda self: self.hit.annotation_id)
    message = property(lambda self: self.hit.message)
    found = property(lambda self: self.hit.found)

    @property
    def expected(self) -> Optional[str]:
        expected = self.hit.expected
        return expected() if callable(expected) else expected

    @property
    def place(self) -> str:
        """``annotation 42 (image 7 'a/x.jpg')``, as far as it is known; else the pointer."""
        words = [] if self.image_id is None else [str(self.image_id)]
        words += [] if self.image_name is None else [repr(self.image_name)]
        image = " ".join(["image", *words]) if words else ""
        if self.annotation_id is None and not self.pointer.startswith("/annotations/"):
            return image or self.pointer
        # An annotation that has no id is named by its place in the file.
        what = self.pointer if self.annotation_id is None else f"annotation {self.annotation_id}"
        return f"{what} ({image})" if image else what

    def facts(self) -> str:
        """``expected 3, found 4``, as far as they are known."""
        facts = (("expected", self.expected), ("found", self.found))
        return ", ".join(f"{word} {value}" for word, value in facts if value)

    def as_json(self) -> dict[str, Any]:
        names = ("file", "pointer", "image_id", "annotation_id", "message", "expected", "found")
        words = {"code": self.code, "name": self.name, "severity": self.severity.value, "fix": self.fix.value}
        return {**words, **{name: getattr(self, name) for name in names}}
