"""Which folders are watched, and what each means for the mail in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.inbound.folders import WatchedFolder, watched_folders
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import Folder, Role, role_of
from mailbot.store import consent, suppressions
from tests.inbound.desk import Desk
from tests.inbound.letters import SHOP, letter, person
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.store.filling import campaign_under_way


def changed(settings: MailboxSettings, **values: object) -> MailboxSettings:
    return MailboxSettings.model_validate(settings.model_dump() | values)


def names(folders: tuple[WatchedFolder, ...]) -> list[str]:
    return [folder.name for folder in folders]


ORDINARY = (
    Folder("INBOX", Role.INBOX), Folder("Sent", Role.OTHER), Folder("Archive", Role.ARCHIVE),
    Folder("Trash", Role.TRASH), Folder("Spam", Role.JUNK), Folder("Invoices", Role.OTHER),
)  # fmt: skip
GMAIL = (
    Folder("INBOX", Role.INBOX), Folder("[Gmail]/All Mail", Role.ALL),
    Folder("[Gmail]/Spam", Role.JUNK), Folder("[Gmail]/Trash", Role.TRASH),
)  # fmt: skip


@pytest.fixture
def by_default(settings: MailboxSettings) -> MailboxSettings:
    return changed(settings, folders=())


def test_inbox_archive_trash_and_junk_are_watched_by_default(by_default: MailboxSettings) -> None:
    assert names(watched_folders(by_default, ORDINARY)) == ["INBOX", "Archive", "Trash", "Spam"]


def test_on_gmail_all_mail_is_watched_instead_of_the_inbox(by_default: MailboxSettings) -> None:
    """It holds the inbox and whatever was archived from it."""
    found = names(watched_folders(by_default, GMAIL))
    assert found == ["[Gmail]/All Mail", "[Gmail]/Trash", "[Gmail]/Spam"]


def test_what_the_settings_name_is_watched_and_nothing_else(settings: MailboxSettings) -> None:
    named = changed(settings, folders=("INBOX", "Invoices"))
    assert names(watched_folders(named, ORDINARY)) == ["INBOX", "Invoices"]


def test_the_junk_folder_is_known_for_one(by_default: MailboxSettings) -> None:
    junk = [folder.name for folder in watched_folders(by_default, ORDINARY) if folder.is_junk]
    assert junk == ["Spam"]


def test_a_server_that_lists_nothing_still_has_an_inbox(by_default: MailboxSettings) -> None:
    assert names(watched_folders(by_default, ())) == ["INBOX"]


@pytest.mark.parametrize(
    ("marks", "name", "role"),
    [
        ((rb"\Junk",), "Unwanted", Role.JUNK),
        ((rb"\HasNoChildren", rb"\Trash"), "Weg", Role.TRASH),
        ((), "INBOX.Papierkorb", Role.TRASH),
        ((), "INBOX.Spam", Role.JUNK),
        ((), "Корзина", Role.TRASH),
        ((), "迷惑メール", Role.JUNK),
        ((rb"\Sent",), "Archive", Role.OTHER),
        ((), "inbox", Role.INBOX),
        ((), "Trash talk", Role.OTHER),
    ],
)
def test_a_folders_role_is_its_mark_or_else_its_name(
    marks: tuple[bytes, ...], name: str, role: Role
) -> None:
    assert role_of(marks, name, b".") is role


def test_a_real_servers_folders_are_found_by_their_marks(
    shared_server: Dovecot, by_default: MailboxSettings, user: str
) -> None:
    shared_server.create(user, "Archive")
    shared_server.create(user, "&BBoEPgRABDcEOAQ9BDA-")  # Корзина
    shared_server.create(user, "Projects")
    with Mailbox(by_default, PASSWORD) as mailbox:
        found = names(watched_folders(by_default, mailbox.folders()))
    assert found == ["INBOX", "Archive", "Корзина", "Junk"]


# -- the folder into which staff drag mail --------------------------------------------------------


def test_a_mail_that_staff_drag_there_opts_its_sender_out(desk: Desk) -> None:
    """Whatever it says: a colleague has read it, and decided."""
    desk.server.create(desk.user, "Opt out")
    desk.arrive(letter("Where is my tea?"), folder="Opt out")
    desk.hear("Opt out", is_opt_out=True)
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.events()[0].rule == "opt-out-folder"


def test_a_mail_heard_before_as_unrelated_counts_when_it_is_dragged(desk: Desk) -> None:
    desk.server.create(desk.user, "Opt out")
    mail = letter("Where is my tea?")
    desk.arrive(mail)
    desk.hear()
    assert desk.reasons() == set()
    desk.arrive(mail, folder="Opt out")
    desk.hear("Opt out", is_opt_out=True)
    assert desk.reasons() == {Reason.OPT_OUT}


def test_a_mail_heard_before_its_sender_came_back_counts_when_it_is_dragged(desk: Desk) -> None:
    """Else the colleague's decision would pass for a replay of the first wish."""
    desk.server.create(desk.user, "Opt out")
    mail = letter("unsubscribe")
    desk.arrive(mail)
    desk.hear()
    with desk.database.write() as conn:
        consent.record(conn, came_back())
    assert desk.reasons() == set()
    desk.arrive(mail, folder="Opt out")
    desk.hear("Opt out", is_opt_out=True)
    assert desk.reasons() == {Reason.OPT_OUT}
    desk.arrive(mail, folder="Opt out")  # the same mail once more is a replay
    desk.hear("Opt out", is_opt_out=True)
    assert desk.ledger_length() == 3


