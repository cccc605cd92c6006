"""From the button on the page to the list, and back: browser, page, daemon and relay, all real."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from mailbot.core.consent import Reason
from tests.house import House, installed, wait_until
from tests.pictures.browser import chromium
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.test_story import all_is_over, hand_over, is_listed, offers, queue_campaign
from tests.web.pressing import page_process
from tests.web.storm import PUBLIC

ANN, BOB = "ann@example.org", "bob@example.org"
LIMIT = 60  # seconds in which anything happens, on the slowest machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=free_port(), relay_port=relay.port, username="help", password="none",
        more=PUBLIC,
    ) as made:  # fmt: skip
        (tmp_path / "wishes").mkdir()
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What systemd holds, whether or not the page runs."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        yield held


@pytest.fixture
def page(house: House, listener: socket.socket) -> Iterator[str]:
    """The page's address on this machine."""
    with page_process(house.config, listener.fileno(), "mailbot", "web", "public"):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(params=[True, False], ids=["script allowed", "script off"])
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=request.param, locale="en")
    yield context.new_page()
    context.close()


def link_in(taken: relays.Taken, page: str, path: str) -> str:
    """The link of a mail, as this machine's page answers it."""
    body = taken.message.get_body(("plain",))
    assert body is not None
    found = re.search(rf"https://mail\.shop\.example(/{path}/\S+)", body.get_content())
    assert found is not None, body.get_content()
    return page + found[1]


def is_told_of_an_order(relay: relays.Relay, who: str) -> bool:
    return any("orders@" in str(taken.message["From"]) for taken in relay.to(who))


def test_a_customer_leaves_by_the_link_of_a_mail_undoes_it_and_comes_back_later(
    house: House, relay: relays.Relay, page: str, tab: Page
) -> None:
    queue_campaign(house, "first", ANN)
    house.start()
    wait_until(lambda: len(offers(relay, ANN)) == 1, LIMIT, "the first offer comes")
    link = link_in(offers(relay, ANN)[0], page, "u")

    tab.goto(link)
    tab.get_by_role("button", name="Unsubscribe").click()
    tab.get_by_role("heading", name="You get no more offers").wait_for()
    wait_until(lambda: is_listed(house, ANN, Reason.OPT_OUT), LIMIT, "Ann is on the list")
    tab.get_by_role("button", name="Undo").click()
    tab.get_by_role("heading", name="Taken back").wait_for()
    wait_until(lambda: not is_listed(house, ANN, Reason.OPT_OUT), LIMIT, "that is taken back")

    tab.goto(link)
    tab.get_by_role("button", name="Unsubscribe").click()
    wait_until(lambda: is_listed(house, ANN, Reason.OPT_OUT), LIMIT, "Ann is on the list again")
    queue_campaign(house, "second", ANN, BOB)
    hand_over(house, ANN, "order-1")
    wait_until(lambda: all_is_over(house, offers=3), LIMIT, "everything is over")
    assert len(offers(relay, ANN)) == 1, "no offer after she left"
    assert len(offers(relay, BOB)) == 1
    wait_until(lambda: is_told_of_an_order(relay, ANN), LIMIT, "order status goes on")

    tab.goto(link)
    tab.get_by_role("link", name="Want offers again?").click()
    before = len(relay.to(ANN))
    tab.get_by_role("button", name="Send me that mail").click()
    wait_until(lambda: len(relay.to(ANN)) > before, LIMIT, "the mail with the link comes")
    assert is_listed(house, ANN, Reason.OPT_OUT), "asking brings nobody back"
    tab.goto(link_in(relay.to(ANN)[-1], page, "c"))
    assert is_listed(house, ANN, Reason.OPT_OUT), "nor does opening the link"
    tab.get_by_role("button", name="Yes, send me offers").click()
    wait_until(lambda: not is_listed(house, ANN, Reason.OPT_OUT), LIMIT, "Ann is back")
