"""How our mails look in a real browser: at three widths, for readers who like it light or dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.pictures import make
from tests.pictures.browser import SCHEMES, WIDTHS, Scheme, chromium, shown
from tests.pictures.mails import Mail, all_mails, hard_mails

MAILS = list(all_mails())
HARD = list(hard_mails())
PICTURED = make.everything()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("mail", MAILS, ids=[mail.name for mail in MAILS])
def test_nothing_of_a_mail_is_hidden_cut_off_or_hard_to_read(
    browser: Browser, mail: Mail, tmp_path: Path
) -> None:
    for width in WIDTHS:
        for scheme in SCHEMES:
            with shown(browser, mail.page, width, scheme) as page:
                picture = tmp_path / f"{width}-{scheme}.png"
                picture.write_bytes(page.picture())
                assert page.faults() == [], f"{mail.name}, {width} px, {scheme}: {picture}"


@pytest.mark.parametrize("mail", HARD, ids=[mail.name for mail in HARD])
def test_few_fields_and_long_words_fit_on_a_phone(browser: Browser, mail: Mail) -> None:
    for scheme in SCHEMES:
        with shown(browser, mail.page, 320, scheme) as page:
            assert page.faults() == [], f"{mail.name}, {scheme}"


@pytest.mark.parametrize("mail", MAILS, ids=[mail.name for mail in MAILS])
def test_light_and_dark_are_two_looks(browser: Browser, mail: Mail) -> None:
    grounds = set()
    for scheme in SCHEMES:
        with shown(browser, mail.page, 600, scheme) as page:
            grounds.add(page.picture())
    assert len(grounds) == 2


HEAD = '<!doctype html><html lang="en"><body style="margin:0;background:#fff;color:#000">'
FAULTS = {
    "runs out sideways": '<p>x</p><table width="700"><tr><td>wide</td></tr></table>',
    "is outside": '<p style="margin-left:-90px">half of it is away</p>',
    "is clipped": '<p style="height:8px;overflow:hidden">cut off below</p>',
    "has a contrast of only": '<p style="color:#999">pale</p>',
    "is a link nobody sees": '<p>x</p><a href="https://x.example" style="opacity:0">way out</a>',
    "asks the network": '<p>x</p><img src="https://x.example/pixel.gif" alt="">',
    "shows no text": "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_look_finds_each_fault(browser: Browser, fault: str) -> None:
    with shown(browser, HEAD + FAULTS[fault], 320, "light") as page:
        assert any(fault in found for found in page.faults())


def test_a_mail_that_is_dark_on_dark_for_night_readers_only_is_found(browser: Browser) -> None:
    page_source = HEAD.replace("<body", "<head><style>:root{color-scheme:light dark}"
                               "@media (prefers-color-scheme:dark){body{background:#111!important}}"
                               "</style></head><body") + "<p>night</p>"  # fmt: skip
    found: dict[Scheme, list[str]] = {}
    for scheme in SCHEMES:
        with shown(browser, page_source, 320, scheme) as page:
            found[scheme] = page.faults()
    assert found["light"] == []
    assert "contrast" in found["dark"][0]


def test_the_pictures_in_the_documentation_are_all_there_and_small() -> None:
    pictures = {path.stem for path in make.FOLDER.glob("*.png")}
    assert pictures == {one.name.replace("_", "-") for one in PICTURED}
    assert sum(path.stat().st_size for path in make.FOLDER.iterdir()) < 3_000_000
