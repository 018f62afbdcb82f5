"""Pages in a real browser, light and dark, wide and narrow: texts apart, axes named, no errors, no requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly")

from browser import CHROMIUM, Tab, new_tab

from dsasim.report.html.figure import axis, figure
from dsasim.report.html.masks import mask_pictures
from dsasim.report.html.page import Page
from dsasim.report.html.parts import Chart, PageSection
from dsasim.report.html.run import run_page
from dsasim.report.html.sweep import sweep_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with new_tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, seen: Any, rows: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "run": run_page(seen.result, seen.over_time, mask_pictures(seen.result, "smollm2-l512", "13:0")),
        "sweep": sweep_page(rows.grid()),
        "search": sweep_page(rows.search()),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page.html(), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
@pytest.mark.parametrize("name", ["run", "sweep", "search"])
def test_pages_look_right(tab: Tab, pages: dict[str, Path], name: str, width: int, dark: bool) -> None:
    tab.open(pages[name], width, dark=dark)
    found = tab.value(CHECKS)
    assert found["wrong"] == []
    assert found["looked"] == tab.value("document.querySelectorAll('.chart').length") > 5
    assert tab.trouble == []


def test_the_theme_follows_the_system_and_the_button(tab: Tab, pages: dict[str, Path]) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    drawn = "getComputedStyle(document.querySelector('.chart .main-svg')).backgroundColor"
    tab.open(pages["sweep"], 1280, dark=True)
    assert tab.value(back) == tab.value(drawn) == "rgb(22, 25, 29)"
    tab.value("document.getElementById('theme').click()")
    tab.settle()
    assert tab.value(back) == tab.value(drawn) == "rgb(255, 255, 255)"
    tab.open(pages["sweep"], 1280, dark=False)
    assert tab.value(back) == tab.value(drawn) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_figures_can_be_exported(tab: Tab, pages: dict[str, Path], kind: str) -> None:
    tab.open(pages["sweep"], 1280, dark=False)
    picture = tab.value(f"Plotly.toImage('front-0-0', {{format: '{kind}'}})")
    assert picture.startswith(f"data:image/{kind}")
    assert len(picture) > 1000
    buttons = tab.value("[...document.querySelectorAll('#front-0-0 .modebar-btn')].map((b) => b.dataset.title)")
    assert buttons[:2] == ["Download plot as a PNG", "Download plot as an SVG"]
    assert tab.trouble == []


def test_the_checks_find_what_is_wrong(tab: Tab, tmp_path: Path) -> None:
    texts = [{"x": 1, "y": 1, "text": "one over the other", "showarrow": False}] * 2
    bad = figure([], 200, annotations=texts, xaxis=axis("nothing"), yaxis={}, width=2000)
    (tmp_path / "bad.html").write_text(Page("bad", [PageSection("", "", [Chart("bad", bad)])]).html(), encoding="utf-8")
    tab.open(tmp_path / "bad.html", 390, dark=False)
    tab.value("void fetch('https://example.org/').catch(() => 0)")
    tab.value("void console.error('oh')")
    found = "\n".join(tab.value(CHECKS)["wrong"])
    for words in ('is over "one over the other"', 'x "nothing" has no unit', "y has no title", "is empty", "is cut"):
        assert words in found
    tab.settle()
    assert any("oh" in line for line in tab.trouble)
    assert any("example.org" in line for line in tab.trouble)
