"""Work of a millisecond without a thread: as durable, as fresh and as alone as any other."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time

import pytest
from sqlalchemy import Connection, select, text, update

from mailbot.core.errors import StoreUnavailable
from mailbot.store.engine import Database
from mailbot.store.tables import ledger_head

pytestmark = pytest.mark.on_both_engines


def add_one(conn: Connection) -> int:
    conn.execute(update(ledger_head).values(sequence=ledger_head.c.sequence + 1))
    return total_in(conn)


def total_in(conn: Connection) -> int:
    return int(conn.execute(select(ledger_head.c.sequence)).scalar_one())


def total(database: Database) -> int:
    with database.read() as conn:
        return total_in(conn)


def failing(conn: Connection) -> None:
    add_one(conn)
    raise ValueError("a fault of the caller")


async def test_it_is_on_disk_when_it_is_answered(database: Database) -> None:
    assert await database.commit_quickly(add_one) == 1
    other = Database.open(database.engine.url.render_as_string(hide_password=False))
    assert total(other) == 1
    other.close()


async def test_each_look_sees_what_was_committed_just_before_it(database: Database) -> None:
    for number in range(1, 6):
        await database.commit(add_one)
        assert await database.look_quickly(total_in) == number


async def test_a_fault_takes_its_own_work_back_and_no_others(database: Database) -> None:
    await database.commit_quickly(add_one)
    with pytest.raises(ValueError, match="a fault of the caller"):
        await database.commit_quickly(failing)
    assert await database.commit_quickly(add_one) == 2


async def test_a_look_writes_nothing(database: Database) -> None:
    await database.look_quickly(add_one)
    assert total(database) == 0


async def test_many_at_once_lose_nothing(database: Database) -> None:
    ways = [database.commit_quickly, database.commit]
    await asyncio.gather(*(ways[number % 2](add_one) for number in range(60)))
    assert total(database) == 60


async def test_whoever_is_cancelled_leaves_the_way_free(database: Database) -> None:
    for _ in range(5):
        task = asyncio.create_task(database.commit_quickly(add_one))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(database.commit_quickly(add_one), 20)


@pytest.mark.only_on("sqlite", "a server has a lock for each row")
async def test_while_another_program_writes_the_loop_goes_on(database: Database) -> None:
    path = database.engine.url.database or ""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    turns = 0
    waiting = asyncio.create_task(database.commit_quickly(add_one))
    while turns < 20:  # a loop that was blocked would take no turn before the lock is free
        await asyncio.sleep(0.005)
        turns += 1
        assert not waiting.done()
    assert await database.look_quickly(total_in) == 0
    other.execute("ROLLBACK")
    other.close()
    assert await asyncio.wait_for(waiting, 20) == 1


@pytest.mark.only_on("sqlite", "the writers' lock is of this process alone")
async def test_while_another_thread_writes_the_loop_goes_on(database: Database) -> None:
    written, may_end = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with database.write() as conn:
            add_one(conn)
            written.set()
            assert may_end.wait(20)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    assert await asyncio.to_thread(written.wait, 20)
    waiting = asyncio.create_task(database.commit_quickly(add_one))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    may_end.set()
    assert await asyncio.wait_for(waiting, 20) == 2
    thread.join()


@pytest.mark.only_on("sqlite", "a server's disk is not filled by its client")
async def test_a_disk_that_is_full_at_the_end_is_told_and_leaves_the_way_free(
    database: Database,
) -> None:
    def fill(conn: Connection) -> None:
        pages = conn.execute(text("PRAGMA page_count")).scalar_one()
        conn.execute(text(f"PRAGMA max_page_count = {pages}"))
        conn.execute(text("CREATE TABLE large (content BLOB)"))
        conn.execute(text("INSERT INTO large VALUES (zeroblob(10000000))"))

    with pytest.raises(StoreUnavailable, match="the disk is full"):
        await database.commit_quickly(fill)
    assert await database.commit_quickly(add_one) == 1


@pytest.mark.only_on("sqlite", "the writers' lock is of this process alone")
async def test_after_a_quick_write_a_long_one_is_waited_for_without_a_spin(
    database: Database,
) -> None:
    """The last COMMIT is over: asking for its end again and again would take a whole core."""
    await database.commit_quickly(add_one)
    written, may_end = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with database.write() as conn:
            add_one(conn)
            written.set()
            assert may_end.wait(20)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    assert await asyncio.to_thread(written.wait, 20)
    began = time.thread_time()
    waiting = asyncio.create_task(database.commit_quickly(add_one))
    await asyncio.sleep(0.5)
    spent = time.thread_time() - began
    may_end.set()
    assert await asyncio.wait_for(waiting, 20) == 3
    thread.join()
    assert spent < 0.2, "the loop was busy while it waited"
