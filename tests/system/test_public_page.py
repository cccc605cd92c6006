"""The public page in Chromium: how it looks, and a customer who leaves, undoes and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.pictures.browser import SCHEMES, chromium, shown
from tests.pictures.mails import Mail
from tests.pictures.public_pages import all_pages
from tests.web.conftest import TOKEN
from tests.web.test_serving import Served, end, start

PAGES = list(all_pages())
WIDTHS = (360, 768, 1440)
PAGE = f"/u/{TOKEN}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = start(tmp_path)
    yield served
    end(served)


@pytest.fixture(params=[True, False], ids=["script allowed", "script off"])
def customer(
    browser: Browser, served: Served, request: pytest.FixtureRequest
) -> Iterator[tuple[Page, list[str]]]:
    """A browser's tab, and what it complained of."""
    context = browser.new_context(
        java_script_enabled=request.param, base_url=f"http://127.0.0.1:{served.port}", locale="en"
    )
    tab, complaints = context.new_page(), list[str]()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab, complaints
    context.close()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_nothing_of_a_page_is_hidden_cut_off_or_hard_to_read(
    browser: Browser, page: Mail, tmp_path: Path
) -> None:
    grounds = set()
    for width in WIDTHS:
        for scheme in SCHEMES:
            with shown(browser, page.page, width, scheme) as opened:
                picture = opened.picture()
                grounds.add(picture)
                (tmp_path / f"{width}-{scheme}.png").write_bytes(picture)
                assert opened.faults() == [], f"{page.name}, {width} px, {scheme}: {tmp_path}"
    assert len(grounds) == len(WIDTHS) * len(SCHEMES), "light and dark are two looks"


def test_a_customer_leaves_undoes_and_asks_to_come_back(
    customer: tuple[Page, list[str]], served: Served
) -> None:
    tab, complaints = customer
    tab.goto(PAGE)
    assert served.wishes == [], "to open the page changes nothing"
    tab.get_by_role("button", name="Unsubscribe").click()
    assert tab.get_by_role("heading", level=1).inner_text() == "You get no more offers"
    tab.get_by_role("button", name="Undo").click()
    assert tab.get_by_role("heading", level=1).inner_text() == "Taken back"
    tab.goto(PAGE)
    tab.get_by_role("link", name="Want offers again?").click()
    assert tab.url.endswith(f"/b/{TOKEN}")
    tab.get_by_role("button", name="Send me that mail").click()
    assert tab.get_by_role("heading", level=1).inner_text() == "Look into your mailbox"
    assert [(kind, source) for kind, source, _ in served.wishes] == [
        ("leave", "page"), ("undo", "page"), ("come_back", "page"),
    ]  # fmt: skip
    assert complaints == [], "the browser holds us to our own policy"


def test_the_keyboard_is_enough(customer: tuple[Page, list[str]], served: Served) -> None:
    tab, _ = customer
    tab.goto(PAGE)
    tab.keyboard.press("Tab")
    outline = tab.get_by_role("button").evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid", "one sees where one is"
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="You get no more offers").wait_for()
    assert [kind for kind, _, _ in served.wishes] == ["leave"]


def test_the_style_is_used_and_no_other_site_is_told_the_link(
    customer: tuple[Page, list[str]], served: Served
) -> None:
    tab, complaints = customer
    asked: list[tuple[str, str]] = []
    tab.on("request", lambda sent: asked.append((sent.url, sent.headers.get("referer", ""))))
    tab.context.route("https://hollowandfinch.example/**", lambda route: route.fulfill(body="shop"))
    tab.goto(PAGE)
    button = tab.get_by_role("button").bounding_box()
    assert button is not None and button["height"] >= 44, "large enough for a thumb, so styled"
    tab.get_by_role("link", name="To the shop").click()
    tab.wait_for_url("https://hollowandfinch.example/**")
    assert complaints == []
    elsewhere = [(url, referer) for url, referer in asked if "127.0.0.1" not in url]
    assert elsewhere == [("https://hollowandfinch.example/", "")]
