"""`campaign preview`: one person's letter on the screen and as files, and nothing sent."""

from __future__ import annotations

import email
import io
import re

import pytest
from rich.console import Console
from sqlalchemy import func, select

from mailbot.cli.campaign import preview_screen
from mailbot.core.tokens import TokenKey, TokenKeys, verify_opt_out
from mailbot.store.engine import Database
from mailbot.store.tables import outbox
from tests.cli.campaign.test_campaign import create
from tests.cli.conftest import Shell

HTML = (
    "<html><head><style>p {color: red}</style></head><body><h1>New teas</h1>"
    "<p>Dear {{ first_name }} &amp; family,</p><ul><li>Assam</li><li>Darjeeling</li></ul>"
    '<p><a href="https://lindenhof.de/teas">Look at them</a></p></body></html>'
)


def test_a_letter_is_shown_with_headers_text_and_what_its_html_says(
    mailbot: Shell, database: Database
) -> None:
    assert create(mailbot, "--html", mailbot.write("letter.html", HTML)).code == 0
    ended = mailbot("campaign", "preview", "spring")
    assert ended.code == 0
    assert "as line 2 of the audience gets it" in ended.out, "the heading is line 1"
    assert re.search(r"To +ann@example.org", ended.out)
    assert re.search(r"Subject +New teas are in", ended.out)
    assert "Dear Ann,\n\nnew teas are in." in ended.out
    assert "Dear Ann & family," in ended.out
    assert "• Assam\n• Darjeeling" in ended.out
    assert "Look at them <https://lindenhof.de/teas>" in ended.out
    assert "color: red" not in ended.out
    with database.read() as conn:
        assert conn.execute(select(func.count()).select_from(outbox)).scalar() == 0


def test_whose_letter_is_the_line_of_the_audience_file(mailbot: Shell) -> None:
    assert create(mailbot).code == 0
    assert "Dear Cleo," in mailbot("campaign", "preview", "spring", "--line", "4").out
    ended = mailbot("campaign", "preview", "spring", "--line", "5")
    assert ended.code == 65
    assert "nobody stands in line 5" in ended.err


def test_the_saved_letter_is_whole_and_its_way_out_is_nobodys(mailbot: Shell) -> None:
    assert create(mailbot, "--html", mailbot.write("letter.html", HTML)).code == 0
    folder = mailbot.folder / "out"
    assert mailbot("campaign", "preview", "spring", "--save", str(folder)).code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "spring.eml", "spring.html", "spring.txt"
    ]  # fmt: skip
    letter = email.message_from_bytes((folder / "spring.eml").read_bytes())
    found = re.search(r"\+u-([a-z2-7]+)@", letter["List-Unsubscribe"])
    assert found is not None
    secret = bytes.fromhex((mailbot.folder / "token-key-1").read_text().strip())
    token = verify_opt_out(TokenKeys((TokenKey(1, secret),)), found[1])
    assert token.person_hash == "0" * 32
    assert "Dear Ann &amp; family" in (folder / "spring.html").read_text(encoding="utf-8")


def test_the_page_that_a_preview_links_to_is_nobodys_too(mailbot: Shell) -> None:
    settings = mailbot.config.read_text()
    mailbot.config.write_text(f'{settings}[public]\nurl = "https://mail.shop.example"\n')
    assert create(mailbot).code == 0
    shown = mailbot("campaign", "preview", "spring").out
    found = re.search(r"https://mail\.shop\.example/u/([a-z2-7]{47})", shown)
    assert found is not None, shown
    secret = bytes.fromhex((mailbot.folder / "token-key-1").read_text().strip())
    assert verify_opt_out(TokenKeys((TokenKey(1, secret),)), found[1]).person_hash == "0" * 32


def test_a_folder_that_cannot_be_written_is_told(mailbot: Shell) -> None:
    assert create(mailbot).code == 0
    file = mailbot.write("taken", "a file")
    ended = mailbot("campaign", "preview", "spring", "--save", file)
    assert ended.code == 65
    assert "Name a folder" in ended.err


def test_a_wide_terminal_shows_text_and_html_side_by_side(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create(mailbot, "--html", mailbot.write("letter.html", HTML)).code == 0
    screens = {
        width: Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        for width in (100, 60)
    }
    for width, screen in screens.items():
        monkeypatch.setattr(preview_screen, "console", lambda screen=screen: screen)
        assert mailbot("campaign", "preview", "spring").code == 0
        assert isinstance(screen.file, io.StringIO)
        lines = screen.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        is_beside = any("Dear Ann," in line and "New teas" in line for line in lines)
        assert is_beside is (width == 100)
        assert any("Dear Ann & family," in line for line in lines)
