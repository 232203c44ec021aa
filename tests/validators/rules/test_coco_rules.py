"""Each CI rule: its defect, planted alone into a clean set, gives its finding alone (and what follows by necessity);
its fix silences it, wakes no other rule, and has nothing left to do the second time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
from shapes_set import (
    CIRCLE,
    CROWD,
    ELL,
    HEIGHT,
    RING,
    SQUARE,
    WIDTH,
    circle,
    data,
    folder_set,
    single_set,
    write,
)

from seg2knet.validators.engine import validate
from seg2knet.validators.report import Report
from seg2knet.validators.statistics import statistics
from seg2knet.validators.subjects.data import find

Content = dict[str, Any]


class Defect(NamedTuple):
    """A defect: what it is called, the codes it gives (sorted), how it is planted, which fix mends it.

    ``raw``: changes the file's text instead.
    """

    name: str
    codes: str
    plant: Optional[Callable[[Content], Any]]
    fix: Optional[str] = None
    raw: Optional[Callable[[bytes], bytes]] = None


def annotation(row: int, **values: Any) -> Callable[[Content], Any]:
    return lambda content: content["annotations"][row].update(values)


def without(table: str, row: int, key: str) -> Callable[[Content], Any]:
    return lambda content: content[table][row].pop(key)


def image(row: int, **values: Any) -> Callable[[Content], Any]:
    return lambda content: content["images"][row].update(values)


def category(row: int, **values: Any) -> Callable[[Content], Any]:
    return lambda content: content["categories"][row].update(values)


def number(row: int, index: int, value: Any) -> Callable[[Content], Any]:
    """Put a value into the first polygon."""
    return lambda content: content["annotations"][row]["segmentation"][0].__setitem__(index, value)


def part(row: int, polygon: list[Any]) -> Callable[[Content], Any]:
    """Add a polygon."""
    return lambda content: content["annotations"][row]["segmentation"].append(polygon)


def words(content: Content) -> None:
    for entry in content["images"]:
        entry["id"] = f"img_{entry['id']}"
    for entry in content["annotations"]:
        entry["image_id"] = f"img_{entry['image_id']}"


def all_crowd(content: Content) -> None:
    for entry in content["annotations"]:
        entry["iscrowd"] = 1


def renumbered(new: dict[int, int]) -> Callable[[Content], Any]:
    def plant(content: Content) -> None:
        for entry in content["categories"]:
            entry["id"] = new[entry["id"]]
        for entry in content["annotations"]:
            entry["category_id"] = new[entry["category_id"]]

    return plant


def two_of_one_name(content: Content) -> None:
    content["categories"].append({"id": 4, "name": "car"})
    content["annotations"][ELL]["category_id"] = 4


def case_clash(content: Content) -> None:
    content["categories"].append({"id": 4, "name": "Car"})
    content["annotations"][ELL]["category_id"] = 4


def used_background(content: Content) -> None:
    content["categories"].append({"id": 4, "name": "background"})
    content["annotations"][ELL]["category_id"] = 4


def same_name(content: Content) -> None:
    content["images"][1]["file_name"] = content["images"][0]["file_name"]


def same_id_other_file(content: Content) -> None:
    content["images"][1]["id"] = content["images"][0]["id"]
    for entry in content["annotations"]:
        if entry["image_id"] == 2:
            entry["image_id"] = 1


def corners(content: Content) -> None:
    x, y, width, height = content["annotations"][CIRCLE]["bbox"]
    content["annotations"][CIRCLE]["bbox"] = [x, y, x + width, y + height]


def again(content: Content) -> None:
    content["annotations"].append({**content["annotations"][ELL], "id": 1000})


def rare_class(content: Content) -> None:
    content["categories"].append({"id": 4, "name": "rare"})
    content["annotations"][ELL]["category_id"] = 4
    template = content["annotations"][SQUARE]
    for place in range(140):
        entry = {"id": 100 + place, "file_name": f"more{place}.jpg", "width": WIDTH, "height": HEIGHT}
        content["images"].append(entry)
        content["annotations"].append({**template, "id": 1000 + place, "image_id": 100 + place})


BOWTIE = [40.0, 2.0, 64.0, 30.0, 64.0, 2.0, 40.0, 30.0]
NEXT = 6
"""Row of the second image's first annotation."""

