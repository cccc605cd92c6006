"""The ledger is append-only and chained, and moves the list in one transaction."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update

from mailbot.core.consent import Kind, Reason, Source
from mailbot.core.errors import StoreError
from mailbot.core.person import Person
from mailbot.store import consent, ledger, suppressions
from mailbot.store.engine import Database
from mailbot.store.tables import consent_events, consent_evidence
from tests.people import NOON, event, person
from tests.store.filling import drop_trigger


def reasons_of(database: Database, who: str = "ann@example.org") -> set[Reason]:
    with database.read() as conn:
        return set(suppressions.reasons(conn, person(who)))


def record(database: Database, *events: object) -> None:
    for one in events:
        with database.write() as conn:
            consent.record(conn, one)  # type: ignore[arg-type]


def test_an_opt_out_puts_the_person_on_the_list(database: Database) -> None:
    record(database, event(Kind.OPT_OUT))
    assert reasons_of(database) == {Reason.OPT_OUT}
    assert reasons_of(database, "bob@example.org") == set()


def test_case_and_tag_do_not_hide_a_person_from_the_list(database: Database) -> None:
    record(database, event(Kind.OPT_OUT, "Ann+shop@Example.ORG"))
    assert reasons_of(database, "ann@example.org") == {Reason.OPT_OUT}
    assert reasons_of(database, "ann+other@example.org") == {Reason.OPT_OUT}


def test_a_replayed_event_changes_nothing(database: Database) -> None:
    with database.write() as conn:
        first = consent.record(conn, event(Kind.OPT_OUT, key="mail:1"))
    with database.write() as conn:
        again = consent.record(conn, event(Kind.OPT_OUT, key="mail:1", minutes=60))
    assert first.is_new and not again.is_new
    assert again.sequence == first.sequence
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 1


def test_a_transaction_that_fails_records_neither_event_nor_suppression(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
        raise RuntimeError("the power went")
    assert reasons_of(database) == set()
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 0


def test_a_later_opt_in_ends_an_opt_out(database: Database) -> None:
    record(database, event(Kind.OPT_OUT), event(Kind.OPT_IN, minutes=11))
    assert reasons_of(database) == set()


def test_an_opt_in_by_mail_within_ten_minutes_loses(database: Database) -> None:
    record(database, event(Kind.OPT_OUT), event(Kind.OPT_IN, minutes=9))
    assert reasons_of(database) == {Reason.OPT_OUT}


def test_an_opt_in_at_the_command_line_wins_at_once(database: Database) -> None:
    lifted = event(Kind.OPT_IN, minutes=1, source=Source.COMMAND_LINE)
    record(database, event(Kind.OPT_OUT), lifted)
    assert reasons_of(database) == set()


def test_an_older_opt_out_that_arrives_after_a_newer_opt_in_is_recorded_and_does_not_suppress(
    database: Database,
) -> None:
    record(database, event(Kind.OPT_IN, minutes=60), event(Kind.OPT_OUT, minutes=0))
    assert reasons_of(database) == set()
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 2


def test_an_opt_out_received_after_an_opt_in_decides_whatever_the_order_of_arrival(
    database: Database,
) -> None:
    record(
        database,
        event(Kind.OPT_OUT, minutes=0),
        event(Kind.OPT_OUT, minutes=120),
        event(Kind.OPT_IN, minutes=60),
    )
    assert reasons_of(database) == {Reason.OPT_OUT}


def test_an_opt_out_overtaken_by_an_opt_in_leaves_a_newer_hold(database: Database) -> None:
    record(
        database,
        event(Kind.OPT_IN, minutes=60),
        event(Kind.HELD, minutes=120),
        event(Kind.OPT_OUT, minutes=0),
    )
    assert reasons_of(database) == {Reason.HELD}


def test_a_mailbox_named_by_a_token_alone_is_known_whole_once_its_owner_writes(
    database: Database,
) -> None:
    whole = event(Kind.OPT_OUT, "ann+shop@example.org", minutes=30)
    exact = whole.person.person_hash
    by_token = replace(whole, person=Person(exact, exact), key="token", received_at=NOON)
    record(database, by_token)
    assert reasons_of(database, "ann+shop@example.org") == {Reason.OPT_OUT}
    assert reasons_of(database, "ann@example.org") == set()
    record(database, whole, replace(by_token, key="token again"))
    assert reasons_of(database, "ann@example.org") == {Reason.OPT_OUT}


def test_an_opt_in_leaves_an_undeliverable_address_on_the_list(database: Database) -> None:
    record(database, event(Kind.UNDELIVERABLE), event(Kind.OPT_OUT), event(Kind.OPT_IN, minutes=20))
    assert reasons_of(database) == {Reason.UNDELIVERABLE}


def test_reasons_stand_side_by_side(database: Database) -> None:
    record(database, event(Kind.COMPLAINT), event(Kind.OPT_OUT), event(Kind.UNDELIVERABLE))
    assert reasons_of(database) == {Reason.COMPLAINT, Reason.OPT_OUT, Reason.UNDELIVERABLE}


def test_the_chain_holds_over_many_events(database: Database) -> None:
    for number in range(30):
        record(database, event(Kind.OPT_OUT, f"p{number}@example.org"))
    with database.read() as conn:
        assert ledger.verify(conn) is None
        assert ledger.head_sequence(conn) == 30


@pytest.mark.parametrize("statement", [
    update(consent_events).values(kind="opt_in"),
    delete(consent_events),
    update(consent_evidence).values(address="other@example.org"),
])  # fmt: skip
def test_the_database_itself_refuses_to_change_the_ledger(
    database: Database, statement: object
) -> None:
    record(database, event(Kind.OPT_OUT))
    with pytest.raises(StoreError, match="never"), database.write() as conn:
        conn.execute(statement)  # type: ignore[call-overload]


@pytest.mark.only_on("sqlite", "PostgreSQL has no INSERT OR REPLACE")
def test_the_database_refuses_to_replace_an_event(database: Database) -> None:
    """INSERT OR REPLACE deletes the old row without asking a DELETE trigger."""
    record(database, event(Kind.OPT_OUT))
    replaced = "INSERT OR REPLACE INTO consent_events SELECT * FROM consent_events"
    with pytest.raises(StoreError, match="never replaced"), database.write() as conn:
        conn.execute(text(replaced))


@pytest.mark.only_on("postgresql", "SQLite has no TRUNCATE")
def test_the_database_refuses_to_truncate_the_ledger(database: Database) -> None:
    """TRUNCATE asks no DELETE trigger."""
    record(database, event(Kind.OPT_OUT))
    with pytest.raises(StoreError, match="never changed or deleted"), database.write() as conn:
        conn.execute(text("TRUNCATE consent_events CASCADE"))


@pytest.mark.parametrize(("tampering", "found"), [
    ("UPDATE consent_events SET kind = 'opt_in' WHERE sequence = 2", "event 2 was changed"),
    ("UPDATE consent_evidence SET address = 'x@example.org' WHERE sequence = 2", "evidence"),
    ("DELETE FROM consent_events WHERE sequence = 2", "event 2 is missing"),
    ("DELETE FROM consent_events WHERE sequence = 3", "cut off"),
])  # fmt: skip
def test_verify_finds_what_somebody_changed_behind_the_triggers(
    database: Database, tampering: str, found: str
) -> None:
    for number in range(3):
        record(database, event(Kind.OPT_OUT, f"p{number}@example.org"))
    with database.write() as conn:
        for name in ("consent_events_no_update", "consent_events_no_delete",
                     "consent_evidence_no_update"):  # fmt: skip
            drop_trigger(conn, name)
        if tampering.startswith("DELETE"):
            for pointing in ("consent_evidence", "suppressions"):
                conn.execute(text(f"DELETE FROM {pointing} WHERE {tampering.split('WHERE ')[1]}"))
        conn.execute(text(tampering))
    with database.read() as conn:
        fault = ledger.verify(conn)
    assert fault is not None
    assert found in fault.what


def test_erased_evidence_leaves_the_chain_whole(database: Database) -> None:
    record(database, event(Kind.OPT_OUT))
    with database.write() as conn:
        conn.execute(delete(consent_evidence))
    with database.read() as conn:
        assert ledger.verify(conn) is None
        [told] = ledger.story(conn, person("ann@example.org"))
    assert told.address is None
    assert reasons_of(database) == {Reason.OPT_OUT}


def test_two_threads_never_fork_the_chain(database: Database) -> None:
    def write(start: int) -> None:
        for number in range(20):
            record(database, event(Kind.OPT_OUT, f"p{start}-{number}@example.org"))

    threads = [threading.Thread(target=write, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 80
        assert ledger.verify(conn) is None


def test_the_ledger_itself_holds_no_readable_address(database: Database) -> None:
    record(database, event(Kind.OPT_OUT, "ann@example.org", key="mail:1"))
    with database.read() as conn:
        row = conn.execute(select(consent_events)).one()
    assert not any("ann" in str(column) or "example" in str(column) for column in row)


def test_a_later_opt_out_by_a_token_keeps_the_address_that_was_known(database: Database) -> None:
    """A token names a hash alone; the shop may still have to tell who it was."""
    record(database, event(Kind.OPT_OUT))
    record(database, replace(event(Kind.OPT_OUT, minutes=5), address=None))
    with database.read() as conn:
        [entry] = suppressions.of_person(conn, person("ann@example.org"))
    assert entry.address == "ann@example.org"
    assert entry.since_at == NOON + timedelta(minutes=5)
