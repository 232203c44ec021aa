"""From checkpoints or result files and a data set to what :mod:`seg2knet.judge` works on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import orjson

from seg2knet.dataset.folder import DataFolder, read_folder
from seg2knet.errors import DataError, UsageError
from seg2knet.judge.analysis import analyse
from seg2knet.judge.compare import Comparison, compared
from seg2knet.judge.objects import Judged
from seg2knet.judge.page import as_csv, classes_page, csv_table, model_page
from seg2knet.trainer.evaluate.evaluation import Evaluation, default_split, evaluate

Ticked = Callable[[int, int], None]


def judged(
    source: Union[str, Path],
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    device: Optional[str] = None,
    workers: int = 2,
    ticked: Optional[Ticked] = None,
) -> Judged:
    """Results on a split of a data set, with its annotations, from an instance model's checkpoint or a JSON file of
    COCO results; the other arguments are those of :func:`.evaluation.evaluate`.

    Raises DataError: the source or the data cannot be used, or the model is not of instance segmentation; UsageError:
    there is no such split, or a result file comes without data.
    """
    if Path(source).suffix.lower() == ".json":
        return annotated(read_folder(data, "instance"), split, read_results(Path(source)))
    evaluation = evaluate(source, data, split, device=device, workers=workers, ticked=ticked)
    if evaluation.task != "instance":
        raise DataError(
            "only instance models can be compared object by object", file=source, found=f"a {evaluation.task} model"
        )
    return annotated(read_folder(evaluation.data, "instance"), evaluation.split, evaluation.predictions)


def annotated(folder: DataFolder, split: Optional[str], results: list[dict[str, Any]]) -> Judged:
    """Results beside the annotations of a split (``val``, else ``test``, by default)."""
    part = folder.split(split or default_split(folder))
    return Judged(json.loads(part.annotations.read_bytes()), results, part.images)


def read_results(file: Path) -> list[dict[str, Any]]:
    """A file of COCO results. Raises DataError: it cannot be read, or is no list of results with masks."""
    try:
        results = orjson.loads(file.read_bytes())
    except OSError as error:
        raise DataError("the results cannot be read", file=file, found=str(error.strerror)) from None
    except ValueError as error:
        raise DataError("this is not JSON", file=file, found=str(error)) from None
    kinds = {"image_id": (int,), "category_id": (int,), "segmentation": (dict,), "score": (int, float)}
    if not isinstance(results, list):
        raise DataError("this is not a list of COCO results", file=file, found=type(results).__name__)
    for place, result in enumerate(results):
        wrong = not isinstance(result, dict) or [key for key in kinds if type(result.get(key)) not in kinds[key]]
        if wrong:
            raise DataError(
                "this is not a COCO result with a mask", file=file, place=f"result {place}",
                found=None if wrong is True else ", ".join(f"{key}: {result.get(key)!r}"[:80] for key in wrong),
                expected=", ".join(kinds), hint="seg2knet test CHECKPOINT --out results.json writes them",
            )  # fmt: skip
    return results


class Report(NamedTuple):
    """What ``test`` leaves: an HTML page, and the figures by class as CSV."""

    html: str
    csv: str


def report(evaluation: Evaluation, truth: Optional[tuple[Path, Path]] = None) -> Report:
    """The page and the table of an evaluation; of instances by `truth`, a COCO file and the folder of its images, where
    they are not a split of the data. Raises EnvironmentProblem: hotcoco or Jinja2 is not installed.
    """
    title = f"{evaluation.checkpoint} on {evaluation.data}, {evaluation.split} split"
    if evaluation.task == "instance":
        if truth is not None:
            one = Judged(json.loads(truth[0].read_bytes()), evaluation.predictions, truth[1])
        else:
            one = annotated(read_folder(evaluation.data, "instance"), evaluation.split, evaluation.predictions)
        analysis = analyse(one.truth, one.results)
        return Report(model_page(title, one, analysis), as_csv(analysis))
    page = classes_page(title, evaluation.images, evaluation.figures, evaluation.classes)
    return Report(page, csv_table(evaluation.classes))


def compare(
    a: Union[str, Path],
    b: Union[str, Path],
    data: Union[str, Path, None] = None,
    split: Optional[str] = None,
    *,
    seed: int = 0,
    device: Optional[str] = None,
    workers: int = 2,
    ticked: Optional[Ticked] = None,
) -> Comparison:
    """Compare two checkpoints of instance models, or two JSON files of COCO results, on the same split.

    Args:
        data: a data set's folder; by default, for checkpoints, the one that they were trained on.
        split: ``val`` by default.
        seed: of the bootstrap.
        device, workers, ticked: as :func:`.evaluation.evaluate` takes them.

    Raises:
        DataError: one cannot be used.
        UsageError: there is no such split, or the two were trained on different data.
    """
    folder = Path(data) if data is not None else None
    first, second = (judged(one, folder, split, device=device, workers=workers, ticked=ticked) for one in (a, b))
    if first.truth != second.truth:
        raise UsageError(
            "the two were trained on different data", hint="name the data to compare on: seg2knet compare A B DATA"
        )
    return compared(first, second, (str(a), str(b)), seed=seed)