DEFECTS = [
    Defect("bom", "CI001", None, "safe", lambda text: b"\xef\xbb\xbf" + text),
    Defect("utf-16", "CI001", None, "safe", lambda text: text.decode().encode("utf-16")),
    Defect("cut off", "CI001", None, None, lambda text: text[:-30]),
    Defect("comma", "CI001", None, None, lambda text: text.replace(b'"annotations":', b'"annotations"', 1)),
    Defect("empty", "CI001", None, None, lambda text: b""),
    Defect("latin-1", "CI001", None, "unsafe", lambda text: text.replace("ä".encode(), "ä".encode("latin-1"))),
    Defect("no images", "CI002", lambda content: content.pop("images")),
    Defect("misspelt", "CI002", lambda content: content.update(categoryes=content.pop("categories"))),
    Defect("a list", "CI002", None, None, lambda text: b"[" + text + b"]"),
    Defect("string id", "CI003", annotation(ELL, image_id="1"), "safe"),
    Defect("boolean crowd", "CI045", annotation(ELL, iscrowd=False), "safe"),
    Defect("boolean crowds", "CI045", lambda c: [annotation(row, iscrowd=False)(c) for row in (0, 1)], "safe"),
    Defect("float id", "CI003", annotation(ELL, category_id=1.0), "safe"),
    Defect("string area", "CI003", lambda c: annotation(ELL, area=str(c["annotations"][ELL]["area"]))(c), "safe"),
    Defect("ids are words", " ".join(["CI003"] * 21), words, "safe"),
    Defect("word for an id", "CI003", annotation(ELL, id="x17"), "safe"),
    Defect(
        "flat polygon",
        "CI003",
        lambda c: annotation(ELL, segmentation=c["annotations"][ELL]["segmentation"][0])(c),
        "safe",
    ),
    Defect("text polygon", "CI003", annotation(ELL, segmentation=[["a", "b"]])),
    Defect("annotations an object", "CI003", lambda c: c.update(annotations=c["annotations"][0])),
    Defect("an annotation a list", "CI003", lambda c: c["annotations"].__setitem__(ELL, [])),
    Defect("image without id", "CI003 CI009 CI009 CI009 CI009 CI009 CI009 KN006", without("images", 2, "id")),
    Defect("image without width", "CI003", without("images", 2, "width"), "safe"),
    Defect("category without name", "CI003", without("categories", 2, "name")),
    Defect("same image twice", "CI004", lambda c: c["images"].append(dict(c["images"][0])), "unsafe"),
    Defect(
        "image id twice",
        "CI004 CI041 CI041",
        lambda c: (same_id_other_file(c), c["annotations"].__delitem__(slice(6, 10))),
        "unsafe",
    ),
    Defect("file name twice", "CI005", same_name, "unsafe"),
    Defect("annotation id twice", "CI006", annotation(ELL, id=1), "safe"),
    Defect("id 0", "CI007", annotation(ELL, id=0), "safe"),
    Defect("no id", "CI008", without("annotations", ELL, "id"), "safe"),
    Defect("null id", "CI008", annotation(ELL, id=None), "safe"),
    Defect("no such image", "CI009 KN006", annotation(ELL, image_id=77), "unsafe"),
    Defect("no image", "CI009 KN006", without("annotations", ELL, "image_id"), "unsafe"),
    Defect("no such category", "CI010 KN006", annotation(ELL, category_id=77), "unsafe"),
    Defect("category id twice", "CI011", lambda c: c["categories"].append({"id": 3, "name": "bus"})),
    Defect("category name twice", "CI012", two_of_one_name, "unsafe"),
    Defect("padded name", "CI013", category(1, name=" wheel"), "safe"),
    Defect("names differ by case", "CI013", case_clash),
    Defect("category 0", "CI014", renumbered({1: 0, 2: 1, 3: 2}), "safe"),
    Defect("gap", "CI015", renumbered({1: 1, 2: 2, 3: 7}), "safe"),
    Defect("unused background", "CI016", lambda c: c["categories"].append({"id": 4, "name": "_background_"}), "safe"),
    Defect("background in use", "CI016", used_background, "unsafe"),
    Defect("unused", "CI017", lambda c: c["categories"].append({"id": 4, "name": "bus"}), "unsafe"),
    Defect("no segmentation", "CI018", without("annotations", ELL, "segmentation"), "unsafe"),
    Defect("null segmentation", "CI018", annotation(ELL, segmentation=None), "unsafe"),
    Defect("empty", "CI019", annotation(ELL, segmentation=[]), "unsafe"),
    Defect("empty part", "CI019", annotation(ELL, segmentation=[[]]), "unsafe"),
    Defect("one point", "CI020", annotation(ELL, segmentation=[[50.0, 9.0]]), "unsafe"),
    Defect("one point beside", "CI020", part(ELL, [50.0, 9.0]), "unsafe"),
    Defect("odd", "CI021", lambda c: c["annotations"][ELL]["segmentation"][0].pop()),
    Defect("four numbers", "CI022", annotation(ELL, segmentation=[[40.0, 2.0, 64.0, 30.0]]), "unsafe"),
    Defect("nan", "CI023", number(ELL, 3, float("nan")), "unsafe"),
    Defect("infinity", "CI023", number(ELL, 3, float("-inf")), "unsafe"),
    Defect("null", "CI023", number(ELL, 3, None), "unsafe"),
    Defect("too large", "CI023", None, "unsafe", lambda text: re.sub(rb"48,(\s+)22", rb"1e999,\1 22", text, count=1)),
    Defect("a hair outside", "CI024", number(CIRCLE, 25, -0.4), "safe"),
    Defect("outside", "CI024", lambda c: annotation(CIRCLE, **_moved(-10))(c), "unsafe"),
    Defect(
        "bow tie",
        "CI025",
        lambda c: annotation(ELL, segmentation=[BOWTIE], area=340, bbox=[40, 2, 24, 28])(c),
        "unsafe",
    ),
    Defect(
        "on a line", "CI026", annotation(ELL, segmentation=[[40, 2, 50, 12, 64, 26]], bbox=[40, 2, 24, 24]), "unsafe"
    ),
    Defect("flat part", "CI026", part(ELL, [44, 6, 46, 6, 47, 6]), "unsafe"),
    Defect("point twice", "CI027", lambda c: c["annotations"][ELL]["segmentation"][0].extend([40, 2]), "safe"),
    Defect("hole as part", "CI028", part(CIRCLE, circle(20, 20, 5)), "unsafe"),
    Defect("rle turned", "CI029", lambda c: c["annotations"][RING]["segmentation"].update(size=[WIDTH, HEIGHT])),
    Defect("rle short", "CI030", lambda c: c["annotations"][CROWD]["segmentation"]["counts"].pop()),
    Defect("rle without counts", "CI031", lambda c: c["annotations"][RING]["segmentation"].pop("counts")),
    Defect("rle rubbish", "CI031", lambda c: c["annotations"][RING]["segmentation"].update(counts="\u00e4\u00f6")),
    Defect("rle negative", "CI031", lambda c: c["annotations"][CROWD]["segmentation"]["counts"].__setitem__(0, -4)),
    Defect("three numbers", "CI032 KN006", annotation(ELL, bbox=[1, 2, 3]), "safe"),
    Defect("no box", "CI032 KN006", without("annotations", ELL, "bbox"), "safe"),
    Defect("nan box", "CI032 KN006", annotation(ELL, bbox=[40, 2, float("nan"), 28]), "safe"),
    Defect("negative box", "CI032 KN006", annotation(ELL, bbox=[64, 30, -24, -28]), "safe"),
    Defect("thin box", "CI033 KN006", annotation(ELL, bbox=[40, 2, 0.5, 28]), "safe"),
    Defect("moved box", "CI034", annotation(ELL, bbox=[48, 2, 24, 28]), "safe"),
    Defect("corners", "CI035", corners, "safe"),
    Defect("no area", "CI036 KN006", without("annotations", ELL, "area"), "safe"),
    Defect("null area", "CI036 KN006", annotation(ELL, area=None), "safe"),
    Defect("nan area", "CI036 KN006", annotation(ELL, area=float("nan")), "safe"),
    Defect("area of the box", "CI037", annotation(ELL, area=24 * 28), "safe"),
    Defect("twice the area", "CI037", lambda c: annotation(SQUARE, area=640)(c), "safe"),
    Defect("area 0", "CI038 KN006", annotation(ELL, area=0), "safe"),
    Defect("area negative", "CI038 KN006", annotation(ELL, area=-352.0), "safe"),
    Defect("no iscrowd", "CI039", without("annotations", ELL, "iscrowd"), "safe"),
    Defect("all crowd", "CI040", all_crowd, "safe"),
    Defect("twice", "CI041", again, "unsafe"),
    Defect("nothing on it", "CI042", lambda c: c["annotations"].__delitem__(slice(6, 12))),
    Defect("imbalance", "CI043", rare_class),
]


