"""Labels that look wrong to a model that has not seen them: ``seg2knet audit`` finds these, ``validate`` does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seg2knet.validators.model import Hit, Severity, rule

SUSPICIONS = {
    "missing": """The model sees an object that nobody annotated.

        Training teaches that there is none. The score is the model's, in relation to its right predictions of that
        class; nothing is annotated where the object would be.""",
    "wrong-class": """The model sees another class with the same outline.

        It is surer of it than of the annotated class. Left and right of a symmetrical object are confused most.""",
    "wrong-outline": """The model draws the outline of this object elsewhere.

        Its class is right, and the outlines agree less than those of this class usually do.""",
    "merged": """The model sees several objects in this one.

        They have its class and cover it together: one annotation for two neighbours, or for all of a row.""",
    "split": """The model sees this annotation and its neighbour as one object.

        Its outline agrees with theirs together: an object that was annotated in pieces.""",
    "spurious": """The model sees nothing here, though it knows the class well.

        Most objects of this class and size are found, and none of the class is predicted here.""",
    "image-out-of-place": """Nothing on this image fits what the model sees.

        Its annotations may be those of another image.""",
}
"""The kinds of suspicion, ML001 to ML007 in this order, and what each says."""


for _number, (_name, _explanation) in enumerate(SUSPICIONS.items(), 1):

    def _check(subject: Any) -> Iterable[Hit]:
        return ()

    _check.__doc__ = _explanation
    rule(f"ML{_number:03}", f"suspect-{_name}", Severity.INFO, on=())(_check)
