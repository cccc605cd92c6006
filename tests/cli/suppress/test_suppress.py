"""The list by hand: every change is an event, and says what it needs."""

from __future__ import annotations

import pytest

from mailbot.core.consent import Kind, Reason
from mailbot.store import consent, ledger, outbox, reviews, suppressions
from mailbot.store.engine import Database
from mailbot.store.reviews import Place
from tests.cli.conftest import Shell
from tests.people import event, person
from tests.store.filling import campaign_under_way

ANN = "ann@example.org"


def reasons(database: Database, who: str = ANN) -> set[str]:
    with database.read() as conn:
        return {str(reason) for reason in suppressions.reasons(conn, person(who))}


def record(database: Database, kind: Kind, who: str = ANN) -> None:
    with database.write() as conn:
        consent.record(conn, event(kind, who))


def test_an_opt_out_by_phone_is_recorded_with_its_evidence(
    mailbot: Shell, database: Database
) -> None:
    ended = mailbot("suppress", "add", "Ann <ann@example.org>", "--note", "by phone", "--json")
    assert ended.code == 0
    assert ended.json["reasons"] == ["opt_out"]
    with database.read() as conn:
        [told] = ledger.story(conn, person(ANN))
    assert (told.kind, told.source, told.policy_version) == ("opt_out", "command_line", "7")
    assert told.evidence["note"] == "by phone"
    assert told.address == ANN


def test_who_is_added_has_no_waiting_offer_any_more(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN, "bob@example.org")
    ended = mailbot("suppress", "add", "ANN+tea@example.org")
    assert "1 waiting offer is withheld" in ended.out
    with database.read() as conn:
        counts = outbox.count_by_state(conn)
    assert sorted((state, count) for (_, state), count in counts.items()) == [
        ("queued", 1), ("withheld", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("reason", ["complaint", "undeliverable"])
def test_other_reasons_can_be_added(mailbot: Shell, database: Database, reason: str) -> None:
    assert mailbot("suppress", "add", ANN, "--because", reason).code == 0
    assert reasons(database) == {reason}


def test_a_reason_that_nobody_can_give_is_refused(mailbot: Shell) -> None:
    assert mailbot("suppress", "add", ANN, "--because", "erased").code == 64


def test_no_address_no_entry(mailbot: Shell, database: Database) -> None:
    ended = mailbot("suppress", "add", "ann at example.org")
    assert ended.code == 65
    assert "is not an address" in ended.err


@pytest.mark.parametrize(
    ("kind", "recorded"),
    [
        (Kind.OPT_OUT, "opt_in"),
        (Kind.COMPLAINT, "opt_in"),
        (Kind.IMPORTED, "opt_in"),
        (Kind.HELD, "released"),
        (Kind.UNDELIVERABLE, "reachable"),
    ],
)
def test_each_reason_is_lifted_by_the_event_that_ends_it(
    mailbot: Shell, database: Database, kind: Kind, recorded: str
) -> None:
    record(database, kind)
    ended = mailbot("suppress", "lift", ANN, "--note", "asked by phone", "--json")
    assert (ended.code, ended.json["is_on_list"]) == (0, False)
    with database.read() as conn:
        last = ledger.story(conn, person(ANN))[-1]
    assert (last.kind, last.source) == (recorded, "command_line")
    assert last.evidence["note"] == "asked by phone"


def test_a_sign_of_life_is_no_wish_for_offers(mailbot: Shell, database: Database) -> None:
    """Who opted out and was undeliverable stays out when the address works again."""
    record(database, Kind.OPT_OUT)
    record(database, Kind.UNDELIVERABLE)
    ended = mailbot("suppress", "lift", ANN, "--note", "works again")
    assert ended.code == 1
    assert "--because" in ended.err
    assert reasons(database) == {"opt_out", "undeliverable"}
    lifted = mailbot("suppress", "lift", ANN, "--note", "works again", "--because", "undeliverable")
    assert "Still on the list for: opt_out" in lifted.out
    assert reasons(database) == {"opt_out"}


@pytest.mark.parametrize("note", [[], ["--note", "  "]])
def test_nobody_is_lifted_without_a_note(
    mailbot: Shell, database: Database, note: list[str]
) -> None:
    record(database, Kind.OPT_OUT)
    assert mailbot("suppress", "lift", ANN, *note).code in (64, 65)
    assert reasons(database) == {"opt_out"}


def test_who_is_not_on_the_list_cannot_be_lifted(mailbot: Shell) -> None:
    ended = mailbot("suppress", "lift", ANN, "--note", "x")
    assert (ended.code, "is not on the list" in ended.err) == (1, True)


def hold(database: Database) -> None:
    record(database, Kind.HELD)
    with database.write() as conn:
        reviews.open_item(
            conn, key="k", person=person(ANN), place=Place("help", "INBOX", 1, 7),
            rule="word-in-subject", because="two senders",
        )  # fmt: skip


@pytest.mark.parametrize(
    "command", [["lift", ANN, "--note", "no request"], ["add", ANN, "--note", "it was one"]]
)
def test_a_decided_hold_does_not_come_back_as_an_opt_out(
    mailbot: Shell, database: Database, command: list[str]
) -> None:
    """The review item is closed with it; open, it would turn into an opt-out after a day."""
    hold(database)
    assert mailbot("suppress", *command).code == 0
    with database.read() as conn:
        assert reviews.waiting(conn) == []
    assert reasons(database) == ({"opt_out"} if command[0] == "add" else set())


def test_show_answers_by_its_exit_code(mailbot: Shell, database: Database) -> None:
    assert mailbot("suppress", "show", ANN).code == 1
    record(database, Kind.OPT_OUT)
    ended = mailbot("suppress", "show", "Ann+x@EXAMPLE.org", "--json")
    assert ended.code == 0
    assert [entry["reason"] for entry in ended.json["entries"]] == ["opt_out"]


def test_the_list_is_newest_first_and_counted(mailbot: Shell, database: Database) -> None:
    for number in range(5):
        record(database, Kind.OPT_OUT, f"c{number}@example.org")
    record(database, Kind.COMPLAINT, "eve@example.org")
    listed = mailbot("suppress", "list", "--limit", "2", "--json").json
    assert listed["counts"] == {"opt_out": 5, "complaint": 1}
    assert [entry["address"] for entry in listed["newest"]] == ["eve@example.org", "c4@example.org"]
    shown = mailbot("suppress", "list", "--because", Reason.OPT_OUT, "--limit", "2").out
    assert "The newest 2 of 5" in shown
    assert "eve@" not in shown


def test_an_empty_list_is_said_to_be_empty(mailbot: Shell) -> None:
    assert mailbot("suppress", "list").out == "Nobody is on the list.\n"
    assert (
        mailbot("suppress", "list", "--because", "held").out == "Nobody is on the list for held.\n"
    )
