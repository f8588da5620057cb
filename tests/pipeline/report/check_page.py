"""The report in a real browser: a headless Chromium without a network.

Not collected by `make test`: `make test-report` installs the extra and finds the browser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from pipeline.report.charts import charts
from pipeline.report.command import ask, main
from pipeline.report.readers import LocalReader
from pipeline.report.section import TITLES, Section
from pipeline.report.sections import sections
from pipeline.views.declarations import views
from tests.pipeline.report.conftest import metrics_of
from transforms.metrics.file import load_metrics

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium-headless-shell", "chromium", "google-chrome") if (found := shutil.which(name))), None
)
PHONE = 390
#: A machine that is busy with other things draws slowly; what never comes is told all the same.
_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)
#: The contrast that WCAG 2 asks of text.
LEGIBLE = 4.5
#: Luminance of a colour such as `rgb(1, 2, 3)`, in the page.
_LUMINANCE = """colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(n => n / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""


@dataclass
class Opened:
    """A page, and all that it said and asked."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        self.said.append(message.text)

    def colour(self, selector: str, name: str) -> float:
        """The luminance of a computed colour."""
        computed = self.page.eval_on_selector(selector, f"element => getComputedStyle(element)['{name}']")
        return float(self.page.evaluate(_LUMINANCE, computed))


@pytest.fixture(scope="module")
def file(warehouse: Path) -> Path:
    """The report."""
    output = warehouse / "report.html"
    metrics = ["--metrics_file", str(metrics_of(warehouse))]
    assert main(["--warehouse", str(warehouse), *metrics, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def shown(warehouse: Path) -> list[Section]:
    """What it shows."""
    made = views(load_metrics(metrics_of(warehouse)))
    return sections(ask(LocalReader((warehouse / "posthog_aggregated").resolve(), made)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, (
        "no Chromium is installed (on Debian: apt install chromium-headless-shell), or say where: CHROMIUM=…"
    )
    with sync_playwright() as started:
        # root may only start it without its sandbox; it opens nothing but our own file
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield opened
        opened.close()


@contextmanager
def opened(
    browser: Browser, file: Path, width: int = 1_100, scheme: str = "light", zone: str = "UTC", *, script: bool = True
) -> Iterator[Opened]:
    """The report in a window, drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        offline=True,
        timezone_id=zone,
        java_script_enabled=script,
    )
    context.set_default_timeout(_PATIENCE)
    found = Opened(context.new_page())
    found.page.on("console", found.hear)
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.goto(file.as_uri())
    if script:
        found.page.wait_for_selector("body[data-drawn=yes]")
    yield found
    context.close()


def test_it_is_the_same_for_the_same_tables(file: Path, warehouse: Path) -> None:
    again = warehouse / "again.html"
    metrics = ["--metrics_file", str(metrics_of(warehouse))]
    assert main(["--warehouse", str(warehouse), *metrics, "--output", str(again)]) == 0
    assert again.read_bytes() == file.read_bytes()


def test_it_draws_every_chart_without_a_network_and_without_a_word(
    browser: Browser, file: Path, shown: list[Section]
) -> None:
    with opened(browser, file) as found:
        drawn = [one.name for one in shown if charts(one)]
        assert set(TITLES) - {"checks"} == set(drawn)
        for name in drawn:
            assert found.page.locator(f"#{name} svg [aria-roledescription], #{name} svg path").count() > 2, name
        assert found.said == []
        assert found.asked == [file.as_uri()]


def test_a_request_would_be_heard_and_refused(browser: Browser, file: Path) -> None:
    """The test before could not fail otherwise."""
    with opened(browser, file) as found:
        found.page.evaluate("() => fetch('http://127.0.0.1:9/').catch(() => null)")
        assert any("Content Security Policy" in text for text in found.said)


def test_its_tables_have_the_numbers(browser: Browser, file: Path, shown: list[Section]) -> None:
    with opened(browser, file) as found:
        for section in shown:
            cells = found.page.locator(f"#{section.name} tbody tr")
            assert cells.count() == len(section.rows)
            for column, (name, _) in enumerate(section.columns):
                for row, values in enumerate(section.rows[:3]):
                    text = cells.nth(row).locator("th, td").nth(column).text_content() or ""
                    value = values[column]
                    if isinstance(value, int):
                        assert text == f"{value:,}", (section.name, name)
                    elif isinstance(value, float):
                        scale = 100 if text.endswith("%") else 1
                        assert float(text.rstrip("%").replace(",", "")) == pytest.approx(scale * value, abs=0.051)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 1_100])
