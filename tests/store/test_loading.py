"""Many entries at once: added, renewed, counted; and nobody who was erased becomes readable."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as database_event
from sqlalchemy import select

from mailbot.core.consent import BatchEvent, Kind, Reason, Source, batch_digest
from mailbot.store import consent, ledger, suppressions
from mailbot.store.consent import Entry
from mailbot.store.engine import Database
from mailbot.store.tables import suppressions as entries
from tests.people import NOON, event, person
from tests.servers.postgresql import PostgreSQL


def _batch(*addresses: str, key: str = "import:1:0", minutes: int = 0) -> BatchEvent:
    return BatchEvent(
        kind=Kind.IMPORTED, source=Source.IMPORT, key=key, rule="import", policy_version="1",
        received_at=NOON + timedelta(minutes=minutes), count=len(addresses),
        digest=batch_digest(person(one).person_hash for one in addresses),
    )  # fmt: skip


def _record(database: Database, batch: BatchEvent, *addresses: str) -> consent.Recorded:
    with database.write() as conn:
        return consent.record_many(conn, batch, [Entry(person(one), one) for one in addresses])


def test_many_are_on_the_list_after_one_event(database: Database) -> None:
    many = sorted(f"p{number}@example.org" for number in range(3000))
    recorded = _record(database, _batch(*many), *many)
    assert (recorded.is_new, recorded.added) == (True, 3000)
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 1
        assert suppressions.reasons(conn, person(many[2999])) == {Reason.IMPORTED}
        assert suppressions.reasons(conn, person("other@example.org")) == frozenset()
        [entry] = suppressions.of_person(conn, person(many[7]))
        assert (entry.address, entry.since_at) == (many[7], NOON)


def test_a_time_is_stored_in_the_same_form_as_for_one(database: Database) -> None:
    _record(database, _batch("a@example.org"), "a@example.org")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "b@example.org", key="one"))
    with database.read() as conn:
        stored = conn.exec_driver_sql("SELECT since_at FROM suppressions").scalars().all()
    assert len(stored) == 2
    assert stored[0] == stored[1]


def test_the_same_key_changes_nothing(database: Database) -> None:
    _record(database, _batch("a@example.org"), "a@example.org")
    again = _record(database, _batch("a@example.org", minutes=5), "a@example.org")
    assert (again.sequence, again.is_new, again.added) == (1, False, 0)


def test_whoever_is_there_is_renewed_and_not_counted(database: Database) -> None:
    _record(database, _batch("a@example.org"), "a@example.org")
    both = ("a@example.org", "b@example.org")
    recorded = _record(database, _batch(*both, key="import:2:0", minutes=9), *both)
    assert recorded.added == 1
    with database.read() as conn:
        [entry] = suppressions.of_person(conn, person("a@example.org"))
        assert entry.since_at == NOON + timedelta(minutes=9)
        numbers = conn.execute(select(entries.c.sequence)).scalars()
        assert set(numbers) == {2}


def test_an_older_file_renews_nobody(database: Database) -> None:
    _record(database, _batch("a@example.org", minutes=9), "a@example.org")
    recorded = _record(database, _batch("a@example.org", key="import:2:0"), "a@example.org")
    assert recorded.added == 0
    with database.read() as conn:
        [entry] = suppressions.of_person(conn, person("a@example.org"))
        assert entry.since_at == NOON + timedelta(minutes=9)


def test_it_adds_whoever_opted_in_before(database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_IN, "a@example.org", minutes=60, key="in"))
    assert _record(database, _batch("a@example.org"), "a@example.org").added == 1


def test_an_erased_person_stays_a_hash_in_any_spelling(database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.ERASED, "gone@example.org", key="erased"))
    both = ("gone+tea@example.org", "stays@example.org")
    _record(database, _batch(*both), *both)
    with database.read() as conn:
        rows = conn.execute(select(entries.c.person_hash, entries.c.address)).all()
        kept = {row.person_hash: row.address for row in rows}
    assert kept[person(both[0]).person_hash] is None
    assert kept[person(both[1]).person_hash] == both[1]


def test_an_event_that_counts_others_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="other persons"):
        _record(database, _batch("a@example.org"), "b@example.org")
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 0


def _erased_and_imported(database: Database) -> list[str]:
    """Import five thousand people of whom a hundred were erased before; returns the hundred."""
    many = sorted(
        (f"p{number}@example.org" for number in range(5000)),
        key=lambda who: person(who).person_hash,
    )
    with database.write() as conn:
        for who in many[::50]:
            gone = event(Kind.ERASED, who, key=f"erased:{person(who).person_hash}")
            consent.record(conn, replace(gone, address=None, evidence={}))
    _record(database, _batch(*many), *many)
    return many[::50]


@pytest.mark.only_on("postgresql", "it keeps old versions of rows in its files")
def test_no_byte_of_the_erased_comes_to_the_disk_in_an_import(
    database: Database, postgresql: PostgreSQL
) -> None:
    gone = _erased_and_imported(database)
    postgresql.checkpoint()
    held = b"".join(
        path.read_bytes() for path in (postgresql.folder / "data/base").rglob("*") if path.is_file()
    )
    assert b"p4999@example.org" in held
    assert [who for who in gone if who.encode() in held] == []


@pytest.mark.only_on("sqlite", "its log, into which a long transaction spills")
def test_no_byte_of_the_erased_comes_into_the_log_in_an_import(database: Database) -> None:
    with database.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA cache_size = 10")  # pages, as if the list were a long one
    gone = _erased_and_imported(database)
    file = Path(str(database.engine.url.database))
    held = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    assert b"p4999@example.org" in held
    assert [who for who in gone if who.encode() in held] == []


@pytest.mark.only_on("sqlite", "PostgreSQL's plan goes by its statistics")
def test_the_erased_are_found_without_reading_the_whole_list(database: Database) -> None:
    _record(database, _batch("a@example.org"), "a@example.org")
    with database.write() as conn:
        conn.exec_driver_sql("UPDATE suppressions SET reason = 'erased', address = NULL")
    asked: list[tuple[str, Any]] = []

    def listen(_conn: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        if "'erased'" in sql:
            asked.append((sql, values))

    database_event.listen(database.engine, "before_cursor_execute", listen)
    _record(database, _batch("b@example.org", key="second"), "b@example.org")
    database_event.remove(database.engine, "before_cursor_execute", listen)
    assert len(asked) == 2
    with database.read() as conn:
        for sql, values in asked:
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            named = " ".join(str(row) for row in plan)
            assert "ix_suppressions_erased" in named, named
            assert "COVERING INDEX sqlite_autoindex" not in named, named
