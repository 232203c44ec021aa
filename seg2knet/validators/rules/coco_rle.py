"""CI029 to CI031: segmentations that are run-length codes."""

from __future__ import annotations

from collections.abc import Iterator

from seg2knet.dataset.rle import counts_to_runs
from seg2knet.errors import DataError
from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Hit, Severity, rule
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile
from seg2knet.validators.subjects.outlines import RLE_BAD, RLE_SIZE, RLE_SUM


@rule("CI029", "rle-size-mismatch", Severity.ERROR, on="instances")
def rle_size_mismatch(file: CocoFile) -> Iterator[Hit]:
    """A run-length code's size is not its picture's.

    The code is read column by column: with another height every column is out of step. `size` is height, then width;
    often they were swapped, or the picture was resized later. What the code was made for nobody can tell.
    """
    for row in file.shapes.having(RLE_SIZE).tolist():
        height, width = repairs.image_size(file, row)
        yield file.hit(
            row,
            "the run-length code is of another size than its picture",
            "segmentation/size",
            expected=f"[{height}, {width}] (height, width)",
            found=shown((file.segmentation(row) or {}).get("size")),
        )


@rule("CI030", "rle-counts-sum-mismatch", Severity.ERROR, on="instances")
def rle_counts_sum_mismatch(file: CocoFile) -> Iterator[Hit]:
    """A run-length code's runs do not add up to its size.

    pycocotools writes past the end of the mask, or leaves its end to chance. Part of the code is missing, or it
    belongs to another picture.
    """
    for row in file.shapes.having(RLE_SUM).tolist():
        value = file.segmentation(row)
        height, width = value["size"]
        yield file.hit(
            row,
            "the runs do not add up to the mask's size",
            "segmentation/counts",
            expected=f"{height} x {width} = {height * width}",
            found=str(int(counts_to_runs(value["counts"]).sum())),
        )


@rule("CI031", "rle-undecodable", Severity.ERROR, on="instances")
def rle_undecodable(file: CocoFile) -> Iterator[Hit]:
    """A run-length code cannot be decoded.

    It lacks `size` or `counts`, a run is negative, or the compressed string has characters that cannot be there or
    ends in the middle of a number. pycocotools trusts it and crashes, or decodes rubbish.
    """
    for row in file.shapes.having(RLE_BAD).tolist():
        value = file.segmentation(row)
        yield file.hit(
            row,
            "a run-length code that cannot be decoded",
            "segmentation",
            expected="size [height, width] and counts, a string or a list of runs from 0 up",
            found=_why(value),
        )


def _why(value: object) -> str:
    if not isinstance(value, dict):
        return shown(value)
    for key in ("size", "counts"):
        if key not in value:
            return f"no {key!r}"
    size = value["size"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(each) is int and each > 0 for each in size)):
        return f"size {shown(size)}"
    try:
        counts_to_runs(value["counts"])
    except DataError as error:
        return error.message + (f": {error.found}" if error.found else "")
    except (OverflowError, ValueError, TypeError):
        pass
    return f"counts {shown(value['counts'], 40)}"
