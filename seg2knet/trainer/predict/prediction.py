"""Segmenting many pictures into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.errors import DataError
from seg2knet.trainer.predict.inference import Segmenter
from seg2knet.trainer.predict.predictions import Writer


@dataclass
class Predicted:
    """What came of it.

    Attributes:
        images: pictures segmented.
        objects: objects or regions found on them.
        failures: why pictures were skipped, one text each.
    """

    images: int = 0
    objects: int = 0
    failures: list[str] = field(default_factory=list)


def predict_files(
    checkpoint: Union[str, Path],
    pictures: Sequence[tuple[Path, Path]],
    out: Path,
    formats: Sequence[str] = ("overlay",),
    *,
    score_thr: float = 0.3,
    device: Optional[str] = None,
    ticked: Optional[Callable[[int, int], None]] = None,
    load: Optional[Callable[[Union[str, Path], Optional[str]], Any]] = None,
) -> Predicted:
    """Segment pictures and write what is found. A picture that cannot be read is skipped and said.

    Args:
        checkpoint: of a run, by path or URL.
        pictures: files, and the names to write under (``predictions.find_pictures``).
        out: folder to write to.
        formats: some of ``predictions.FORMATS``.
        score_thr: objects less certain are left out.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        ticked: called with pictures done and in all.
        load: makes the model from checkpoint and device; by default ``Segmenter``.
    """
    model = (load or Segmenter)(checkpoint, device)
    writer = Writer(out, model.classes, model.task, formats)
    done = Predicted()
    for place, (path, name) in enumerate(pictures, 1):
        try:
            found = model(path)
        except DataError as error:
            done.failures.append(str(error))
        else:
            if model.task == "instance":
                found = found.above(score_thr)
            writer.write(found, name)
            done.images += 1
            done.objects += len(found.labels)
        if ticked is not None:
            ticked(place, len(pictures))
    writer.close()
    return done