def came_back() -> ConsentEvent:
    return ConsentEvent(
        kind=Kind.OPT_IN, source=Source.CONSOLE, person=person(), key="came back",
        received_at=datetime.now(UTC), rule="asked", policy_version="7",
    )  # fmt: skip


def test_a_mail_there_without_a_readable_sender_goes_to_review(desk: Desk) -> None:
    """A colleague asked for something, and it cannot be done: it must not be lost."""
    desk.server.create(desk.user, "Opt out")
    desk.arrive(letter("Where is my tea?", "Ann at example"), folder="Opt out")
    desk.hear("Opt out", is_opt_out=True)
    assert [item.person for item in desk.waiting_reviews()] == [None]


def test_staff_and_reports_are_never_opted_out_by_it(desk: Desk) -> None:
    desk.server.create(desk.user, "Opt out")
    desk.arrive(letter("Lunch?", "Joe <joe@shop.example>"), folder="Opt out")
    desk.hear("Opt out", is_opt_out=True)
    assert desk.ledger_length() == 0


def test_the_settings_folder_is_watched_beside_the_others(by_default: MailboxSettings) -> None:
    with_one = changed(by_default, opt_out_folder="Invoices")
    found = watched_folders(with_one, ORDINARY)
    assert found[-1] == WatchedFolder("Invoices", is_opt_out=True)
    assert names(found)[0] == "INBOX"


# -- lists and groups -----------------------------------------------------------------------------


def through_the_group(reply_to: str) -> bytes:
    return letter(
        "unsubscribe", "Ann via Help <help@shop.example>", f"Reply-To: {reply_to}",
        "List-Id: <help.shop.example>",
    )  # fmt: skip


def test_whoever_stands_behind_our_own_groups_rewritten_from_is_held(desk: Desk) -> None:
    """Google Groups and Mailman write the list's address into From since DMARC."""
    desk.arrive(through_the_group("ann@example.net"))
    desk.hear()
    assert desk.reasons() == {Reason.HELD}
    assert len(desk.waiting_reviews()) == 1


def test_a_known_customer_behind_it_is_out_at_once(desk: Desk) -> None:
    campaign_under_way(desk.database, "ann@example.org")
    desk.change(replace(SHOP, own_lists=frozenset({"help.shop.example"})))
    desk.arrive(through_the_group("ann@example.org"))
    desk.hear()
    with desk.database.read() as conn:
        assert suppressions.reasons(conn, person("ann@example.org")) == {Reason.OPT_OUT}
