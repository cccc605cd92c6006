"""One person's whole story on one screen."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import consent, outbox
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import event, person
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status

ANN = "ann@example.org"


def tell_a_story(database: Database) -> None:
    """Ann got a parcel and an offer, wrote the word, and is left out of the next offer."""
    queue_order_status(database, ANN)
    campaign_under_way(database, ANN, name="spring")
    for row in claim(database):
        attempt = begin(database, row)
        assert attempt is not None
        assert end(database, row, attempt, State.SENT)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    campaign_under_way(database, ANN, name="summer")
    with database.write() as conn:
        outbox.withhold_marketing_of(conn, person(ANN), "opt_out")


def test_the_story_has_each_event_and_each_message(mailbot: Shell, database: Database) -> None:
    tell_a_story(database)
    ended = mailbot("why", ANN)
    assert ended.code == 0
    for words in (
        "is on the do-not-send list: opt out, since 2026-03-02 12:00 UTC",
        "gets order status, and no offers.",
        "#1  2026-03-02 12:00 UTC  opt out by mail, rule word-in-subject, policy 1",
        "Subject: unsubscribe",
        "shipped",
        "withheld: opt out",
    ):
        assert words in ended.out, words
    [line] = [line for line in ended.out.splitlines() if "summer" in line]
    assert "#1" in line, "the state of the list that was seen"


def test_the_same_story_is_there_for_programs(mailbot: Shell, database: Database) -> None:
    tell_a_story(database)
    told = mailbot("why", ANN, "--json").json
    assert told["reasons"] == ["opt_out"]
    assert told["events"][0]["evidence"] == {"Subject": "unsubscribe"}
    assert [(one["kind"], one["campaign"], one["state"], one["withheld_reason"])
            for one in told["messages"]] == [
        ("order_status", None, "sent", None),
        ("campaign", "spring", "sent", None),
        ("campaign", "summer", "withheld", "opt_out"),
    ]  # fmt: skip


def test_mistyped_case_and_a_tag_find_the_person(mailbot: Shell, database: Database) -> None:
    tell_a_story(database)
    for spelling in ("ANN@Example.ORG", "ann+tea@example.org", "Ann Lee <ann@example.org>"):
        assert "summer" in mailbot("why", spelling).out


def test_who_is_undeliverable_gets_neither(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.UNDELIVERABLE, ANN))
    assert "gets neither offers nor order status" in mailbot("why", ANN).out


def test_of_a_stranger_nothing_is_known(mailbot: Shell) -> None:
    ended = mailbot("why", "stranger@example.org")
    assert ended.code == 1
    assert "No event names this person." in ended.out


def test_lines_in_a_pipe_are_not_filled_with_blanks(mailbot: Shell) -> None:
    mailbot("suppress", "add", "ann@example.org", "--note", "by phone")
    told = mailbot("why", "ann@example.org").out
    assert "    note: by phone" in told
    assert max(len(line) for line in told.splitlines()) < 200
