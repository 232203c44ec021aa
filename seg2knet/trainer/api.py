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
    from seg2knet.dataset.classes import ClassList
    from seg2knet.trainer.evaluate.evaluation import Evaluation
    from seg2knet.trainer.predict.inference import Segmenter
    from seg2knet.trainer.predict.prediction import Prediction
    from seg2knet.trainer.predict.tiling import TiledSegmenter
    from seg2knet.trainer.run.session import TrainResult

PathLike = Union[str, Path]


def train(data: Optional[PathLike] = None, *, say: Callable[[str], None] = print, **options: Any) -> TrainResult:
    """Train a K-Net on a data set's folder, by default ``data/coco`` or ``data/ade``.

    Args:
        say: takes lines for the user; the progress of the run itself goes to standard output.
        options: fields of :class:`seg2knet.trainer.options.TrainOptions`: ``epochs=12``, ``gpus=0``...

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
    """Train as the options say, on the stack that they ask for, or that is installed. Raises: see :func:`train`."""
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
    """Judge a checkpoint (path or URL) by mask AP, panoptic quality or mean IoU, by default on its own data.

    Args:
        split: ``val`` by default.
        show_dir: where to leave an image of prediction beside truth for each image.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.

    Raises:
        DataError: the checkpoint or the data cannot be used, or do not share classes. UsageError: no such split.
    """
    from seg2knet.trainer.evaluate import evaluation

    folder, shown = (Path(path) if path is not None else None for path in (data, show_dir))
    return evaluation.evaluate(checkpoint, folder, split, show_dir=shown, device=device)


def load(
    checkpoint: PathLike,
    device: Optional[str] = None,
    score_thr: Optional[float] = None,
    *,
    dedup: float = 0.7,
    half: bool = False,
    tile: Optional[int] = None,
    overlap: float = 0.2,
    tta: bool = False,
    batch_size: int = 1,
    classes: Optional[ClassList] = None,
) -> Union[Segmenter, TiledSegmenter]:
    """A model from its checkpoint: called with an image (path, RGB array, Pillow image) it gives a
    :class:`~seg2knet.trainer.predict.prediction.Prediction`, which a notebook shows.

    Args:
        checkpoint: of a run, by path, URL or model name.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.
        score_thr: objects with a lower score are left out; by default the score that was best for F1 when the
            checkpoint was judged, else 0.3.
        dedup: of two objects of one class whose masks have a larger intersection over union, the better one is kept; 0
            keeps both.
        half: compute in bfloat16, on GPUs without it in float16.
        tile, overlap: segment large images in tiles of so many pixels, which share this part of a side.
        tta: segment mirrored images too, and take the mean of both scores.
        batch_size: tiles that are segmented together.
        classes: of a released checkpoint; by default COCO's or ADE20K's.

    Raises:
        DataError: the checkpoint cannot be read.
    """
    from seg2knet.trainer.predict.inference import Segmenter
    from seg2knet.trainer.predict.tiling import TiledSegmenter

    model = Segmenter(checkpoint, device, half, score_thr, classes, dedup)
    return TiledSegmenter(model, tile or 0, overlap, tta, batch_size) if tile or tta else model


def predict(
    checkpoint: PathLike,
    images: Union[PathLike, Iterable[PathLike]],
    *,
    out: Optional[PathLike] = None,
    formats: Sequence[str] = ("overlay",),
    score_thr: Optional[float] = None,
    dedup: float = 0.7,
    device: Optional[str] = None,
    failed: Optional[Callable[[DataError], None]] = None,
    batch_size: int = 1,
    workers: Optional[int] = None,
    half: bool = False,
    tile: Optional[int] = None,
    overlap: float = 0.2,
    tta: bool = False,
    classes: Optional[ClassList] = None,
) -> list[Prediction]:
    """Segment images with a checkpoint, loaded as :func:`load` does.

    Args:
        images: files, folders or patterns.
        out: folder to write to; nothing is written by default.
        formats: some of ``overlay``, ``coco``, ``labelme``.
        failed: called for an image that cannot be read, which is skipped; by default a warning.
        batch_size: images of one size, or tiles, that are segmented together.
        workers: processes that read images; by default up to 4 beside a GPU.

    Returns:
        a prediction for each image that could be read; its masks are run-length codes until asked for.

    Raises:
        DataError: the checkpoint cannot be read. UsageError: no images there.
    """
    from seg2knet.trainer.predict.files import PredictionWriter, find_images, segmented

    def warn(error: DataError) -> None:
        warnings.warn(f"skipped: {error}", stacklevel=3)

    paths = find_images([images] if isinstance(images, (str, Path)) else images)
    model = load(
        checkpoint, device, score_thr, dedup=dedup, half=half, tile=tile, overlap=overlap, tta=tta,
        batch_size=batch_size, classes=classes,
    )  # fmt: skip
    writers = [PredictionWriter(Path(out), model.classes, model.task, formats)] if out is not None else []
    how: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "failed": failed or warn}
    return list(segmented(model, paths, writers, score_thr=model.score_thr, dedup=dedup, **how))
