"""Whatever a fix does to a data set: each object is there or listed as removed, each file is there or has its backup.

The same holds when it is killed in the middle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_ade_rules
import test_image_rules
import test_panoptic_rules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from shapes_set import folder_set
from small_sets import ade, change, coco, noise
from test_coco_rules import DEFECTS

from seg2knet.validators.engine import validate

COCO = [plant for _, plant, _ in test_image_rules.PLANTS + test_panoptic_rules.PLANTS]
ADE = [plant for _, plant, _ in test_ade_rules.PLANTS]
OBJECTS = [defect.plant for defect in DEFECTS if defect.plant is not None and defect.name != "imbalance"]
SMALL = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
REMOVED = re.compile(r": /annotations/\d+(/segments_info/\d+)?( \(.*?)?: ")


def mark(root: Path) -> None:
    """Give every annotation and segment a key of its own that no rule knows."""
    for path in (root / "annotations").glob("*.json"):
        with contextlib.suppress(ValueError, AttributeError, TypeError, KeyError):
            data = json.loads(path.read_bytes())
            for number, annotation in enumerate(data["annotations"]):
                annotation["mark"] = f"{path.stem} {number}"
                for place, segment in enumerate(annotation.get("segments_info") or ()):
                    segment["mark"] = f"{path.stem} {number} {place}"
            path.write_text(json.dumps(data))


def marks(root: Path) -> set[str]:
    found: set[str] = set()
    for path in (root / "annotations").glob("*.json"):
        found.update(re.findall(r'"mark": "([^"]*)"', path.read_text(errors="replace")))
    return found


def digests(root: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def check(make: Callable[[Path], Any], plants: list[Callable[..., Any]], plant: Callable[[Path, Any], None]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "set")
        make(root)
        for each in plants:
            with contextlib.suppress(Exception):  # one defect may take away what the next would change
                plant(root, each)
        mark(root)
        for fix in ("safe", "unsafe"):
            objects, files = marks(root), digests(root)
            report = validate(root, fix=fix)
            assert not report.failed, report.not_fixed
            # An entry of an image that goes takes its segments along.
            gone = {each for each in objects - marks(root) if each.rpartition(" ")[0] not in objects - marks(root)}
            listed = [line for line in report.removed if REMOVED.search(line)]
            assert len(gone) <= len(listed), (gone, report.removed)
            assert files <= digests(root)


@SMALL
@given(st.lists(st.sampled_from(COCO), min_size=1, max_size=6))
def test_coco(plants: list[Callable[[Path], None]]) -> None:
    check(coco, plants, lambda root, plant: plant(root))


@SMALL
@given(st.lists(st.sampled_from(ADE), min_size=1, max_size=5))
def test_ade(plants: list[Callable[[Path], None]]) -> None:
    check(ade, plants, lambda root, plant: plant(root))


@SMALL
@given(st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=6))
def test_objects(plants: list[Callable[[dict[str, Any]], None]]) -> None:
    check(folder_set, plants, lambda root, plant: change(root / "annotations" / "instances_train2017.json", plant))


def defective(root: Path) -> None:
    """A set in which every image and annotation has something to be fixed."""
    coco(root, images=25)
    for path in (root / "train2017").glob("*.jpg"):
        Image.fromarray(noise(len(path.stem))).convert("CMYK").save(path)
    for name in ("train_3", "train_4"):
        (root / "train2017" / f"{name}.jpg").rename(root / "train2017" / f"{name}.JPG")

    def plant(data: dict[str, Any]) -> None:
        for number, annotation in enumerate(data["annotations"]):
            annotation.update(area=1 + number, id=7)
        for image in data["images"][3:5]:
            image["file_name"] = image["file_name"].replace(".jpg", ".JPG")

    change(root / "annotations" / "instances_train2017.json", plant)
    change(root / "annotations" / "panoptic_train2017.json", lambda data: data["annotations"][0]["segments_info"].pop())
    mark(root)


def content(root: Path) -> dict[str, bytes]:
    """What the set holds, but for backups."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".bak" not in path.name
    }


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    defective(tmp_path / "first")
    command = [sys.executable, "-c", "from seg2knet.cli import main; main()", "validate", "--fix", "--unsafe-fixes"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "first", whole)
    started = time.perf_counter()
    subprocess.run([*command, str(whole)], env=environment, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    before, chance = digests(tmp_path / "first"), random.Random(0)
    killed = 0
    for number in range(30):
        root = tmp_path / f"set{number}"
        shutil.copytree(tmp_path / "first", root)
        process = subprocess.Popen([*command, str(root)], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(seconds * chance.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert before <= digests(root)
        for path in (root / "annotations").glob("*.json"):
            json.loads(path.read_bytes())
        subprocess.run([*command, str(root)], env=environment, capture_output=True, check=False)
        assert content(root) == content(whole)
        assert before <= digests(root)
        shutil.rmtree(root)
    assert killed > 10
