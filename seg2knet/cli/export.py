"""``seg2knet export``: a checkpoint as a file that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from seg2knet.cli.checks import check_checkpoint, check_outputs
from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import FILE, echo, loading
from seg2knet.errors import extra


@speaks(works=True)
@click.command()
@click.argument("checkpoint")
@click.option(
    "--format", "kind", type=click.Choice(["onnx", "torchscript", "released"]), default="onnx", show_default=True,
    help="onnx needs the extra 'export'; released: weights in the authors' names, for their own code.",
)  # fmt: skip
@click.option("--out", type=FILE, help="The file.  [beside the checkpoint]")
def export(checkpoint: str, kind: str, out: Optional[Path]) -> Outcome:
    """Write CHECKPOINT's model as ONNX or TorchScript, or its weights in the names of the authors' release.

    The model takes batches of images, RGB from 0 to 255, whose sides are multiples of 32. The file is run and compared
    with PyTorch.
    """
    check_checkpoint(checkpoint)
    check_outputs(out)
    loading()
    from seg2knet.trainer.export import export as exporting

    if kind == "released":
        target = out or Path(checkpoint).with_suffix(".released.pth")
        count = exporting.export_released(checkpoint, target)
        echo(f"{target} ({target.stat().st_size / 1e6:.1f} MB, {count} tensors)")
        return Outcome({"path": target, "bytes": target.stat().st_size, "tensors": count})
    done = exporting.export(checkpoint, kind, out)
    echo(f"{done.path} ({done.path.stat().st_size / 1e6:.1f} MB)")
    echo(f"in:  images, outputs: {', '.join(exporting.OUTPUTS[done.task])}")
    if done.deviation is None:
        echo(f"not compared with PyTorch: onnxruntime is not installed ({extra('export')})")
    else:
        echo(f"agrees with PyTorch: largest deviation {done.deviation:.1e}")
    facts = {"path": done.path, "bytes": done.path.stat().st_size, "outputs": list(exporting.OUTPUTS[done.task])}
    return Outcome({**facts, "task": done.task, "deviation": done.deviation})
