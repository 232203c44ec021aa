"""Classes that a mirror image turns into one another: ``back_left_door`` and ``back_right_door``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from seg2knet.dataset.grouping import grouped
from seg2knet.errors import UsageError

_LEFT_RIGHT = """
    left right, lefthand righthand, lh rh, lhs rhs, l r,
    links rechts, linke rechte, linker rechter, linkes rechtes, linken rechten,
    izquierda derecha, izquierdo derecho, izq der, esquerda direita, esquerdo direito, esq dir,
    gauche droite, gauche droit, sinistra destra, sinistro destro, sx dx,
    vänster höger, vänstra högra, venstre højre, venstre høyre, vasen oikea,
    lewy prawy, lewa prawa, lewe prawe, levý pravý, levá pravá, levé pravé, sol sağ, kiri kanan, stânga dreapta,
    левый правый, левая правая, левое правое, лівий правий, ліва права, αριστερά δεξιά, 左 右, 왼쪽 오른쪽
"""
"""Words for left and right in some twenty languages, from English and German to Chinese, Japanese and Korean."""
_WORD = re.compile(r"[左右]|[^\W\d_左右]+|\d+")
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")


_PAIRS = [pair.split() for pair in _LEFT_RIGHT.split(",")]
_OPPOSITE = grouped(each for left, right in _PAIRS for each in ((left, right), (right, left)))
_SHORT = 3
"""Words of up to this many letters say a side only where the other side's class is there."""


@dataclass(frozen=True)
class Sides:
    """The classes that a horizontal flip turns into one another, and those with a side that have no counterpart."""

    pairs: tuple[tuple[str, str], ...] = ()
    alone: tuple[str, ...] = ()

    def swapped(self, names: Sequence[str]) -> list[int]:
        """For each label of ``names`` its label in the mirror image."""
        other = dict(self.pairs) | {right: left for left, right in self.pairs}
        place = {name: label for label, name in enumerate(names)}
        return [place.get(other.get(name, name), label) for label, name in enumerate(names)]


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``frontLeft_door2`` -> ``front, left, door, 2``."""
    parts = itertools.chain.from_iterable(_CAMEL.split(run) for run in _WORD.findall(name))
    return tuple(part.lower() for part in parts)


def find_sides(names: Sequence[str], mirror: Mapping[str, str] = MappingProxyType({})) -> Sides:
    """The pairs of classes whose names differ by a word for left and one for right, after those of ``mirror``.

    Raises UsageError: a pair of classes that there are not, or a class in two pairs.
    """
    pairs = list(mirror.items())
    taken = [name for pair in pairs for name in pair]
    wrong = sorted({name for name in taken if name not in names or taken.count(name) > 1})
    if wrong:
        expected = "two classes of " + ", ".join(names[:20])
        raise UsageError("--mirror: not classes, or in two pairs", found=", ".join(wrong), expected=expected)
    by_words: dict[tuple[str, ...], str] = {}
    for name in names:
        by_words.setdefault(words(name), name)
    alone = []
    for name in names:
        sided = [word for word in words(name) if word in _OPPOSITE]
        if not sided or name in taken:
            continue
        options = [_OPPOSITE.get(word, [word]) for word in words(name)]
        matches = (by_words.get(mirrored) for mirrored in itertools.product(*options))
        other = next((match for match in matches if match is not None and match not in taken), None)
        if other is not None:
            pairs.append((name, other))
            taken += [name, other]
        elif any(len(word) > _SHORT for word in sided):
            alone.append(name)
    return Sides(tuple(pairs), tuple(alone))
