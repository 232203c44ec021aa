"""``seg2knet.train``, ``seg2knet.evaluate``, ``seg2knet.predict``: what the commands do, from Python."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from seg2knet.errors import DataError
from seg2knet.trainer.options import INFO, TrainOptions, did_you_mean, value_type

if TYPE_CHECKING:
    from seg2knet.trainer.evaluate.evaluation import Evaluation
    from seg2knet.trainer.predict.inference import Segmenter
    from seg2knet.trainer.predict.prediction import Prediction
    from seg2knet.trainer.run.session import TrainResult

PathLike = Union[str, Path]


def train(data: Optional[PathLike] = None, *, say: Callable[[str], None] = print, **options: Any) -> TrainResult:
    """Train a K-Net.

    Args:
        data: a data set's folder; by default ``data/coco`` or ``data/ade``.
        say: takes lines for the user; the progress of the run itself goes to standard output.
        options: fields of :class:`seg2knet.trainer.options.TrainOptions`: ``epochs=12``, ``gpus=0``...

    Returns:
        where everything is, and how good it is.

    Raises:
        Seg2KNetError: the options, the data or the machine do not allow it.
        TypeError: no option of that name.
    """
    for name, value in options.items():
        if name not in INFO:
            hint = did_you_mean(name, tuple(INFO))
            raise TypeError(f"train() has no option {name!r}" + (f": {hint}" if hint else ""))
        if isinstance(value, bool) and INFO[name].no is not None:
            options[name] = None if value else INFO[name].no
        elif value is not None and value_type(name) in (Path, str):
            options[name] = value_type(name)(value)
    return run(TrainOptions(data=Path(data) if data is not None else None, **options), say)


_KEYWORDS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(TrainOptions(), name)) for name in INFO
]
_SHOWN = [*list(inspect.signature(train).parameters.values())[:2], *_KEYWORDS]
setattr(train, "__signature__", inspect.signature(train).replace(parameters=_SHOWN))  # noqa: B010 - mypy knows none


def run(options: TrainOptions, say: Callable[[str], None] = print) -> TrainResult:
    """Train as the options say, on the stack that they ask for, or that is installed.

    Raises:
        Seg2KNetError: see :func:`train`.
    """
    from seg2knet.trainer import stacks
    from seg2knet.trainer.run import session

    stack = stacks.choose(options.stack, options.knet)
    return session.run(options, say) if stack is None else stack.train(options, knet=options.knet, say=say)


def evaluate(
    checkpoint: PathLike,
    data: Optional[PathLike] = None,
    split: Optional[str] = None,
    *,
    show_dir: Optional[PathLike] = None,
    device: Optional[str] = None,
) -> Evaluation:
    """Judge a checkpoint: mask AP, panoptic quality or mean IoU.

    Args:
        checkpoint: of a run, by path or URL.
        data: a data set's folder; by default the one it was trained on.
        split: ``val`` by default.
        show_dir: where to leave a picture of prediction beside truth for each image.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.

    Raises:
        DataError: the checkpoint or the data cannot be used, or do not share their classes.
        UsageError: there is no such split.
    """
    from seg2knet.trainer.evaluate import evaluation

    return evaluation.evaluate(
        checkpoint,
        Path(data) if data is not None else None,
        split,
        show_dir=Path(show_dir) if show_dir is not None else None,
        device=device,
    )


def load(checkpoint: PathLike, device: Optional[str] = None, score_thr: float = 0.3) -> Segmenter:
    """A model from its checkpoint: called with an image (path, RGB array, Pillow image) it gives a prediction with
    ``masks``, ``labels`` and ``scores``, which a notebook shows.

    Raises:
        DataError: the checkpoint cannot be read.
    """
    from seg2knet.trainer.predict.inference import Segmenter

    return Segmenter(checkpoint, device, score_thr=score_thr)


def predict(
    checkpoint: PathLike,
    images: Union[PathLike, Iterable[PathLike]],
    *,
    out: Optional[PathLike] = None,
    formats: Sequence[str] = ("overlay",),
    score_thr: float = 0.3,
    device: Optional[str] = None,
    failed: Optional[Callable[[DataError], None]] = None,
    batch_size: int = 1,
    half: bool = False,
) -> list[Prediction]:
    """Segment images.

    Args:
        checkpoint: of a run, by path or URL.
        images: files, folders or patterns.
        out: folder to write to; nothing is written by default.
        formats: some of ``overlay``, ``coco``, ``labelme``.
        score_thr: objects with a lower score are left out.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        failed: called for an image that cannot be read, which is skipped; by default a warning.
        batch_size: images of one size that are segmented together.
        half: compute in bfloat16, on GPUs without it in float16.

    Returns:
        a prediction for each image that could be read; its masks are run-length codes until asked for.

    Raises:
        DataError: the checkpoint cannot be read.
        UsageError: no images there.
    """
    from seg2knet.trainer.predict.files import PredictionWriter, find_images, segmented
    from seg2knet.trainer.predict.inference import Segmenter

    paths = find_images([images] if isinstance(images, (str, Path)) else images)
    model = Segmenter(checkpoint, device, half, score_thr)
    writer = PredictionWriter(Path(out), model.classes, model.task, formats) if out is not None else None
    return list(segmented(model, paths, writer, score_thr=score_thr, failed=failed or _warn, batch_size=batch_size))


def _warn(error: DataError) -> None:
    warnings.warn(f"skipped: {error}", stacklevel=2)
