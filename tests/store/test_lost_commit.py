"""The line to the database breaks right after COMMIT was sent: what was answered is unknown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mailbot.core.consent import Kind, Reason
from mailbot.core.errors import StoreUnavailable
from mailbot.core.outbox_states import State
from mailbot.store import consent, engine, ledger, outbox, proof, suppressions
from mailbot.store.engine import Connection, Database
from mailbot.store.restoring import Keeper
from mailbot.store.tables import consent_events, imports
from tests.databases import Databases
from tests.people import event, person
from tests.servers.faulty_line import At, BlackHole, Cut, End, FaultyLine
from tests.servers.postgresql import PostgreSQL
from tests.store.filling import claim, queue_order_status, state_of
from tests.store.locks import until_waiting
from tests.store.test_import_races import LINES, import_file

pytestmark = pytest.mark.only_on("postgresql", "SQLite has no line")

# COMMIT's answer, without its last byte: the server has committed, and nobody is told.
LOST_COMMIT = Cut(At(b"COMMIT"), End.RST, is_once=True)


@pytest.fixture(name="line")
def line_to_the_server(postgresql: PostgreSQL) -> Iterator[FaultyLine]:
    with FaultyLine(postgresql.port) as line:
        yield line


@pytest.fixture(name="far")
def database_behind_the_line(
    databases: Databases, postgresql: PostgreSQL, line: FaultyLine
) -> Iterator[Database]:
    url = databases.migrated().replace(f":{postgresql.port}/", f":{line.port}/")
    opened = Database.open(url)
    yield opened
    opened.close()


def leave(conn: Connection) -> consent.Recorded:
    return consent.record(conn, event(Kind.OPT_OUT, key="mail:1"))


def events(database: Database) -> int:
    with database.read() as conn:
        return conn.execute(select(func.count()).select_from(consent_events)).scalar_one()


def test_an_opt_out_is_there_and_a_second_try_adds_nothing(
    far: Database, line: FaultyLine, tmp_path: Path
) -> None:
    keeper = Keeper(far, tmp_path / "journal").attach()
    line.be(LOST_COMMIT)
    with pytest.raises(StoreUnavailable), far.write() as conn:
        leave(conn)
    assert line.struck == 1
    with far.read() as conn:
        assert suppressions.reasons(conn, person("ann@example.org")) == {Reason.OPT_OUT}
    with far.write() as conn:
        assert leave(conn) == consent.Recorded(1, is_new=False)
    assert events(far) == 1
    with far.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "bob@example.org"))
    with far.read() as conn:
        assert keeper.journal.tip() == ledger.head(conn)
    assert [entry.sequence for entry in map(keeper.journal.chain().__getitem__, (0, 1))] == [1, 2]


async def test_a_write_of_the_event_loop_is_told_that_it_failed(
    far: Database, line: FaultyLine
) -> None:
    line.be(LOST_COMMIT)
    with pytest.raises(StoreUnavailable):
        await far.commit(leave)
    assert line.struck == 1
    assert not (await far.commit(leave)).is_new
    assert events(far) == 1


@pytest.mark.parametrize("lost", range(1, 7))
def test_an_import_goes_on_behind_whichever_commit_was_lost(
    far: Database, line: FaultyLine, tmp_path: Path, lost: int
) -> None:
    """Its beginning, one of its three parts, its end; the sixth never comes."""
    file = tmp_path / "left.csv"
    file.write_text("\n".join(["email", *(f"p{one}@example.org" for one in range(LINES))]))
    real, commits = far.write, 0

    def write(**how: bool) -> object:
        nonlocal commits
        commits += 1
        if commits == lost:
            line.be(LOST_COMMIT)
        return real(**how)

    far.write = write  # type: ignore[assignment,method-assign]
    if lost < 6:
        with pytest.raises(StoreUnavailable):
            import_file(far, file)
        assert line.struck == 1
    import_file(far, file)
    assert commits >= 5
    with far.read() as conn:
        row = conn.execute(select(imports)).one()
        assert (row.persons, row.added, row.finished_at is None) == (LINES, LINES, False)
        assert proof.prove(conn).fault is None
    assert events(far) == 3


def test_whoever_falls_silent_with_the_ledger_locked_keeps_nobody_from_leaving(
    far: Database,
    databases: Databases,
    postgresql: PostgreSQL,
    line: FaultyLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host without power says no goodbye: its server would keep its locks for hours."""
    assert engine.SILENT_WRITER_SECONDS < 30, "shorter than others wait for a lock"
    monkeypatch.setattr(engine, "SILENT_WRITER_SECONDS", 1)
    near = Database.open(far.engine.url.set(port=postgresql.port).render_as_string())
    with pytest.raises(StoreUnavailable), far.write() as conn:
        leave(conn)
        line.be(BlackHole())
        with near.write() as other:
            consent.record(other, event(Kind.OPT_OUT, "bob@example.org"))
        line.end(End.RST)
    with near.read() as conn:
        assert suppressions.reasons(conn, person("bob@example.org")) == {Reason.OPT_OUT}
        assert suppressions.reasons(conn, person("ann@example.org")) == frozenset()
    near.close()


def test_a_frozen_process_that_goes_on_is_told_that_it_lost_its_turn(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SILENT_WRITER_SECONDS", 1)
    database = Database.open(databases.migrated())
    with pytest.raises(StoreUnavailable, match="idle"), database.write() as conn:
        leave(conn)
        with database.write() as other:
            consent.record(other, event(Kind.OPT_OUT, "bob@example.org"))
        ledger.head(conn)
    with database.write() as conn:
        assert leave(conn).is_new
    assert events(database) == 2
    database.close()


def test_a_daemon_frozen_in_mid_claim_keeps_its_rows_from_nobody(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SILENT_WRITER_SECONDS", 1)
    database = Database.open(databases.migrated())
    queue_order_status(database)
    [row] = claim(database, by="frozen", lease=0)
    with pytest.raises(StoreUnavailable, match="idle"), database.write() as conn:
        assert outbox.give_back(conn, [row.id], claimed_by="frozen") == 1
        with database.write() as other:  # waits for the row that the frozen one has locked
            assert outbox.recover_expired(other, resend_after_seconds=600).queued == (row.id,)
        ledger.head(conn)
    assert state_of(database, row.id) is State.QUEUED
    database.close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_server_with_another_default_isolation_fails_nobody_who_waits(
    databases: Databases, level: str
) -> None:
    url = databases.migrated()
    database = Database.open(url)
    with database.write() as conn:
        name = conn.exec_driver_sql("SELECT current_database()").scalar_one()
        conn.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    database.close()
    database = Database.open(url)
    faults: list[BaseException] = []

    def wait_and_leave() -> None:
        try:
            with database.write() as conn:
                consent.record(conn, event(Kind.OPT_OUT, "bob@example.org"))
        except BaseException as fault:
            faults.append(fault)

    waiting = threading.Thread(target=wait_and_leave)
    with database.write() as conn:
        leave(conn)
        waiting.start()
        until_waiting(database, 1)
    waiting.join(60)
    assert faults == []
    assert events(database) == 2
    database.close()
