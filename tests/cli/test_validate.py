"""``seg2knet validate``, ``rule`` and ``rules``: what is printed, what it exits with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "validators"))

from shapes_set import ELL, folder_set, single_set, write

from seg2knet.cli.catalogues import rule, rules
from seg2knet.cli.validate import validate
from seg2knet.errors import UsageError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = folder_set(tmp_path / "set").parents[1]
    monkeypatch.chdir(tmp_path)
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(validate, [str(each) for each in arguments])
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def spoil(root: Path, **values: object) -> Path:
    """Change an annotation of the train file."""
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text("utf-8"))
    content["annotations"][ELL].update(values)
    write(path, content)
    return path


def test_clean_set(root: Path) -> None:
    result = run(root)
    assert result.exit_code == 0
    assert result.output.startswith("no findings (5 images, 30 annotations")


def test_line_of_a_finding(root: Path) -> None:
    spoil(root, bbox=[48, 2, 24, 28])
    result = run(root)
    assert result.output.splitlines()[0] == (
        "annotations/instances_train2017.json: annotation 2 (image 1 'train0.jpg'): CI034 "
        "bbox-not-matching-segmentation [*] the box is not that of the segmentation: "
        "expected [40,2,24,28], found [48,2,24,28]"
    )
    assert "1 fixable with --fix" in result.output
    assert "0 errors, 1 warning, 0 infos" in result.output
    assert result.exit_code == 0
    assert run(root, "--strict").exit_code == 1


@pytest.mark.parametrize("output_format", ["text", "json", "jsonl", "sarif", "github", "html"])
def test_format_never_changes_the_exit_code(root: Path, output_format: str) -> None:
    assert run(root, "--output-format", output_format).exit_code == 0
    spoil(root, id=0)
    assert run(root, "--output-format", output_format).exit_code == 1


def test_json(root: Path) -> None:
    spoil(root, id=0)
    report = json.loads(run(root, "--output-format", "json").output)
    assert list(report) == ["findings", "summary"]
    assert report["findings"] == [
        {
            "code": "CI007",
            "name": "annotation-id-zero",
            "severity": "error",
            "fix": "safe",
            "file": "annotations/instances_train2017.json",
            "pointer": "/annotations/1/id",
            "image_id": 1,
            "annotation_id": 0,
            "message": "annotation id 0: pycocotools counts a match with it as none",
            "expected": "an id above 0",
            "found": "0",
        }
    ]
    assert report["summary"]["by_rule"] == {"CI007": 1}
    lines = run(root, "--output-format", "jsonl").output.splitlines()
    assert [json.loads(line) for line in lines] == report["findings"]


def test_output_file(root: Path) -> None:
    spoil(root, id=0)
    result = run(root, "--output-format", "json", "--output-file", root / "new" / "report.json")
    assert result.exit_code == 1
    assert len(json.loads((root / "new" / "report.json").read_text())["findings"]) == 1


def test_select_and_ignore(root: Path) -> None:
    spoil(root, id=0, bbox=[1, 2, 3])

    def codes(*arguments: str) -> set[str]:
        return set(json.loads(run(root, *arguments, "--output-format", "json").output)["summary"]["by_rule"])

    assert codes() == {"CI007", "CI032", "KN006"}
    assert codes("--select", "CI") == {"CI007", "CI032"}
    assert codes("--select", "CI007,KN") == {"CI007", "KN006"}
    assert codes("--select", "CI", "--ignore", "CI00") == {"CI032"}
    assert codes("--select", "bbox-malformed") == {"CI032"}
    with pytest.raises(UsageError, match="no rule"):
        run(root, "--select", "XY")


def test_a_rule_that_fires_often_shows_its_first_few(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text("utf-8"))
    for entry in content["annotations"]:
        del entry["iscrowd"]
    write(path, content)
    few = run(root).output
    assert few.count("CI039 iscrowd-missing [*]") == 5
    assert "CI039 13 more" in few
    assert run(root, "--show-all").output.count("CI039 iscrowd-missing [*]") == 18
    assert "annotation 1 " not in run(root, "--statistics").output


def test_baseline(root: Path) -> None:
    spoil(root, id=0)
    known = root / "known.json"
    run(root, "--output-format", "json", "--output-file", known)
    result = run(root, "--baseline", known)
    assert result.exit_code == 0
    assert "1 known" in result.output
    spoil(root, iscrowd="x")
    assert run(root, "--baseline", known).exit_code == 1
    (root / "empty.json").write_text("{}")
    with pytest.raises(UsageError, match="no baseline"):
        run(root, "--baseline", root / "empty.json")


def test_settings(root: Path) -> None:
    spoil(root, bbox=[48, 2, 24, 28])
    settings = Path("pyproject.toml")
    settings.write_text('[tool.seg2knet]\nstrict = true\noutput-format = "jsonl"\n')
    result = run(root)
    assert result.exit_code == 1
    assert json.loads(result.output)["code"] == "CI034"
    settings.write_text('[tool.seg2knet]\nignore = ["CI034"]\n')
    assert run(root).output.startswith("no findings")
    assert "CI034" in run(root, "--ignore", "IM").output
    settings.write_text("[tool.seg2knet]\nignored = []\n")
    with pytest.raises(UsageError, match="a setting is wrong"):
        run(root)
    settings.write_text("[tool.seg2knet")
    with pytest.raises(UsageError, match="cannot be read"):
        run(root)


def test_fix(root: Path) -> None:
    path = spoil(root, bbox=[48, 2, 24, 28])
    broken = path.read_bytes()
    shown = run(root, "--diff").output
    assert "- /annotations/1/bbox: [48, 2, 24, 28]" in shown
    assert "+ /annotations/1/bbox: [40, 2, 24, 28]" in shown
    assert path.read_bytes() == broken
    result = run(root, "--fix")
    assert "fixed:" in result.output
    assert result.exit_code == 0
    assert path.with_name(path.name + ".bak").read_bytes() == broken
    assert path.read_bytes() == broken.replace(b"[48, 2, 24, 28]", b"[40, 2, 24, 28]")


def test_unsafe_fix_is_asked_for(root: Path) -> None:
    path = spoil(root, segmentation=[])
    with pytest.raises(UsageError):
        run(root, "--unsafe-fixes")
    assert run(root, "--fix").exit_code == 1
    result = run(root, "--fix", "--unsafe-fixes", "--no-backup")
    assert "removed:" in result.output
    assert result.exit_code == 0
    assert not path.with_name(path.name + ".bak").exists()
    assert not list(path.parent.glob(".*"))


def test_what_cannot_run(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing here"):
        run(tmp_path / "empty")


def test_several_paths_and_a_folder_of_images(root: Path, tmp_path: Path) -> None:
    path = single_set(tmp_path / "single")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for picture in path.parent.glob("*.jpg"):
        picture.rename(moved / picture.name)
    assert run(root, path, "--images", moved, "--select", "CI,SP").exit_code == 0
    assert run(path, "--images", moved).output.startswith("no findings (3 images")


def test_names_cannot_write_on_the_terminal(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text("utf-8"))
    content["categories"].append({"id": 4, "name": "\x1b[31mred\u202e"})
    write(path, content)
    assert "\x1b" not in run(root).output
    assert "\u202e" not in run(root).output


def test_rule_and_rules() -> None:
    shown = CliRunner().invoke(rule, ["ci034"]).output
    assert shown.startswith("CI034 bbox-not-matching-segmentation (warning; fix: safe")
    assert "1.5 pixels" in shown
    assert CliRunner().invoke(rule, ["bbox-looks-xyxy"]).output.startswith("CI035")
    listed = json.loads(CliRunner().invoke(rules, ["--format", "json"]).output)
    assert len(listed) == len({each["code"] for each in listed}) >= 98
    assert all(each["summary"] and len(each["explanation"]) > 80 for each in listed)
    assert "## Splits (SP)" in CliRunner().invoke(rules, ["--format", "markdown"]).output
    shown = CliRunner().invoke(rules, ["--select", "SP"]).output.splitlines()
    assert [line.split()[0] for line in shown] == [one["code"] for one in listed if one["code"].startswith("SP")]
