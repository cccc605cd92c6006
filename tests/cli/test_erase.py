"""`mailbot erase` and `mailbot db forget`: what an admin sees, and what is left."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.store import campaigns, consent, suppressions
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import event, person
from tests.store.filling import campaign_under_way, claim, queue_order_status

ANN = "ann@example.org"


def test_an_erasure_tells_in_numbers_what_is_gone(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN, "bob@example.org")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN, key="k"))
    ended = mailbot("erase", "Ann <ANN+tea@example.org>", "--note", "ticket 4711")
    assert ended.code == 0
    assert ended.out == (
        "Erased, as event 2. Only hashes are left: no offer goes there.\n"
        "Emptied: the evidence of 1, messages: 1 (1 waited and were cancelled), audiences: 1.\n"
    )
    with database.read() as conn:
        assert {one.address for one in suppressions.of_person(conn, person(ANN))} == {None}


def test_it_can_be_read_by_a_program(mailbot: Shell) -> None:
    told = mailbot("erase", ANN, "--note", "ticket 4711", "--json").json
    assert told == {
        "event": 1, "person_hash": person(ANN).person_hash, "evidence_deleted": 0,
        "messages_emptied": 0, "messages_cancelled": 0, "audiences_emptied": 0,
        "queries_emptied": [],
        "is_gone_from_the_files": True,
    }  # fmt: skip


def test_why_still_tells_the_story_by_hashes(mailbot: Shell) -> None:
    mailbot("suppress", "add", ANN, "--note", "by phone")
    mailbot("erase", ANN, "--note", "ticket 4711")
    told = mailbot("why", ANN).out
    assert "erased" in told
    assert "by phone" not in told


def test_a_note_that_names_the_person_is_refused(mailbot: Shell, database: Database) -> None:
    ended = mailbot("erase", ANN, "--note", "Ann@Example.org asked for it")
    assert ended.code == 65
    assert "the note holds the address" in ended.err
    assert "Name a ticket instead." in ended.err
    with database.read() as conn:
        assert suppressions.reasons(conn, person(ANN)) == set()


def test_an_empty_note_is_refused(mailbot: Shell) -> None:
    ended = mailbot("erase", ANN, "--note", "  ")
    assert (ended.code, ended.is_plain()) == (65, True)


def test_an_order_handed_over_anew_is_reported_on(mailbot: Shell, database: Database) -> None:
    mailbot("erase", ANN, "--note", "ticket 4711")
    queue_order_status(database, ANN)
    assert [row.address for row in claim(database)] == [ANN]


def test_forgetting_tells_how_many_and_a_dry_run_forgets_none(
    mailbot: Shell, database: Database
) -> None:
    queue_order_status(database, ANN)
    with database.write() as conn:
        conn.exec_driver_sql(
            "UPDATE outbox SET state = 'sent', finished_at = '2020-01-01 00:00:00.000000'"
        )
    dry = mailbot("db", "forget", "--dry-run")
    assert dry.out.startswith("Would forget the addresses of 1 messages and 0 audience members")
    assert "(180 days)" in dry.out
    assert mailbot("db", "forget", "--json").json["messages"] == 1
    assert mailbot("db", "forget", "--json").json["messages"] == 0


def test_a_query_that_names_the_person_is_emptied_and_others_stay(
    mailbot: Shell, database: Database
) -> None:
    queries = {
        "vip": "SELECT * FROM c WHERE email <> 'Ann+tea@Example.org'",
        "odd": "SELECT * FROM c WHERE email LIKE 'ann%example.org'",
    }
    with database.write() as conn:
        for name, query in queries.items():
            campaigns.create(
                conn, name=name, subject="x", text_source="x", html_source=None,
                origin=campaigns.Origin("shop", query, "0" * 64),
            )  # fmt: skip
    ended = mailbot("erase", "ANN+tea@example.org", "--note", "ticket 4711")
    assert "Emptied as well: 1 audience's query that named the address." in ended.out
    with database.read() as conn:
        left = {one.name: one.origin and one.origin.query for one in campaigns.every(conn)}
    assert left == {"vip": "(erased: it named a person)", "odd": queries["odd"]}
