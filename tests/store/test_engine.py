"""Transactions: durable, one writer at a time, committed together without mixing their faults."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select, text, update

from mailbot.core.errors import StoreError, StoreUnavailable
from mailbot.store import switches
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.tables import ledger_head


def add_one(conn: Connection) -> int:
    """A read that turns into a write: what pysqlite's own transactions lose.

    On PostgreSQL it takes a lock, as everything in mailbot does that reads to write.
    """
    count = conn.execute(select(ledger_head.c.sequence).with_for_update()).scalar_one()
    conn.execute(update(ledger_head).values(sequence=count + 1))
    return int(count) + 1


def failing(conn: Connection) -> None:
    add_one(conn)
    raise ValueError("a fault of one caller")


def total(database: Database) -> int:
    with database.read() as conn:
        return int(conn.execute(select(ledger_head.c.sequence)).scalar_one())


def test_six_threads_lose_no_update(database: Database) -> None:
    def work() -> None:
        for _ in range(50):
            with database.write() as conn:
                add_one(conn)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(database) == 300


async def test_commits_that_wait_together_lose_nothing(
    database: Database,
) -> None:
    results = await asyncio.gather(*(database.commit(add_one) for _ in range(200)))
    assert sorted(results) == list(range(1, 201))
    assert total(database) == 200


async def test_one_callers_fault_is_its_own(database: Database) -> None:
    work: list[Callable[[Connection], object]] = [add_one, failing, add_one, failing, add_one]
    results = await asyncio.gather(
        *(database.commit(function) for function in work), return_exceptions=True
    )
    assert [isinstance(result, ValueError) for result in results] == [
        False, True, False, True, False
    ]  # fmt: skip
    assert total(database) == 3


async def test_a_commit_is_on_disk_when_it_is_answered(database: Database) -> None:
    await database.commit(add_one)
    other = Database.open(str(database.engine.url))
    assert total(other) == 1
    other.close()
    durable: dict[str, list[tuple[str, object]]] = {
        "sqlite": [("PRAGMA synchronous", 2), ("PRAGMA journal_mode", "wal")],  # 2: FULL
        "postgresql": [("SHOW synchronous_commit", "on")],
    }
    with database.read() as conn:
        for question, answer in durable[conn.dialect.name]:
            assert conn.execute(text(question)).scalar() == answer, question


async def test_a_look_sees_what_was_committed_just_before_it(database: Database) -> None:
    def stopped(conn: Connection) -> bool:
        return switches.get(conn, switches.MARKETING_STOPPED).is_on

    for turn in (True, False) * 5:
        await database.commit(
            lambda conn, turn=turn: switches.turn(  # type: ignore[misc]
                conn, switches.MARKETING_STOPPED, is_on=turn, because=""
            )
        )
        assert await database.look(stopped) is turn


def test_what_is_written_in_a_read_does_not_stay(database: Database) -> None:
    with database.read() as conn:
        add_one(conn)
    assert total(database) == 0


def test_times_come_back_aware_and_in_utc_from_the_databases_clock(database: Database) -> None:
    with database.read() as conn:
        at = now(conn)
        later = conn.execute(select(DatabaseTime(90))).scalar_one()
        earlier = conn.execute(select(DatabaseTime(-90.5))).scalar_one()
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=5)
    assert timedelta(seconds=180) < later - earlier < timedelta(seconds=182)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # the fault under test
    with pytest.raises(StoreError, match="without zone"), database.write() as conn:
        conn.execute(text("SELECT 1"))
        conn.execute(select(DatabaseTime()).where(DatabaseTime() > naive))


@pytest.mark.only_on("sqlite", "a server's disk is not filled by its client")
def test_a_full_disk_is_told_in_plain_words_and_loses_nothing(database: Database) -> None:
    with database.write() as conn:
        add_one(conn)
    with pytest.raises(StoreUnavailable, match="the disk is full"), database.write() as conn:
        pages = conn.execute(text("PRAGMA page_count")).scalar_one()
        conn.execute(text(f"PRAGMA max_page_count = {pages}"))
        add_one(conn)
        conn.execute(text("CREATE TABLE large (content BLOB)"))
        conn.execute(text("INSERT INTO large VALUES (zeroblob(10000000))"))
    assert total(database) == 1


@pytest.mark.only_on("postgresql", "these are its server's words")
@pytest.mark.parametrize(("said", "told"), [
    ('could not extend file "base/5/2619": No space left on device', "the disk is full"),
    ("cannot execute UPDATE in a read-only transaction", "takes no writes"),
])  # fmt: skip
def test_what_a_server_in_trouble_says_is_told_in_plain_words(
    database: Database, said: str, told: str
) -> None:
    with pytest.raises(StoreUnavailable, match=told), database.write() as conn:
        conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION '{said}'; END $$"))


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(database.commit(add_one))