def _moved(x: float) -> dict[str, Any]:
    """The circle further left, with the box and area that its outline has."""
    from shapes_set import official

    return official([circle(20 + x, 20, 14)])


def codes(report: Report) -> list[str]:
    return sorted(finding.code for finding in report.findings)


LAYOUTS = {"folder": folder_set, "file": single_set}
FOUND = ("CI", "SP", "KN")


def plant(path: Path, defect: Defect) -> None:
    text = path.read_bytes()
    if defect.plant is not None:
        content = json.loads(text)
        defect.plant(content)
        write(path, content, indent=2 if b"\n" in text else None)
    if defect.raw is not None:
        path.write_bytes(defect.raw(path.read_bytes()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clean_set_gives_no_finding(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "set")
    root = path if layout == "file" else path.parents[1]
    assert codes(validate(root)) == []
    assert validate(root).exit_code == 0


# What a change of one split's categories means for the other, and what is missing from it, are rules of their own.
ELSEWHERE = {
    "category id twice": ["SP002"],
    "category name twice": ["SP002"],
    "padded name": ["SP002"],
    "names differ by case": ["SP002", "SP005"],
    "category 0": ["SP002"],
    "gap": ["SP002"],
    "unused background": ["SP002"],
    "background in use": ["SP002"],
    "unused": ["SP002"],
    "imbalance": ["SP002", "SP005"],
    "misspelt": [],
    "category without name": ["SP002", "SP003"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.codes.split()[0]}-{defect.name}")
def test_defect_gives_its_finding_alone(tmp_path: Path, defect: Defect, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "set")
    root = path if layout == "file" else path.parents[1]
    plant(path, defect)

    report = validate(root, select=FOUND)

    follows = ELSEWHERE.get(defect.name, []) if layout == "folder" else []
    assert codes(report) == sorted([*defect.codes.split(), *follows])
    assert all(finding.path.resolve() == path.resolve() for finding in report if finding.code.startswith("CI0"))


@pytest.mark.parametrize(
    "defect", [each for each in DEFECTS if each.fix], ids=lambda defect: f"{defect.codes.split()[0]}-{defect.name}"
)
def test_fix_mends_it_for_good(tmp_path: Path, defect: Defect) -> None:
    path = single_set(tmp_path / "set")
    clean = path.read_bytes()
    plant(path, defect)
    broken = path.read_bytes()
    before = set(codes(validate(path)))
    code = defect.codes.split()[0]

    preview = validate(path, fix=defect.fix, diff=True)
    assert preview.diff
    assert path.read_bytes() == broken
    if defect.fix == "unsafe" and code != "CI016":
        safe = validate(path, fix="safe")
        assert code in codes(safe)
        assert not safe.removed
        path.write_bytes(broken)

    after = validate(path, fix=defect.fix)

    assert code not in codes(after)
    # The image whose objects nobody can tell from another's has none then; objects of two entries may nearly be one.
    left = {"image id twice": {"CI042"}, "file name twice": {"CI041"}}.get(defect.name, set())
    assert set(codes(after)) <= before | left
    assert after.fixed
    assert (path.parent / "annotations.json.bak").read_bytes() == broken
    mended = path.read_bytes()
    second = validate(path, fix=defect.fix)
    assert not second.fixed
    assert path.read_bytes() == mended
    json.loads(mended)
    if defect.fix == "safe" and defect.plant is not None:
        assert not [line for line in after.removed if "/annotations/" in line]
        assert len(json.loads(mended)["annotations"]) == len(json.loads(clean)["annotations"])


@pytest.mark.parametrize(
    "name", ["area of the box", "no area", "no box", "boolean crowd", "id 0", "no such image", "nan"]
)
def test_fix_leaves_every_other_line_as_it_is(tmp_path: Path, name: str) -> None:
    path = single_set(tmp_path / "set")
    plant(path, next(defect for defect in DEFECTS if defect.name == name))
    before = path.read_text("utf-8").splitlines()
    validate(path, fix="unsafe", select=["CI"])
    after = path.read_text("utf-8").splitlines()
    row = json.loads("\n".join(before))["annotations"][ELL]
    size = len(json.dumps(row, indent=2).splitlines())
    kept = sum(line in set(before) for line in after)
    assert kept >= len(after) - 2
    assert len(before) - size - 1 <= len(after) <= len(before) + 1


def test_removed_things_are_listed(tmp_path: Path) -> None:
    path = single_set(tmp_path / "set")
    plant(path, next(defect for defect in DEFECTS if defect.name == "no such image"))
    report = validate(path, fix="unsafe")
    assert [line for line in report.removed if "annotation 2" in line and "CI009" in line]


def test_wide_clean_set_is_silent(tmp_path: Path) -> None:
    """5,000 images, 30,000 objects of every kind."""
    path = tmp_path / "annotations" / "instances_val2017.json"
    write(path, data(5000))
    report = validate(path)
    assert codes(report) == []
    assert report.checked["annotations"] == 30_000


def test_official_category_ids_are_passed_over(tmp_path: Path) -> None:
    content = data(80)
    gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    ids = [number for number in range(1, 91) if number not in gaps]
    content["categories"] = [{"id": number, "name": f"class {number}"} for number in ids]
    for place, entry in enumerate(content["annotations"]):
        entry["category_id"] = ids[place % 80]
    write(tmp_path / "a.json", content)
    assert codes(validate(tmp_path / "a.json")) == []


@pytest.mark.parametrize(
    "defect", [each for each in DEFECTS if each.fix and each.name in ELSEWHERE], ids=lambda each: each.name
)
def test_fix_in_one_split_brings_the_others_along(tmp_path: Path, defect: Defect) -> None:
    path = folder_set(tmp_path / "set")
    root = path.parents[1]
    plant(path, defect)
    before = set(codes(validate(root)))
    after = validate(root, fix=defect.fix)
    assert set(codes(after)) < before
    assert not {"SP002", defect.codes.split()[0]} & set(codes(after))
    assert not validate(root, fix=defect.fix).fixed


@pytest.mark.parametrize("wrong", [lambda polygon: polygon, lambda polygon: [polygon, [0.1, None, 0.2, 0.3, 0.4, 0.4]]])
def test_fractions_are_multiplied_once_they_are_polygons(tmp_path: Path, wrong: Callable[[list[float]], Any]) -> None:
    polygon, box = [0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75], [0.25, 0.25, 0.5, 0.5]
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 64} for number in (1, 2, 3)]
    own = {"category_id": 1, "iscrowd": 0, "area": 0.25, "bbox": box, "segmentation": wrong(polygon)}
    annotations = [{"id": number, "image_id": number, **own} for number in (1, 2, 3)]
    path = tmp_path / "set.json"
    write(path, {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]})
    report = validate(path, select=["CI"], fix="unsafe")
    assert not report.findings
    assert not report.not_fixed
    for entry in json.loads(path.read_text())["annotations"]:
        assert (entry["bbox"], entry["area"]) == ([16, 16, 32, 32], 1024)
        assert entry["segmentation"] == [[64 * number for number in polygon]]