def test_it_is_legible_at_any_width_and_by_day_and_night(browser: Browser, file: Path, width: int, scheme: str) -> None:
    with opened(browser, file, width, scheme) as found:
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        for element in found.page.locator("[data-chart] svg").all():
            box = element.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width + 1
            assert box["width"] > 0.8 * (min(width, 992) - 32)
        paper = found.colour("body", "backgroundColor")
        assert (paper > 0.5) == (scheme == "light")
        for selector, colour in (
            ("p", "color"),
            ("a", "color"),
            (".verdict strong", "color"),
            ("#days svg text", "fill"),
        ):
            ink = found.colour(selector, colour)
            light, dark = max(ink, paper), min(ink, paper)
            assert (light + 0.05) / (dark + 0.05) >= LEGIBLE, selector
        assert float(found.page.eval_on_selector("body", "b => parseFloat(getComputedStyle(b).fontSize)")) >= 16


def test_it_is_drawn_anew_when_night_comes(browser: Browser, file: Path) -> None:
    with opened(browser, file) as found:
        by_day = found.colour("#days svg text", "fill")
        found.page.emulate_media(color_scheme="dark")
        label = found.page.locator("#days svg text").first
        expect(label).not_to_have_attribute("fill", "#1b1b1b")
        assert found.colour("#days svg text", "fill") > by_day
        assert found.page.locator("[data-chart=days-spec-0] svg").count() == 1
        assert found.said == []


def test_a_day_is_the_same_day_wherever_the_reader_is(browser: Browser, file: Path, shown: list[Section]) -> None:
    labels = []
    for zone in ("UTC", "America/Los_Angeles", "Pacific/Auckland"):
        with opened(browser, file, zone=zone) as found:
            labels.append(found.page.locator("#days svg text, #weeks svg text, #quality svg text").all_text_contents())
    assert labels[0] == labels[1] == labels[2]
    first = shown[0].rows[0][0]
    assert f"{first:%-d %b}" in labels[0]


def test_a_chart_that_cannot_be_drawn_says_so_and_the_others_are_there(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        file.read_text().replace('id="days-spec-0">{', 'id="days-spec-0">{"encoding": 7, "layer": 7, ', 1)
    )
    with opened(browser, broken) as found:
        expect(found.page.locator("[data-chart=days-spec-0]")).to_contain_text("cannot be drawn")
        assert found.page.locator("#weeks svg").count() == 1
        assert found.said


def test_the_keyboard_reaches_and_opens_the_tables(browser: Browser, file: Path, shown: list[Section]) -> None:
    with opened(browser, file) as found:
        keyboard, focused = found.page.keyboard, "document.activeElement"
        keyboard.press("Tab")
        assert found.page.evaluate(f"{focused}.textContent") == "To the content"
        for _ in range(60):
            keyboard.press("Tab")
            if found.page.evaluate(f"{focused}.tagName") == "SUMMARY":
                break
        assert found.page.evaluate(f"{focused}.closest('section').id") == shown[0].name
        table = found.page.get_by_role("region", name=shown[0].title).get_by_role("table")
        expect(table).to_be_hidden()
        keyboard.press("Enter")
        expect(table).to_be_visible()
        keyboard.press("Tab")  # the table can be scrolled by keys, too
        assert found.page.evaluate(f"{focused}.getAttribute('aria-label')") == shown[0].title


def test_a_screen_reader_finds_headings_charts_and_tables_by_name(
    browser: Browser, file: Path, shown: list[Section]
) -> None:
    with opened(browser, file) as found:
        page = found.page
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.get_by_role("heading", level=1).count() == 1
        for section in shown:
            expect(page.get_by_role("heading", level=2, name=section.title)).to_have_count(1)
            if charts(section):
                expect(page.get_by_role("img", name=f"Chart: {section.title}. {section.told}")).to_have_count(1)
            page.locator(f"#{section.name} details").evaluate("details => details.open = true")
            table = page.get_by_role("table", name=section.title, exact=True)
            expect(table.get_by_role("columnheader")).to_have_count(len(section.columns))
            expect(table.get_by_role("rowheader")).to_have_count(len(section.rows))


def test_without_scripts_the_words_and_tables_are_there(browser: Browser, file: Path, shown: list[Section]) -> None:
    with opened(browser, file, script=False) as found:
        page = found.page
        for section in shown:
            expect(page.get_by_text(section.told, exact=True)).to_be_visible()
            page.locator(f"#{section.name} summary").click() if charts(section) else None
            expect(page.locator(f"#{section.name} table")).to_be_visible()
