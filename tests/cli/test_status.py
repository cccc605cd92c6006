"""How it is, on one screen, and what needs a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import consent, mailboxes, reviews, switches, tallies
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.reviews import Place
from mailbot.store.tables import mailbox_leases, outbox, watermarks
from tests.cli.conftest import Shell
from tests.people import event, person
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status

ACCOUNT = "help at 127.0.0.1"


@pytest.fixture
def heard(database: Database) -> Database:
    """A daemon has just looked at help@."""
    with database.write() as conn:
        mailboxes.acquire_lease(conn, ACCOUNT, claimed_by="mail-1:7:ab", lease_seconds=60)
        mailboxes.heard(conn, ACCOUNT)
    return database


def test_where_all_is_well_nothing_needs_a_person(mailbot: Shell, heard: Database) -> None:
    ended = mailbot("status")
    assert ended.code == 0
    assert "Nothing needs a person." in ended.out
    assert "mail-1" in ended.out


def test_everything_is_counted(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, "ann@example.org", "bob@example.org")
    queue_order_status(heard)
    with heard.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    found = mailbot("status", "--json").json
    assert found["listed"] == {"opt_out": 1}
    assert found["outbox"]["campaign"]["waiting"] == 2
    assert found["outbox"]["order_status"]["waiting"] == 1
    assert [one["name"] for one in found["campaigns"]] == ["spring"]
    assert found["needs_a_person"] == []
    shown = mailbot("status").out
    assert "1 entry: 1 opt_out" in shown
    assert "spring" in shown


def go_blind(database: Database) -> None:
    with database.write() as conn:
        mailboxes.blind(conn, ACCOUNT, "wrong password")


def fall_silent(database: Database) -> None:
    with database.write() as conn:
        conn.execute(update(mailbox_leases).values(heard_at=DatabaseTime(-3600)))


def leave_uncertain(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    [row] = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    assert end(database, row, attempt, State.UNCERTAIN)


def let_mail_wait(database: Database) -> None:
    queue_order_status(database)
    with database.write() as conn:
        conn.execute(update(outbox).values(not_before=DatabaseTime(-7200)))


def open_review(database: Database) -> None:
    with database.write() as conn:
        reviews.open_item(
            conn, key="k", person=person("eve@example.org"), place=Place("help", "INBOX", 1, 17),
            rule="own-address", because="forwarded by a colleague",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (go_blind, f"{ACCOUNT} cannot be read since"),
        (fall_silent, "was last heard 1 h ago: is mailbot running?"),
        (leave_uncertain, "1 campaign message may or may not have arrived"),
        (let_mail_wait, "mail that is due waits for 2 h"),
        (open_review, "1 mail in review"),
    ],
)
def test_what_needs_a_person_is_named_and_is_the_exit_code(
    mailbot: Shell, heard: Database, trouble: Callable[[Database], None], words: str
) -> None:
    trouble(heard)
    ended = mailbot("status")
    assert ended.code == 1
    assert words in ended.out.partition("This needs a person:")[2]
    assert mailbot("status", "--json").code == 1


def test_a_mailbox_that_was_never_read_is_named(mailbot: Shell) -> None:
    ended = mailbot("status")
    assert ended.code == 1
    assert f"{ACCOUNT} was never read" in ended.out


def test_another_persons_key_is_named(mailbot: Shell, heard: Database) -> None:
    mailbot("suppress", "add", "ann@example.org")
    mailbot.write("person-key", bytes(32).hex())
    ended = mailbot("status")
    assert ended.code == 1
    assert "the person key is not the one" in ended.out


def test_a_review_shows_when_it_becomes_an_opt_out(mailbot: Shell, heard: Database) -> None:
    open_review(heard)
    with heard.read() as conn:
        [item] = reviews.waiting(conn)
    assert item.due_at - item.opened_at == timedelta(hours=24)
    shown = mailbot("status").out
    assert f"{item.due_at:%Y-%m-%d %H:%M}" in shown
    assert "forwarded by a colleague" in shown


def test_marketing_stops_at_once_and_starts_again(mailbot: Shell, heard: Database) -> None:
    def is_stopped() -> bool:
        with heard.read() as conn:
            return switches.get(conn, switches.MARKETING_STOPPED).is_on

    assert mailbot("stop-marketing", "--because", "wrong price").code == 0
    assert is_stopped()
    ended = mailbot("status")
    assert "Marketing is stopped" in ended.out
    assert "wrong price" in ended.out
    assert ended.code == 1, "it stays stopped until a person starts it"
    assert mailbot("stop-marketing", "--resume").out == "Marketing goes on.\n"
    assert not is_stopped()
    mailbot("stop-marketing")
    assert mailbot("start-marketing", "--json").json["was"] is True
    assert not is_stopped()


def test_the_database_is_made_and_upgraded_by_hand(bare: Shell) -> None:
    first = bare("db", "upgrade")
    assert first.code == 0
    assert "is ready" in first.out
    version = bare("db", "upgrade", "--json").json["schema_version"]
    assert version in first.out
    assert bare("status").code == 1, "it can be read; nobody has read help@ yet"


def test_shadow_mode_is_told_with_what_it_would_have_done(mailbot: Shell, heard: Database) -> None:
    campaign_under_way(heard, "ann@example.org")  # waits, and nobody has to do anything about it
    with mailbot.config.open("a", encoding="utf-8") as config:
        config.write('[recognition]\nmode = "shadow"\n')
    with heard.write() as conn:
        tallies.note_shadow(
            conn, key="mail:1", place=Place(ACCOUNT, "INBOX", 1, 2), rule="word-in-subject",
            changes=[("opt_out", person("ann@example.org"))],
        )  # fmt: skip
    shown = mailbot("status")
    assert shown.code == 0
    assert "only watches, and sends nothing" in shown.out
    assert "1 × opt out" in shown.out
    assert mailbot("status", "--json").json["shadow"] == {"opt_out": 1}


def open_old_review(database: Database, hours: float) -> None:
    with database.write() as conn:
        reviews.open_item(
            conn, key="old", person=None, place=Place("help", "INBOX", 1, 18), rule="unreadable",
            because="it cannot be read", received_at=now(conn) - timedelta(hours=hours),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (26, "it may be a request; the time that Gmail and Yahoo give ends in 21 h"),
        (49, "the time that CAN-SPAM and CASL give ends in"),
        (24 * 30, "review 1 waits for 30 days: it may be a request, and every deadline is past"),
    ],
)
def test_a_request_that_waits_is_told_before_its_time_is_over(
    mailbot: Shell, heard: Database, hours: float, words: str
) -> None:
    open_old_review(heard, hours)
    ended = mailbot("status")
    assert ended.code == 1
    assert words in ended.out.partition("This needs a person:")[2]


def test_the_legal_clock_is_on_the_screen(mailbot: Shell, heard: Database) -> None:
    assert "No request waits." in mailbot("status").out
    assert "No opt-out by mail in the last 30 days." in mailbot("status").out
    open_old_review(heard, 3)
    with heard.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    shown = mailbot("status").out
    assert "The oldest open request was received 3 h ago (review 1)." in shown
    assert "Next: our alarm, " in shown
    assert "Ten business days (CAN-SPAM, CASL; Monday to Friday) end " in shown
    assert "1 more came before mailbot first read the mailbox." in shown
    clock = mailbot("status", "--json").json["legal_clock"]
    assert clock["oldest_open_request"]["next_deadline"] == "our alarm"
    assert clock["opt_outs_by_mail"]["history"] == 1


def test_opt_outs_by_mail_are_timed_from_receipt_to_the_list(
    mailbot: Shell, heard: Database
) -> None:
    with heard.write() as conn:
        mailboxes.advance(conn, ACCOUNT, "INBOX", 1, 10)
        mailboxes.finish_first_scan(conn, ACCOUNT, "INBOX", 1)
        at = now(conn)
        conn.execute(update(watermarks).values(first_scan_done_at=at - timedelta(days=1)))
        received = at - timedelta(minutes=3)
        consent.record(conn, replace(event(Kind.OPT_OUT), received_at=received))
    told = "1 opt-out by mail in 30 days, from receipt to the list: half within 3 min"
    assert told in mailbot("status").out


def test_holidays_of_the_country_are_told(mailbot: Shell, heard: Database) -> None:
    text = mailbot.config.read_text().replace("[shop]\n", '[shop]\ncountry = "US"\n', 1)
    mailbot.config.write_text(text)
    open_old_review(heard, 3)
    assert "with the holidays of US" in mailbot("status").out


def test_the_policy_in_force_is_told(mailbot: Shell, heard: Database) -> None:
    assert "privacy policy 7" in mailbot("status").out
    mailbot("policy", "add", "2027-03")
    assert "privacy policy 2027-03" in mailbot("status").out


def test_the_figures_are_there_for_prometheus(mailbot: Shell, heard: Database) -> None:
    go_blind(heard)
    with heard.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    ended = mailbot("status", "--metrics")
    assert ended.code == 0, "a scraper must not take a need for a failure"
    lines = ended.out.splitlines()
    assert 'mailbot_suppressions{reason="opt_out"} 1.0' in lines
    assert "mailbot_ledger_events 1.0" in lines
    [blind] = [line for line in lines if line.startswith("mailbot_mailbox_blind_seconds{")]
    assert float(blind.split()[-1]) > 0


def test_a_relay_that_knows_nobody_is_told_with_what_to_do(mailbot: Shell, heard: Database) -> None:
    for number in range(11):
        queue_order_status(heard, f"o{number}@example.org", f"o{number}-shipped")
    for number, row in enumerate(claim(heard)):
        attempt_id = begin(heard, row)
        assert attempt_id is not None
        end(heard, row, attempt_id, State.BOUNCED if number < 10 else State.DEFERRED)
    assert mailbot("status", "--json").json["needs_a_person"] == [], "a 4xx is no refusal"
    with heard.write() as conn:
        deferred = outbox.c.state == State.DEFERRED
        conn.execute(update(outbox).where(deferred).values(last_reply="550 5.1.1 no such user"))
    ended = mailbot("status", "--json")
    assert ended.code == 1
    [need] = ended.json["needs_a_person"]
    assert "1 message will be tried again, and nobody more is taken off" in need
    assert "mailbot suppress list --because undeliverable" in need


def test_a_spool_that_nobody_can_read_needs_a_person(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        switches.turn(
            conn, switches.SPOOL_UNREADABLE, is_on=True, because="shop-1: /srv/spool: is not there"
        )
    ended = mailbot("status")
    assert ended.code == 1
    assert "marketing waits, shop-1: /srv/spool: is not there" in ended.out