SOUND = [1, 1, 100, 1, 100, 100, 1, 100]


@pytest.mark.parametrize(
    ("polygons", "box", "left"),
    [
        ([SOUND, [5, 5]], [1, 1, 99, 99], [SOUND]),
        ([SOUND, [5, 5, 9, 9]], [1, 1, 99, 99], [SOUND]),
        (
            [[29990, 10, 30003, 10, 30003, 30, 29990, 30]],
            [29990, 10, 13, 20],
            [[29990, 10, 29990, 30, 30000, 30, 30000, 10]],
        ),
        ([SOUND], [1, 1, 0.5, 0.5], [SOUND]),
    ],
)
def test_objects_of_an_image_too_large_to_draw_stay(tmp_path: Path, polygons: Any, box: Any, left: Any) -> None:
    image = {"id": 1, "file_name": "1.jpg", "width": 30_000, "height": 30_000}
    own = {"category_id": 1, "iscrowd": 0, "area": 9801, "bbox": box, "segmentation": polygons}
    path = tmp_path / "set.json"
    categories = [{"id": 1, "name": "a"}]
    write(path, {"images": [image], "annotations": [{"id": 1, "image_id": 1, **own}], "categories": categories})
    validate(path, select=["CI"], fix="unsafe")
    (entry,) = json.loads(path.read_text())["annotations"]
    assert entry["segmentation"] == left


FAR = 1e308


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("box", [[FAR] * 4, [-FAR, -FAR, FAR, FAR], [1, 1, FAR, FAR], [0, 0, -FAR, -FAR]])
def test_boxes_beyond_everything_are_findings_and_no_warnings(tmp_path: Path, box: list[float]) -> None:
    path = tmp_path / "set.json"
    content = data(2)
    for annotation in content["annotations"]:
        annotation["bbox"] = box
    write(path, content)
    report = validate(path, jobs=1)
    assert {finding.code for finding in report} == {"CI032" if box[2] < 0 else "CI034"}
    assert all("e308" in finding.found for finding in report)


@pytest.mark.filterwarnings("error")
def test_statistics_of_areas_beyond_everything(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    content = data(1)
    for annotation in content["annotations"]:
        annotation["area"] = FAR
    write(path, content)
    (split,) = statistics(find(path))
    assert split.without_area == split.objects == len(content["annotations"])
