"""What really happens to a mailbox: people who clean it, copies, old wishes that turn up late."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.consent import Kind, Reason
from mailbot.core.tokens import sign_undo, undo_address
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_answers import FetchedMessage
from mailbot.inbound.intake import Intake
from mailbot.store import ledger, suppressions
from tests.inbound.desk import Desk
from tests.inbound.letters import HELP, SHOP, TOKEN_KEYS, letter, person
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import ScriptedImap

NOW = datetime.now(UTC)


def resubscribe(who: str = "ann@example.net") -> bytes:
    """What the link of an acknowledgement sends."""
    to = undo_address(HELP, sign_undo(TOKEN_KEYS, person(who).person_hash))
    return letter("resubscribe", f"Ann <{who}>", to=to)


def test_an_older_opt_out_that_turns_up_after_a_newer_opt_in_changes_nothing(desk: Desk) -> None:
    """Order goes by receipt, not by when we came to read it."""
    desk.server.create(desk.user, "Old")
    desk.arrive(letter("unsubscribe"), received_at=NOW - timedelta(days=9))
    desk.arrive(resubscribe(), received_at=NOW - timedelta(days=5))
    desk.hear()
    assert desk.reasons() == set()
    desk.arrive(letter("unsubscribe"), folder="Old", received_at=NOW - timedelta(days=7))
    desk.hear("Old")
    assert desk.reasons() == set()
    assert [event.kind for event in desk.events()] == [Kind.OPT_OUT, Kind.OPT_IN, Kind.OPT_OUT]


def test_a_newer_opt_out_counts_in_whatever_order_the_mails_are_heard(desk: Desk) -> None:
    desk.server.create(desk.user, "Old")
    desk.arrive(letter("unsubscribe"), received_at=NOW - timedelta(days=1))
    desk.hear()
    desk.arrive(resubscribe(), folder="Old", received_at=NOW - timedelta(days=5))
    desk.hear("Old")
    assert desk.reasons() == {Reason.OPT_OUT}


def test_a_mailbox_that_people_clean_in_mid_scan_is_read_to_its_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail is deleted between the search and the fetch; what is left is heard."""
    deleted = desk.arrive(letter("Tea?", "Ben <ben@example.net>"))
    desk.arrive(letter("unsubscribe"))
    last = desk.arrive(letter("Tea!", "Cat <cat@example.net>"))
    fetch = Mailbox.headers

    def clean_first(mailbox: Mailbox, uids: Sequence[int]) -> Iterator[FetchedMessage]:
        desk.server.delete(desk.user, deleted)
        desk.server.delete(desk.user, last)
        return fetch(mailbox, uids)

    monkeypatch.setattr(Mailbox, "headers", clean_first)
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.last_uid() == last
    assert [item.because for item in desk.waiting_reviews()] == []


def test_a_mail_that_is_moved_before_it_was_heard_is_heard_where_it_is(desk: Desk) -> None:
    desk.server.create(desk.user, "Archive")
    uid = desk.arrive(letter("unsubscribe"))
    with desk.server.client(desk.user) as human:
        human.select("INBOX")
        human.uid("MOVE", str(uid), "Archive")
    desk.hear()
    assert desk.reasons() == set()
    desk.hear("Archive")
    assert desk.reasons() == {Reason.OPT_OUT}


def test_one_mail_in_two_mailboxes_is_one_event(desk: Desk) -> None:
    """help@ and info@ are often one alias."""
    mail = letter("unsubscribe")
    desk.arrive(mail)
    desk.hear()
    other = Intake("info at 127.0.0.1", SHOP, desk.database)
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        other.hear(mailbox, WatchedFolder("INBOX"))
    assert len(desk.events()) == 1


def test_two_opt_outs_at_once_are_two_events_and_one_suppression(desk: Desk) -> None:
    """Two mailboxes are read in two threads; the ledger takes one after the other."""
    for part in range(2):
        desk.server.create(desk.user, f"Part{part}")
        for _ in range(4):
            desk.arrive(letter("unsubscribe"), folder=f"Part{part}")
    together = threading.Barrier(2)

    def read(part: int) -> None:
        intake = Intake(f"reader {part}", SHOP, desk.database)
        with Mailbox(desk.settings, PASSWORD) as mailbox:
            together.wait(10)
            intake.hear(mailbox, WatchedFolder(f"Part{part}"))

    threads = [threading.Thread(target=read, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(desk.events()) == 8
    with desk.database.read() as conn:
        assert len(suppressions.of_person(conn, person())) == 1
        assert ledger.verify(conn) is None


@pytest.mark.parametrize("exists", [50_000, 1_000_000])
def test_a_look_at_a_mailbox_without_news_costs_one_command(
    settings: MailboxSettings, exists: int
) -> None:
    """Whether it holds 50,000 mails or a million."""
    answer = (
        f"* {exists} EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT {exists + 1}] n\r\n"
    ).encode()
    with ScriptedImap({"EXAMINE": answer + b"%s OK done\r\n"}) as server:
        changed = settings.model_copy(update={"port": server.port})
        with Mailbox(changed, "x") as mailbox:
            mailbox.examine("INBOX")
            before = len(server.heard)
            mailbox.examine("INBOX")
            assert mailbox.uids_after(exists) == []
            commands = server.heard[before:]
    assert len(commands) == 1
    assert len(answer) < 1000


def test_a_million_mails_are_asked_for_in_windows_that_fit_a_line(
    settings: MailboxSettings,
) -> None:
    """imaplib refuses an answer line over a million bytes."""
    exists = 1_000_000
    examine = (
        f"* {exists} EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT {exists + 1}] n\r\n"
    ).encode() + b"%s OK done\r\n"
    search = b"* SEARCH 1000000\r\n%s OK done\r\n"
    with ScriptedImap({"EXAMINE": examine, "SEARCH": search}) as server:
        changed = settings.model_copy(update={"port": server.port})
        with Mailbox(changed, "x") as mailbox:
            mailbox.examine("INBOX")
            assert mailbox.uids_after(0) == [exists]
        searches = [line for line in server.heard if b"SEARCH" in line]
    assert 10 <= len(searches) <= 15
    assert all(len(line) < 200 for line in searches)
