"""A person decides about what may or may not have arrived."""

from __future__ import annotations

import csv
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mailbot.cli.stop_marketing import who
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, mailboxes, outbox
from mailbot.store.engine import Database, now
from mailbot.store.tables import outbox as rows
from tests.cli.conftest import Shell
from tests.people import address, person
from tests.store.filling import campaign_under_way, claim, queue_order_status
from tests.store.test_campaign_audit import ANN, BOB, send

CLEO = "cleo@example.org"
SPRING = ("campaign", "uncertain", "spring")


@pytest.fixture
def heard(database: Database) -> Database:
    """A daemon has just looked at help@: nothing else needs a person."""
    account = "help at 127.0.0.1"
    with database.write() as conn:
        mailboxes.acquire_lease(conn, account, claimed_by="mail-1:7:ab", lease_seconds=60)
        mailboxes.heard(conn, account)
    return database


def lose(database: Database, *, resends: int = 0) -> None:
    """All that waits goes out, and no answer is ever heard."""
    for row in claim(database):
        send(database, row, as_state=State.UNCERTAIN)
    with database.write() as conn:
        conn.execute(
            update(rows).values(finished_at=now(conn) - timedelta(hours=1), resends=resends)
        )


def states(database: Database) -> dict[str, str]:
    with database.read() as conn:
        return {row.address: row.state for row in conn.execute(select(rows))}


def test_they_are_counted_and_nobody_is_named(mailbot: Shell, heard: Database) -> None:
    assert mailbot("campaign", "uncertain", "nothing").code == 65
    campaign_under_way(heard, ANN, BOB)
    assert "Nothing of “spring” is uncertain." in mailbot(*SPRING).out
    lose(heard)
    ended = mailbot(*SPRING)
    assert ended.code == 0
    assert "2 messages of “spring” may or may not have arrived, since 2" in ended.out
    assert "mailbot campaign uncertain spring --settle again" in ended.out
    assert "@" not in ended.out
    found = mailbot(*SPRING, "--json").json
    assert (found["uncertain"], found["may_still_be_answered"]) == (2, 0)


def test_status_names_the_command_and_is_content_once_all_is_decided(
    mailbot: Shell, heard: Database
) -> None:
    campaign_under_way(heard, ANN)
    queue_order_status(heard, BOB)
    with heard.write() as conn:
        outbox.enqueue_acknowledgement(
            conn, address=address(CLEO), person=person(CLEO), fields={}, every_days=30,
            our_domain="shop.example",
        )  # fmt: skip
    lose(heard, resends=3)
    shown = mailbot("status")
    assert shown.code == 1
    for kind, command in (
        ("campaign", "mailbot campaign uncertain spring"),
        ("order status", "mailbot order-status uncertain"),
        ("acknowledgement", "mailbot acknowledgement uncertain"),
    ):
        assert f"1 {kind} message may or may not have arrived" in shown.out
        assert f"decide with `{command}`" in shown.out
        assert mailbot(*command.split()[1:], "--settle", "drop").code == 0
    assert mailbot("status").code == 0
    assert set(states(heard).values()) == {"cancelled"}


def test_an_order_status_that_is_resent_by_itself_needs_nobody(
    mailbot: Shell, heard: Database
) -> None:
    queue_order_status(heard)
    lose(heard, resends=2)
    assert mailbot("status").code == 0
    assert "Nothing of order status is uncertain." in mailbot("order-status", "uncertain").out


def test_the_relays_log_settles_some_and_the_others_are_sent_again(
    mailbot: Shell, heard: Database
) -> None:
    campaign_under_way(heard, ANN, BOB, CLEO)
    lose(heard)
    with heard.read() as conn:
        of_bob = rows.c.person_hash == person(BOB).person_hash
        message_id = conn.execute(select(rows.c.message_id).where(of_bob)).scalar_one()
    log = mailbot.write("taken.txt", f"message-id={message_id}\nto=<Ann@Example.org>,\n"
                                     "message-id=<another@elsewhere.example>\n\n")  # fmt: skip
    ended = mailbot(*SPRING, "--sent", log, "--settle", "again", "--yes")
    assert ended.code == 0
    assert "2 messages settled as sent, 1 message queued once more; 0 still" in ended.out
    assert "1 line of" in ended.out
    assert states(heard) == {ANN: "sent", BOB: "sent", CLEO: "queued"}


def test_a_campaign_that_goes_on_for_it_says_who_decided(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, ANN)
    lose(heard)
    with heard.write() as conn:
        assert [over.name for over in campaigns.finish_sent(conn)] == ["spring"]
    assert mailbot(*SPRING, "--settle", "again", "--yes").code == 0
    last = mailbot("campaign", "status", "spring", "--json").json["history"][-1]
    assert (last["state"], last["by"]) == ("sending", who())


def test_the_log_may_come_by_standard_input(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, ANN, BOB)
    lose(heard)
    done = mailbot(*SPRING, "--sent", "-", "--json", given=f"{ANN}\n").json
    assert done["settled"] == {"sent": 1, "again": 0, "drop": 0}
    assert done["uncertain"] == 1


@pytest.mark.parametrize("line", ["nobody", "two words@example.org"])
def test_a_line_that_names_nothing_settles_nothing(
    mailbot: Shell, heard: Database, line: str
) -> None:
    campaign_under_way(heard, ANN)
    lose(heard)
    ended = mailbot(*SPRING, "--sent", mailbot.write("log", f"{ANN}\n{line}\n"))
    assert ended.code == 65
    assert "log, line 2: this is neither a Message-ID nor an address" in ended.err
    assert states(heard) == {ANN: "uncertain"}


def test_a_log_that_is_not_there_is_told(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, ANN)
    ended = mailbot(*SPRING, "--sent", str(mailbot.folder / "missing"))
    assert ended.code == 74
    assert "missing: no such file" in ended.err


def test_their_addresses_are_given_out_for_a_reason_that_is_recorded(
    mailbot: Shell, heard: Database
) -> None:
    campaign_under_way(heard, ANN, BOB)
    lose(heard)
    target = mailbot.folder / "who.csv"
    refused = mailbot(*SPRING, "--list", str(target))
    assert (refused.code, target.exists()) == (65, False)
    ended = mailbot(*SPRING, "--list", str(target), "--reason", "ticket 17")
    assert "2 messages in" in ended.out
    assert "as event 1." in ended.out
    assert target.stat().st_mode & 0o777 == 0o600
    listed = list(csv.DictReader(target.open()))
    assert {line["address"] for line in listed} == {ANN, BOB}
    exported = mailbot("ledger", "export", "-", "--reason", "test").out
    assert '"count": 2' in exported or '"batch_count": 2' in exported
    assert "ticket 17" in exported
    assert mailbot("ledger", "verify").code == 0
    both = mailbot(*SPRING, "--list", str(target) + "2", "--reason", "x", "--settle", "drop")
    assert both.code == 64


def test_a_cancelled_campaign_sends_nothing_again(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, ANN)
    lose(heard)
    mailbot("campaign", "cancel", "spring", "--yes")
    ended = mailbot(*SPRING, "--settle", "again", "--yes")
    assert ended.code == 1
    assert "was cancelled" in ended.err
    assert states(heard) == {ANN: "uncertain"}


def test_who_decided_stands_in_the_story_of_the_person(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, ANN)
    lose(heard)
    mailbot(*SPRING, "--settle", "sent")
    [message] = mailbot("why", ANN, "--json").json["messages"]
    assert message["kind"] == MessageKind.CAMPAIGN
    assert message["last_reply"].startswith("a person's word (")
