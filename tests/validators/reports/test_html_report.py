"""The HTML report, clicked through in headless Chromium; what needs no browser is tested without."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_sets import change, coco, noise

from seg2knet.validators.engine import validate
from seg2knet.validators.reports import FORMATS, html

JSON = "annotations/instances_train2017.json"
SCRIPT = "<script>document.title='taken over'</script>"
IMAGE = "<img src=x onerror=\"document.title='taken over'\">.jpg"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a set with faults, with markup in the names of a class and of an image."""
    folder = tmp_path_factory.mktemp("html")
    root = coco(folder / "set", images=6)
    change(root / JSON, lambda data: data["categories"][0].update(name=SCRIPT))
    change(root / JSON, lambda data: data["images"][0].update(file_name=IMAGE))
    change(root / JSON, lambda data: [each.update(bbox=[0, 0, 40, 40]) for each in data["annotations"][2:7]])
    change(root / JSON, lambda data: data["annotations"][8].update(area=7))
    for place, name in enumerate(("orphan.jpg", "second.jpg")):
        Image.fromarray(noise(70 + place)).save(root / "train2017" / name)
    with pytest.MonkeyPatch.context() as patch:  # before the cache of each test
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        report = validate(root)
    (folder / "report.html").write_text(FORMATS["html"](report), encoding="utf-8")
    (folder / "codes.json").write_text(json.dumps([finding.code for finding in report.findings]))
    return folder / "report.html"


def embedded(page: Path) -> dict[str, Any]:
    text = page.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_one_file_without_network_and_with_nothing_of_the_data_as_markup(page: Path) -> None:
    text = page.read_text("utf-8")
    assert SCRIPT not in text
    assert "<img src=x" not in text
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    assert "default-src 'none'" in text


def test_every_finding_is_in_it_and_objects_have_images(page: Path) -> None:
    data = embedded(page)
    assert [each["code"] for each in data["findings"]] == json.loads(page.with_name("codes.json").read_text())
    drawn = [each["thumb"] for each in data["findings"] if each["code"] in ("CI034", "IM009", "CI037")]
    assert None not in drawn
    assert all(thumb.startswith("data:image/jpeg;base64,") for thumb in data["thumbs"])


def test_what_is_cut_is_said(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_OF_RULE", 2)
    monkeypatch.setattr(html, "DRAWINGS_OF_RULE", 1)
    report = validate(page.parent / "set", select=["CI034"])
    text = FORMATS["html"](report)
    assert "The page holds 2 of 5 findings" in text
    assert "1 of them have a drawing" in text
    assert "The page holds" not in FORMATS["html"](report, show_all=True)


def test_clean_set(tmp_path: Path) -> None:
    text = FORMATS["html"](validate(coco(tmp_path / "set"), select=["IM", "CP"]))
    assert "No findings" in text
    assert text.count("<svg") == 4


def test_annotations_without_any_image(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    change(root / JSON, lambda data: data["images"].clear())
    report = validate(root)
    assert "CI009" in [finding.code for finding in report]
    assert "CI009" in FORMATS["html"](report)


def test_hostile_annotations_make_no_image_and_no_error(tmp_path: Path) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    shapes: list[Any] = [
        [[1e300, 5, 6, 7, 8, 9]],
        [[5, 5, "x", 7, 8, 9]],
        {"size": [10**9, 10**9], "counts": "abc"},
        {"size": [48, 64], "counts": [-5]},
        {"counts": None},
        "text",
    ]
    for place, shape in enumerate(shapes):
        change(
            root / JSON, lambda data, place=place, shape=shape: data["annotations"][place].update(segmentation=shape)
        )
    change(root / JSON, lambda data: data["annotations"][0].update(bbox=[-1e9, 5, -3, None]))
    assert "<html" in FORMATS["html"](validate(root))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync"):
        options.add_argument(f"--{word}")
    for word in ("disable-component-update", "no-first-run", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.set_window_size(1280, 900)
    browser.get(page.as_uri())
    return browser


def cards(browser: Any) -> list[str]:
    """The codes of the findings that are shown."""
    return [each.text for each in browser.find_elements("css selector", "#list article .head b")]


def test_filters_show_what_they_say(opened: Any, page: Path) -> None:
    codes = json.loads(page.with_name("codes.json").read_text())
    assert cards(opened) == codes
    opened.find_element("css selector", "tr[data-rule='CI034']").click()
    assert cards(opened) == ["CI034"] * 5
    opened.find_element("css selector", "tr[data-rule='CI034']").click()
    assert cards(opened) == codes

    severities = {each["code"]: each["severity"] for each in embedded(page)["findings"]}
    opened.find_element("css selector", "button[data-severity='warning']").click()
    assert cards(opened) == [code for code in codes if severities[code] != "warning"]
    opened.find_element("css selector", "button[data-severity='warning']").click()

    search = opened.find_element("css selector", "#text")
    search.send_keys("orphan.jpg annotation")
    assert cards(opened) == ["IM009"]
    assert "1 of 1" in opened.find_element("css selector", "#count").text
    search.clear()
    search.send_keys("nothing has these words")
    assert cards(opened) == []
    search.clear()
    search.send_keys(" ")
    choice = opened.find_element("css selector", "#file option[value='train2017/orphan.jpg']")
    choice.click()
    assert cards(opened) == ["IM009"]


def test_nothing_of_the_data_ran_and_nothing_failed(opened: Any) -> None:
    assert "taken over" not in opened.title
    assert IMAGE in opened.find_element("css selector", "#list").text
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_images_load(opened: Any) -> None:
    widths = opened.execute_async_script(
        """
        const load = (each) => { each.loading = "eager"; return each.decode().then(() => each.naturalWidth); };
        Promise.all([...document.images].map(load)).then(arguments[0]);
        """
    )
    assert widths
    assert min(widths) > 20


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_widths_light_and_dark(opened: Any, width: int, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        colours = opened.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        text, paper = (sum(map(int, re.findall(r"\d+", each)[:3])) for each in colours)
        assert (text < paper) == (scheme == "light")
        assert abs(text - paper) > 400
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
