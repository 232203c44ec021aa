"""The pages hold what they should, nothing is loaded from elsewhere, and names of the data do no harm."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from squares import annotation, draw, result, truth

pytest.importorskip("hotcoco")
pytest.importorskip("jinja2")

from seg2knet.judge.analysis import analyse
from seg2knet.judge.compare import compared
from seg2knet.judge.objects import Judged
from seg2knet.judge.page import as_csv, audit_page, classes_page, compare_page, model_page
from seg2knet.judge.suspects import Suspect

FOUND = [result(1, 1, 10, 10, 0.9), result(1, 2, 60, 10, 0.8)]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    content = truth(annotation(1, 1, 1, 10, 10), annotation(2, 1, 1, 60, 10), annotation(3, 2, 1, 30, 30))
    content["categories"][0]["name"] = "</script><b>car"
    return Judged(content, FOUND, draw(tmp_path / "images", content))


def test_the_page_of_a_model(judged: Judged) -> None:
    page = model_page("best.pth on data", judged, analyse(judged.truth, judged.results, 0.5))
    assert page.count("</script>") == 2
    assert "<b>car" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/jpeg") >= 5  # three objects, and a pair for the worst image
    assert "0.50" in page


def test_an_image_that_is_gone_leaves_the_rest(judged: Judged) -> None:
    (judged.images / "1.png").unlink()
    page = model_page("t", judged, analyse(judged.truth, judged.results, 0.5))
    assert page.count("data:image/jpeg") >= 1


def test_the_page_of_two_models(judged: Judged) -> None:
    other = Judged(judged.truth, FOUND[:1], judged.images)
    comparison = compared(judged, other, ("a.pth", "b.pth"), samples=20)
    page = compare_page(comparison)
    assert "a.pth" in page
    assert "AP50" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_the_page_of_suspects(judged: Judged) -> None:
    ranked = [
        Suspect("missing", 0.9, 1, (), 1, 2, "dog with score 0.80; nothing is annotated there"),
        Suspect("spurious", 0.4, 2, (3,), None, None, "</script>"),
    ]
    page = audit_page("data/coco", judged, ranked)
    assert page.count("data:image/jpeg") == 2
    assert page.count("</script>") == 2
    assert '"rank": 1, "kind": "missing"' in page


def test_csv(judged: Judged) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(analyse(judged.truth, judged.results)))))
    assert rows[0]["name"] == "all classes"
    assert rows[1]["name"] == "</script><b>car"
    assert float(rows[1]["AP50"]) == pytest.approx(float(rows[0]["AP50"]), abs=1e-6)


def test_the_page_of_classes_has_the_weakest_first() -> None:
    rows = [{"class": "sky", "IoU": 0.9, "pixels": 10}, {"class": "<road>", "IoU": 0.25, "pixels": 7}]
    page = classes_page("best.pth", 3, {"mIoU": 0.575}, rows)
    assert page.index("&lt;road&gt;") < page.index("sky")
    assert "0.250" in page


def test_a_class_that_does_not_occur_has_no_row() -> None:
    rows = [{"name": "ghost", "PQ": None}, {"name": "sky", "PQ": 0.5}, {"name": "road", "PQ": 0.25}]
    page = classes_page("best.pth", 3, {"PQ": 0.375}, rows)
    assert "ghost" not in page
    assert page.index("road") < page.index("sky")
