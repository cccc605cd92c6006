"""Everybody at once: nobody waits in a circle, no event is lost, and who left is sent nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, func, select, text, update

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import CLAIMABLE, State
from mailbot.store import campaigns, deliveries, ledger, outbox, sent_messages, suppressions
from mailbot.store.columns import DatabaseTime
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database
from mailbot.store.tables import campaigns as campaign_rows
from mailbot.store.tables import consent_events
from mailbot.store.tables import outbox as rows
from tests.databases import Databases
from tests.people import person
from tests.store.crowd import CAMPAIGNS, LEAVERS, OTHERS, WORKERS, Crowd, work_together
from tests.store.filling import ME, campaign_under_way, claim, queue_order_status


def deadlocks(database: Database) -> int:
    """How many circles PostgreSQL had to break in this database; it tells once all have left."""
    with database.read() as conn:
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(conn.execute(text(counted)).scalar_one())


def the_ledger_holds(database: Database, keys: set[str]) -> None:
    """Each event once, numbered without a gap, the chain whole."""
    with database.read() as conn:
        assert ledger.verify(conn) is None
        found = conn.execute(select(consent_events.c.sequence, consent_events.c.key)).all()
    assert sorted(row.sequence for row in found) == list(range(1, len(found) + 1))
    assert Counter(row.key for row in found) == Counter(keys)


def nobody_who_left_is_sent_anything(database: Database) -> None:
    for who in LEAVERS:
        with database.read() as conn:
            left_at = conn.execute(
                select(func.min(consent_events.c.sequence))
                .where(
                    consent_events.c.person_hash == person(who).person_hash,
                    consent_events.c.kind == Kind.OPT_OUT,
                )
            ).scalar()  # fmt: skip
            if left_at is None:
                continue
            assert suppressions.reasons(conn, person(who)), who
            theirs = conn.execute(
                select(rows).where(rows.c.address == who, rows.c.kind == "campaign")
            ).all()
        for row in theirs:
            # What was on its way when they left, and deferred, is withheld by its next look.
            was_on_its_way = row.state == State.DEFERRED and row.attempts > 0
            assert row.state not in CLAIMABLE | {State.CLAIMED} or was_on_its_way, row
            assert row.state != State.SENT or row.list_sequence < left_at, row


@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", [1, 2])
def test_everybody_at_once_waits_in_no_circle_and_loses_nothing(
    databases: Databases, seed: int
) -> None:
    url = databases.migrated()
    database = Database.open(url)
    for name in CAMPAIGNS:
        campaign_under_way(database, *LEAVERS, *OTHERS, name=name)
    for who in OTHERS:
        queue_order_status(database, who, key=f"order of {who}")
    crowd = Crowd(database)
    work_together(crowd, WORKERS, seed)
    assert crowd.faults == []
    the_ledger_holds(database, crowd.keys)
    nobody_who_left_is_sent_anything(database)
    database.close()
    again = Database.open(url)
    if not again.is_sqlite:
        assert deadlocks(again) == 0
    again.close()


def lock(conn: Connection, row_id: int) -> None:
    """Raises where somebody else has it."""
    conn.execute(select(rows.c.id).where(rows.c.id == row_id).with_for_update(nowait=True)).one()


def somebody_waits(database: Database) -> bool:
    with database.read() as conn:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return int(conn.execute(text(waiting)).scalar_one()) > 0


def until_somebody_waits(database: Database) -> None:
    deadline = time.monotonic() + 10
    while not somebody_waits(database):
        assert time.monotonic() < deadline, "nobody came to wait for the lock"
        time.sleep(0.01)


# Whatever changes several rows of the outbox in one statement, and the state it finds them in.
CHANGES_OF_MANY: dict[str, tuple[State, Callable[[Connection], object]]] = {
    "the heartbeat": (State.CLAIMED, lambda conn: outbox.extend_leases(
        conn, [2, 1], claimed_by=ME, lease_seconds=60)),
    "giving back": (State.CLAIMED, lambda conn: outbox.give_back(conn, [2, 1], claimed_by=ME)),
    "recovering what was claimed": (State.CLAIMED, lambda conn: outbox.recover_expired(
        conn, resend_after_seconds=0)),
    "recovering what was sending": (State.SENDING, lambda conn: outbox.recover_expired(
        conn, resend_after_seconds=0)),
    "withholding": (State.CLAIMED, lambda conn: outbox.withhold_marketing_of(
        conn, person("ann@example.org"), "opt_out")),
    "a delivery report": (State.SENT, lambda conn: sent_messages.mark_bounced(
        conn, [2, 1], "5.1.1")),
    "pausing": (State.CLAIMED, lambda conn: campaigns.pause(conn, "spring", "")),
    "cancelling": (State.QUEUED, lambda conn: campaigns.cancel(conn, "spring", "")),
    "what came back to a cancelled campaign": (
        State.DEFERRED, lambda conn: campaigns.cancel_waiting(conn, limit=10)),
    "beginning": (State.CLAIMED, lambda conn: deliveries.begin_attempts(
        conn, [2, 1], claimed_by=ME, lease_seconds=60)),
    "outcomes": (State.SENDING, lambda conn: deliveries.record_outcomes(
        conn, [DeliveryOutcome(row_id, 0, State.SENT, "250 ok") for row_id in (2, 1)])),
}  # fmt: skip


@pytest.mark.only_on("postgresql", "SQLite has one writer, and no locks on rows")
@pytest.mark.parametrize("change", CHANGES_OF_MANY)
def test_many_rows_are_locked_in_the_order_of_their_ids(database: Database, change: str) -> None:
    state, run = CHANGES_OF_MANY[change]
    campaign_under_way(database, "ann@example.org", "ann+teas@example.org")
    claim(database)
    expired = change.startswith("recovering")
    with database.write() as conn:
        # The later one stands first in the table, is due first, and its lease ends first.
        for row_id, seconds in ((2, -20), (1, -10)):
            conn.execute(update(rows).where(rows.c.id == row_id).values(
                state=state,
                not_before=DatabaseTime(seconds),
                lease_until=DatabaseTime(seconds if expired else 100 + seconds),
            ))  # fmt: skip
        if change == "what came back to a cancelled campaign":
            conn.execute(update(campaign_rows).values(state="cancelled"))

    def change_both() -> None:
        with database.write() as conn:
            run(conn)

    changing = threading.Thread(target=change_both)
    with database.write() as conn:
        lock(conn, 1)
        changing.start()
        until_somebody_waits(database)
        lock(conn, 2)  # free: whoever waits for the first has not taken the second
    changing.join(10)
    assert not changing.is_alive()


@pytest.mark.only_on("postgresql", "SQLite has one writer, and no locks on rows")
async def test_a_commit_that_waits_for_a_lock_keeps_no_other_from_being_committed(
    database: Database,
) -> None:
    queue_order_status(database, key="first")
    queue_order_status(database, key="second")

    def touch(conn: Connection, row_id: int) -> int:
        return conn.execute(update(rows).where(rows.c.id == row_id).values(priority=1)).rowcount

    with database.write() as conn:
        lock(conn, 1)
        waiting = asyncio.create_task(database.commit(lambda conn: touch(conn, 1)))
        await asyncio.to_thread(until_somebody_waits, database)
        assert await asyncio.wait_for(database.commit(lambda conn: touch(conn, 2)), 5) == 1
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, 5) == 1
