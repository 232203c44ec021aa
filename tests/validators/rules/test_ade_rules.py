"""Each AD rule: its defect, planted alone, gives its finding alone; its fix leaves nothing to find."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from PIL import Image
from small_sets import ade, codes, labels, noise

from seg2knet.dataset.images import decode_labels
from seg2knet.validators.engine import validate

Plant = Callable[[Path], None]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return ade(tmp_path / "ADEChallengeData2016")


def mask(root: Path, split: str = "training") -> Path:
    return root / "annotations" / split / f"{split}_0.png"


def image(root: Path) -> Path:
    return root / "images" / "training" / "training_0.jpg"


def write(pixels: np.ndarray) -> Plant:
    return lambda root: Image.fromarray(pixels).save(mask(root))


def everywhere(change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    def plant(root: Path) -> None:
        for path in (root / "annotations").rglob("*.png"):
            Image.fromarray(change(decode_labels(path))).save(path)

    return plant


def with_patch(number: int) -> np.ndarray:
    out = labels()
    out[:4, :4] = number
    return out


def no_folder(root: Path) -> None:
    shutil.rmtree(root / "images" / "validation")


def no_mask(root: Path) -> None:
    mask(root).unlink()


def no_image(root: Path) -> None:
    image(root).unlink()


def mask_named(root: Path) -> None:
    mask(root).rename(mask(root).with_name("training_0_mask.png"))


def rgb(root: Path) -> None:
    Image.fromarray(np.stack([labels()] * 3, axis=-1)).save(mask(root))


def colours(root: Path) -> None:
    Image.fromarray(noise(9)).save(mask(root))


def jpeg(root: Path) -> None:
    Image.fromarray(labels()).save(mask(root), format="JPEG")


def zero_first(root: Path) -> None:
    everywhere(lambda pixels: np.where(pixels == 0, 255, pixels - 1).astype(np.uint8))(root)


def index_from_zero(root: Path) -> None:
    zero_first(root)
    info = root / "objectInfo.txt"
    info.write_text("Idx\tRatio\tTrain\tVal\tName\n0\t0.3\t1\t1\twall\n1\t0.3\t1\t1\tsky\n2\t0.3\t1\t1\ttree\n")


def other_ignore(root: Path) -> None:
    Image.fromarray(with_patch(254)).save(mask(root))


def absent(root: Path) -> None:
    everywhere_in = root / "annotations" / "validation"
    for path in everywhere_in.iterdir():
        pixels = decode_labels(path)
        Image.fromarray(np.where(pixels == 3, 2, pixels).astype(np.uint8)).save(path)


def upper(root: Path) -> None:
    image(root).rename(image(root).with_suffix(".JPG"))


def png_image(root: Path) -> None:
    Image.fromarray(noise(70)).save(image(root).with_suffix(".png"))
    image(root).unlink()


def tiff_mask(root: Path) -> None:
    Image.fromarray(labels()).save(mask(root).with_suffix(".tif"))
    mask(root).unlink()


def many_classes(root: Path) -> None:
    rows = "".join(f"{number}\t0\t1\t1\tclass {number}\n" for number in range(1, 301))
    (root / "objectInfo.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    pixels = np.arange(48 * 64).reshape(48, 64) % 256
    for path in (root / "annotations").rglob("*.png"):
        Image.fromarray(pixels.astype(np.uint8)).save(path)


PLANTS: list[tuple[str, Plant, str]] = [
    ("AD001", no_folder, ""),
    ("AD002", no_mask, "unsafe"),
    ("AD002", no_image, "unsafe"),
    ("AD002", mask_named, "unsafe"),
    ("AD003", write(np.kron(labels(), np.ones((2, 2), np.uint8))), ""),
    ("AD004", rgb, "unsafe"),
    ("AD004", colours, ""),
    ("AD005", write(labels().astype(np.uint16)), "safe"),
    ("AD005", write(with_patch(0).astype(np.uint16) * 300), ""),
    ("AD006", write(with_patch(9)), ""),
    ("AD007", zero_first, "unsafe"),
    ("AD007", index_from_zero, "unsafe"),
    ("AD008", other_ignore, "safe"),
    ("AD009", jpeg, ""),
    ("AD011", upper, "safe"),
    ("AD011", png_image, "safe"),
    ("AD011", tiff_mask, "safe"),
]
IDS = [f"{code}-{place}" for place, (code, _, _) in enumerate(PLANTS)]
FIXABLE = [place for place, (_, _, fix) in enumerate(PLANTS) if fix]


def test_clean(clean: Path) -> None:
    assert codes(clean) == []


@pytest.mark.parametrize(("code", "plant", "fix"), PLANTS, ids=IDS)
def test_planted_alone_found_alone(clean: Path, code: str, plant: Plant, fix: str) -> None:
    plant(clean)
    report = validate(clean)
    # Numbers beyond 255 are no classes either.
    found = [finding for finding in report.findings if (code, finding.code) != ("AD005", "AD006")]
    assert [(finding.code, finding.fix.value) for finding in found] == [(code, fix or "none")]
    assert found[0].found
    assert found[0].expected


@pytest.mark.parametrize(
    ("code", "plant", "fix"), [PLANTS[each] for each in FIXABLE], ids=[IDS[each] for each in FIXABLE]
)
def test_fix_leaves_nothing(clean: Path, code: str, plant: Plant, fix: str) -> None:
    plant(clean)
    validate(clean, fix=fix)
    assert codes(clean) == []
    content = {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}
    assert not validate(clean, fix="unsafe").fixed
    assert content == {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}


def test_absent_class_is_found_in_its_split(clean: Path) -> None:
    absent(clean)
    found = validate(clean).findings
    assert [(finding.code, finding.file) for finding in found] == [("AD010", "annotations/validation")]
    assert "'tree'" in found[0].message


def test_too_many_classes(clean: Path) -> None:
    many_classes(clean)
    assert [code for code in codes(clean) if code != "AD010"] == ["AD012"]


def test_classes_counted_from_zero_are_raised_by_one(clean: Path) -> None:
    index_from_zero(clean)
    validate(clean, fix="unsafe")
    assert np.array_equal(decode_labels(mask(clean)), np.where(labels() == 0, 255, labels()))
    assert (clean / "objectInfo.txt").read_text().splitlines()[1].startswith("1\t")


def test_a_class_254_is_not_raised_to_ignored(clean: Path) -> None:
    index_from_zero(clean)
    rows = "".join(f"{number}\t0\t1\t1\tclass {number}\n" for number in range(255))
    (clean / "objectInfo.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    write(with_patch(254))(clean)
    validate(clean, fix="unsafe")
    assert np.array_equal(decode_labels(mask(clean)), with_patch(254))
    assert "AD007" in codes(clean)
    assert [finding.found for finding in validate(clean, select=["AD012"])] == ["255"]


def test_as_many_classes_as_fit(clean: Path) -> None:
    rows = "".join(f"{number}\t0\t1\t1\tclass {number}\n" for number in range(1, 255))
    (clean / "objectInfo.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    assert codes(clean, "AD012") == []


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("objectInfo.txt", lambda text: text.replace("\t", ",").encode()),
        ("objectInfo.txt", lambda text: text.replace("tree", "bäume").encode("latin-1")),
        ("objectInfo150.txt", str.encode),
    ],
)
def test_a_list_from_zero_is_counted_from_one_once(clean: Path, name: str, written: Callable[[str], bytes]) -> None:
    index_from_zero(clean)
    info = clean / "objectInfo.txt"
    text = info.read_text()
    info.unlink()
    (clean / name).write_bytes(written(text))
    report = validate(clean, fix="unsafe")
    assert [finding.code for finding in report] == []
    assert not report.not_fixed
    assert np.array_equal(decode_labels(mask(clean)), np.where(labels() == 0, 255, labels()))
    assert [line[:2] for line in (clean / name).read_bytes().splitlines()[1:]] == [b"1\t", b"2\t", b"3\t"]


def test_a_last_class_that_is_not_there_is_no_shift(clean: Path) -> None:
    everywhere(lambda pixels: np.where(pixels == 3, 2, pixels).astype(np.uint8))(clean)
    assert codes(clean) == ["AD010", "AD010"]


def test_same_stem_of_two_images_is_no_pairing_problem(clean: Path) -> None:
    Image.fromarray(noise(70)).save(image(clean).with_suffix(".png"))
    assert codes(clean) == ["IM008"]
    validate(clean, fix="unsafe")
    assert codes(clean) == []


def test_test_images_need_no_masks(clean: Path) -> None:
    (clean / "images" / "test").mkdir()
    Image.fromarray(noise(90)).save(clean / "images" / "test" / "a.jpg")
    assert codes(clean) == []


def test_challenge_masks_are_sound(shared: Path, tmp_path: Path) -> None:
    corpus = shared / "corpora" / "ade20k__sceneparsing__sampleData"
    for split in ("training", "validation"):
        shutil.copytree(corpus / "sampleData" / "images", tmp_path / "images" / split)
        shutil.copytree(corpus / "sampleData" / "annotations", tmp_path / "annotations" / split)
    shutil.copy(corpus / "objectInfo150.txt", tmp_path / "objectInfo.txt")
    found = {finding.code for finding in validate(tmp_path, select=["AD", "IM"]).findings}
    assert found == {"AD010"}  # three images do not show 150 classes


@pytest.mark.parametrize("number", ["²", "2" * 5000])
def test_a_number_that_is_none_is_no_class(tmp_path: Path, number: str) -> None:
    root = ade(tmp_path / "set")
    info = root / "objectInfo.txt"
    info.write_text(info.read_text().replace("2\t", f"{number}\t", 1))
    found = [finding for finding in validate(root).findings if finding.code == "AD006"]
    assert found
    assert all("2" in finding.found for finding in found)
    assert {finding.expected for finding in found} == {"0, 1, 3, as the list of classes has them, and 255"}
