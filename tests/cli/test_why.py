"""One person's whole story on one screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, consent, deliveries, ledger, outbox
from mailbot.store.campaigns import Member
from mailbot.store.consent import Entry
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import NOON, address, event, person
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


# -- was it right, and why this campaign ---------------------------------------------------------


def send(database: Database, state: State = State.SENT) -> None:
    """Send what waits, each after a look at the list as it is now."""
    for row in claim(database):
        attempt = begin(database, row)
        assert attempt is not None
        with database.write() as conn:
            seen = ledger.head_sequence(conn)
            outcome = DeliveryOutcome(row.id, attempt, state, "250 ok", list_sequence=seen)
            assert deliveries.record_outcomes(conn, [outcome]) == {row.id}


def judged(mailbot: Shell) -> list[tuple[object, object, object]]:
    told = mailbot("why", ANN, "--json").json["messages"]
    return [(one["campaign"], one["is_right_by_list"], one["withheld_by_event"]) for one in told]


def test_each_message_is_judged_by_the_list_that_it_saw(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN, name="spring")
    send(database)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    campaign_under_way(database, ANN, name="summer")
    with database.write() as conn:
        outbox.withhold_marketing_of(conn, person(ANN), "opt_out")
    assert judged(mailbot) == [("spring", True, None), ("summer", True, 1)]
    assert "Report it" not in mailbot("why", ANN).out


def test_an_offer_that_was_sent_against_the_list_is_told(
    mailbot: Shell, database: Database
) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    campaign_under_way(database, ANN)
    send(database)
    queue_order_status(database, ANN)
    send(database)
    assert judged(mailbot) == [("spring", False, None), (None, True, None)]
    assert "NO: this disagrees with the list that was looked at." in mailbot("why", ANN).out


def about_spring(mailbot: Shell, who: str = ANN) -> str:
    return mailbot("why", who, "--campaign", "spring").out.splitlines()[1]


def test_a_campaign_that_was_sent_names_the_event_that_came_too_late(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, ANN)
    send(database)
    assert about_spring(mailbot).startswith("got spring at ")
    assert about_spring(mailbot).endswith(" UTC, not on the list then (seen up to #0).")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    assert "before event #1 (opt out), not on the list then (seen up to #0)" in about_spring(
        mailbot
    )


def test_a_campaign_that_was_withheld_names_the_event_behind_it(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, ANN)
    with database.write() as conn:
        consent.record(conn, event(Kind.COMPLAINT, "ann+shop@example.org"))
        consent.record(conn, event(Kind.OPT_OUT, ANN))
        outbox.withhold_marketing_of(conn, person(ANN), "opt_out")
    assert about_spring(mailbot).startswith("did not get spring: withheld at ")
    assert about_spring(mailbot).endswith("because of event #2 (opt out).")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.UNCERTAIN, "may or may not have got spring at "),
        (State.BOUNCED, "did not get spring: it came back, the address does not exist, at "),
        (State.REJECTED, "did not get spring: it was refused by the relay at "),
        (State.DEFERRED, "did not get spring yet: it waits: the relay put it off"),
    ],
)
def test_what_else_became_of_a_campaign_is_said(
    mailbot: Shell, database: Database, state: State, words: str
) -> None:
    campaign_under_way(database, ANN)
    send(database, state)
    assert about_spring(mailbot).startswith(words)


def test_who_is_not_in_the_audience_is_told_so(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, "bob@example.org")
    assert about_spring(mailbot) == "did not get spring: not in its audience."


def test_a_campaign_that_nobody_scheduled_is_told_so(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        number = campaigns.create(
            conn, name="spring", subject="Teas", text_source="Hello", html_source=None
        )
        campaigns.add_members(conn, number, [Member(2, address(ANN), person(ANN), {})])
        campaigns.finish_loading(conn, "spring")
    assert about_spring(mailbot) == (
        "did not get spring yet: it is a draft: nobody scheduled it yet."
    )


def test_a_cancelled_campaign_says_why(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN)
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    assert about_spring(mailbot) == "did not get spring: it was cancelled: wrong price."


def test_a_campaign_of_another_name_is_refused(mailbot: Shell) -> None:
    ended = mailbot("why", ANN, "--campaign", "autumn")
    assert ended.code == 65
    assert "no campaign is named “autumn”" in ended.err


# -- on one screen -------------------------------------------------------------------------------


def test_a_usual_person_fits_on_one_screen(
    mailbot: Shell, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        kind = Kind.OPT_IN if number % 2 else Kind.OPT_OUT
        with database.write() as conn:
            consent.record(conn, event(kind, ANN, minutes=30 * number))
        campaign_under_way(database, ANN, name=f"campaign{number}")
        send(database)
    monkeypatch.setenv("COLUMNS", "80")
    shown = mailbot("why", ANN).out.splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert "… 5 older events: --all" in shown
    assert "… 4 older messages: --all" in shown
    everything = mailbot("why", ANN, "--all").out
    assert "#1 " in everything and "campaign0" in everything
    assert "older" not in everything


def test_the_newest_comes_first(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
        consent.record(conn, event(Kind.OPT_IN, ANN, minutes=60))
    shown = mailbot("why", ANN).out
    assert shown.index("#2 ") < shown.index("#1 ")


@pytest.mark.parametrize("spelling", [
    "ANN@Example.ORG", " ann@example.org ", "Ann Lee <ANN@example.org>", "ann+tea@example.org",
])  # fmt: skip
def test_however_it_is_written_the_person_is_found(
    mailbot: Shell, database: Database, spelling: str
) -> None:
    tell_a_story(database)
    assert "is on the do-not-send list" in mailbot("why", spelling).out


def test_an_international_domain_is_found_in_both_forms(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@exämple.org"))
    for spelling in ("ann@exämple.org", "ann@EXÄMPLE.org", "ann@xn--exmple-cua.org"):
        assert "is on the do-not-send list" in mailbot("why", spelling).out


def test_where_another_tag_matched_it_is_said(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann+shop@example.org"))
    words = "found by the same mailbox with another +tag, or without one"
    assert words in mailbot("why", ANN).out
    assert words in mailbot("why", "ann+tea@example.org").out
    assert words not in mailbot("why", "ann+shop@example.org").out
    assert mailbot("why", ANN, "--json").json["found_without_tag"] is True


def test_who_came_by_an_import_is_told_by_which(mailbot: Shell, database: Database) -> None:
    digest = batch_digest([person(ANN).person_hash])
    with database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(
                kind=Kind.IMPORTED, source=Source.IMPORT, key="i", received_at=NOON, rule="import",
                policy_version="1", count=1, digest=digest, evidence={"file": "old-shop.csv"},
            ),
            [Entry(person(ANN), ANN)],
        )  # fmt: skip
    ended = mailbot("why", ANN)
    assert ended.code == 0
    told = "#1  2026-03-02 12:00 UTC  imported with many others, from old-shop.csv, policy 1"
    assert told in ended.out


def test_an_uncertain_message_is_told_as_such(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN)
    send(database, State.UNCERTAIN)
    assert "it may or may not have arrived" in mailbot("why", ANN).out


def test_who_left_by_a_link_is_not_said_to_be_erased(mailbot: Shell, database: Database) -> None:
    by_link = replace(event(Kind.OPT_OUT, ANN), address=None, evidence={"by": "one_click"})
    with database.write() as conn:
        consent.record(conn, by_link)
    assert "address: not told (by a link)" in mailbot("why", ANN).out
    mailbot("erase", ANN, "--note", "ticket 4711")
    told = mailbot("why", ANN).out
    assert "address: (erased)" in told
    assert "by a link" not in told
