"""When a lease is over, of a row and of a mailbox: whatever clock or hand was at it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from mailbot.core.outbox_states import State
from mailbot.store import mailboxes, outbox
from mailbot.store.engine import Database
from tests.clock import DatabaseClock
from tests.store.filling import claim, queue_order_status, state_of

DAY = timedelta(days=1)
NO_TIMES = {"sqlite": ["someday", ""], "postgresql": ["infinity", "-infinity"]}


@pytest.fixture
def clock(database: Database) -> DatabaseClock:
    return DatabaseClock(database)


def take(database: Database, daemon: str) -> bool:
    with database.write() as conn:
        return mailboxes.acquire_lease(conn, "help", claimed_by=daemon, lease_seconds=20)


def swept(database: Database) -> tuple[int, ...]:
    with database.write() as conn:
        return outbox.recover_expired(conn, resend_after_seconds=600).queued


def set_leases(database: Database, until: str | None) -> None:
    with database.write() as conn:
        for table in ("outbox", "mailbox_leases"):
            conn.execute(text(f"UPDATE {table} SET lease_until = :until"), {"until": until})


def test_a_lease_that_lasts_is_left_alone(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database, by="alive", lease=3600)
    assert take(database, "alive")
    assert swept(database) == ()
    assert state_of(database, row.id) is State.CLAIMED
    assert not take(database, "other")


def test_a_lease_ends_by_the_databases_clock(database: Database, clock: DatabaseClock) -> None:
    queue_order_status(database)
    [row] = claim(database, by="dead", lease=3600)
    assert take(database, "dead")
    clock.jump(timedelta(seconds=3601))
    assert swept(database) == (row.id,)
    assert take(database, "other")


def test_a_clock_that_was_a_day_ahead_keeps_nobody_from_a_dead_daemons_work(
    database: Database, clock: DatabaseClock
) -> None:
    """Or help@ would be read by nobody until the clock has caught up."""
    queue_order_status(database)
    clock.jump(DAY)
    [row] = claim(database, by="dead")
    assert take(database, "dead")
    clock.jump(-DAY)
    assert swept(database) == (row.id,)
    assert take(database, "other")
    assert not take(database, "dead")


def test_a_lease_without_an_end_or_with_a_senseless_one_is_over(
    database: Database, engine: str
) -> None:
    queue_order_status(database)
    for until in (None, *NO_TIMES[engine]):
        [row] = claim(database, by="dead")
        assert take(database, "dead")
        set_leases(database, until)
        assert swept(database) == (row.id,), f"an outbox lease until {until!r}"
        assert take(database, "other"), f"a mailbox lease until {until!r}"
        with database.write() as conn:
            mailboxes.release_lease(conn, "help", claimed_by="other")
