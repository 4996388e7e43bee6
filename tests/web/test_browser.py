"""The pages in a real Chromium: what a person does at 3 a.m., and what a browser would complain of.

Pictures of each page are written to the folder that `PICTURES` names (else to the test's own), to be looked
at.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from agent.cli import main
from tests.kit.browsing import CHROMIUM, Watched, chromium, served, watched
from tests.kit.pages import LOSS, VC, stored
from tests.kit.replayed import PCAPS

README_PICTURE = Path(__file__).parents[2] / "docs" / "img" / "call.png"
VERDICT = "2.1 % of packets lost between the vc and the customer"
pytestmark = [
    pytest.mark.slow,  # a browser takes its time to start
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Path) -> Iterator[str]:
    with served(store) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def picture(page: Page, name: str, folder: Path) -> None:
    wanted = os.environ.get("PICTURES", "docs/img")
    page.screenshot(path=(folder if wanted == "docs/img" else Path(wanted)) / f"{name}.png", full_page=True)


def open_call(page: Page, base: str) -> None:
    """Opens the call as a person does, and waits until its page is whole: a click returns before that."""
    page.goto(f"{base}/calls?q=0110")
    page.locator("tr[data-call] a").first.click()
    page.wait_for_url("**/call/*")


def test_sentence_typed_at_night_leads_to_the_verdict_by_keys_alone(
    browser: Browser, base: str, tmp_path: Path
) -> None:
    with watched(browser, base) as page:
        page.goto(base)
        picture(page, "overview", tmp_path)
        page.keyboard.type("the call from ...0110 at 15:42 was choppy")  # 1: the search box has the focus
        page.keyboard.press("Enter")
        expect(page.locator("tr[data-call]")).to_have_count(1)
        picture(page, "calls", tmp_path)
        page.locator("body").press("j")  # 2: the first call
        page.keyboard.press("Enter")  # 3: open it
        page.wait_for_url("**/call/*")
        expect(page.locator(".verdict li").first).to_contain_text(VERDICT)
        assert page.locator(".verdict").bounding_box()["y"] < 200  # type: ignore[index]
        picture(page, "call", tmp_path)


def test_plots_have_a_point_for_each_span_that_is_known(browser: Browser, base: str) -> None:
    with watched(browser, base) as page:
        open_call(page, base)
        points = {
            figure.get_attribute("id"): figure.locator("svg").get_attribute("data-points")
            for figure in page.locator("figure.plot").all()
        }
        # Four directions in three slots of 10 s, before the first reports two without jitter; MOS by minute.
        assert points == {"plot-loss": "12", "plot-jitter": "10", "plot-mos": "4", "plot-rtt": "4"}
        drawn = page.locator("#plot-loss path.curve.vc2cust").bounding_box()
        assert drawn is not None
        assert drawn["width"] > 500
        expect(page.locator(".event")).to_have_count(13)
        page.goto(base)
        assert page.locator("#g1-plot-loss svg").get_attribute("data-points") == "4"


def test_message_of_the_ladder_opens_whole(browser: Browser, base: str) -> None:
    with watched(browser, base) as page:
        open_call(page, base)
        message = page.locator("#m1 pre")
        expect(message).to_be_hidden()
        page.locator("#m1 summary").press("Enter")
        expect(message).to_be_visible()
        expect(message).to_contain_text("INVITE sip:+12065550110@10.20.0.1 SIP/2.0")
        columns = {
            name: page.locator(f".leg.{name}").first.bounding_box()["x"]  # type: ignore[index]
            for name in ("left", "right")
        }
        assert columns["left"] < columns["right"]


def test_pages_read_the_same_without_javascript(browser: Browser, base: str) -> None:
    with watched(browser, base, java_script_enabled=False) as page:
        page.goto(base)
        page.locator("#q").fill("0110")
        page.locator("form.search button").click()
        page.locator("tr[data-call] a").first.click()
        assert VERDICT in page.locator(".verdict").inner_text()
        page.locator("#m1 summary").click()
        assert "INVITE sip:" in page.locator("#m1 pre").inner_text()
        expect(page.locator("figure.plot svg path.curve")).to_have_count(14)


def test_pages_meet_the_rules_of_accessibility(browser: Browser, base: str) -> None:
    its = Watched(browser, bypass_csp=True)  # axe is put into the page
    its.page.goto(base)
    broken = _broken(its.page)
    open_call(its.page, base)
    its.page.locator("#m1 summary").click()
    its.page.locator("#figures summary").click()
    broken += _broken(its.page)
    its.page.goto(f"{base}/calls")
    broken += _broken(its.page)
    its.page.emulate_media(color_scheme="dark")
    open_call(its.page, base)
    broken += _broken(its.page, runOnly=["color-contrast"])
    its.context.close()
    assert broken == []


def _broken(page: Page, **options: Any) -> list[str]:
    """What axe-core finds, each with its element."""
    found = Axe().run(page, options=options or None).response["violations"]
    return [f"{one['id']}: {one['help']}: {node['html'][:90]}" for one in found for node in one["nodes"]]


def test_narrow_screen_shows_all_without_scrolling_aside(browser: Browser, base: str, tmp_path: Path) -> None:
    with watched(browser, base, viewport={"width": 360, "height": 740}) as page:
        for name, target in (("overview", "/"), ("calls", "/calls?q=0110"), ("call", None)):
            open_call(page, base) if target is None else page.goto(base + target)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            picture(page, f"{name}-360", tmp_path)
        assert page.locator(".verdict").bounding_box()["y"] < 300  # type: ignore[index]


def test_dark_ground_is_dark_and_paper_is_white(browser: Browser, base: str, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with watched(browser, base, color_scheme="dark") as page:
        open_call(page, base)
        assert page.evaluate(ground) == "rgb(16, 21, 26)"
        picture(page, "call-dark", tmp_path)
        page.emulate_media(media="print")
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        expect(page.locator(".search")).to_be_hidden()
        expect(page.locator("#m1 pre")).to_be_visible()
        assert page.pdf()[:5] == b"%PDF-"


def test_picture_of_the_readme_shows_the_verdict_and_is_small(browser: Browser, base: str) -> None:
    """With `PICTURES=docs/img` it is taken anew."""
    with watched(browser, base, viewport={"width": 1180, "height": 1180}) as page:
        open_call(page, base)
        expect(page.locator(".verdict")).to_contain_text(VERDICT)
        if os.environ.get("PICTURES") == "docs/img":
            page.screenshot(path=README_PICTURE)
    assert README_PICTURE.stat().st_size < 200_000


def test_call_in_progress_brings_itself_up_to_date(browser: Browser, tmp_path: Path) -> None:
    stored(tmp_path)
    connection = sqlite3.connect(tmp_path / "sbcwatch.sqlite", isolation_level=None)
    (end_ns,) = connection.execute("SELECT end_ns FROM call_index").fetchone()
    connection.execute("UPDATE call_index SET end_ns=NULL, end_reason=NULL")
    connection.execute("DELETE FROM rows WHERE kind='calls'")
    with served(tmp_path) as base, watched(browser, base) as page:
        page.clock.install()
        open_call(page, base)
        expect(page.locator(".live")).to_have_text("live")
        page.locator("#m1 summary").click()
        connection.execute("UPDATE call_index SET end_ns=?, end_reason='bye'", (end_ns,))
        page.clock.fast_forward(11_000)
        expect(page.locator(".live")).to_have_count(0)
        expect(page.locator("#m1 pre")).to_be_visible()  # what was open stays open
    connection.close()


def test_report_needs_neither_network_nor_script(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    files = [str(PCAPS / name) for name in LOSS]
    assert main(["report", *files, *VC, "-o", str(path)]) == 0
    its = Watched(browser, offline=True, java_script_enabled=False)
    its.page.goto(path.as_uri())
    assert VERDICT in its.page.locator(".verdict").inner_text()
    assert its.page.locator("figure.plot svg path.curve").count() == 14
    assert its.page.locator(".lane.bad").bounding_box()["width"] > 200  # type: ignore[index]
    picture(its.page, "report", tmp_path)
    its.context.close()
    assert its.complaints == []
    assert [url for url in its.asked if not url.startswith("file:")] == []
