"""Rows for the store's tests: order status, a campaign on its way, a row brought to a state."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select, text, update

from mailbot.core.outbox_states import State
from mailbot.store import campaigns, deliveries, expansion, outbox
from mailbot.store.campaigns import Member
from mailbot.store.columns import DatabaseTime
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database, now
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import outbox as rows
from tests.people import address, person

ME = "daemon-1"


def queue_order_status(database: Database, who: str = "ann@example.org", key: str = "o1") -> bool:
    with database.write() as conn:
        return outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(who), person=person(who),
            fields={}, idempotency_key=key, our_domain="shop.example",
        )  # fmt: skip


def campaign_under_way(database: Database, *people: str, name: str = "spring") -> int:
    """A campaign that is sending, its audience in the outbox; returns its id."""
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name=name, subject="Teas", text_source="Hello", html_source=None
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {"name": who})
            for line, who in enumerate(people, start=2)
        ])  # fmt: skip
        campaigns.finish_loading(conn, name)
        campaigns.schedule(conn, name, now(conn) - timedelta(seconds=1))
        campaigns.start_due(conn)
        expansion.expand(conn, campaign_id, our_domain="shop.example", limit=1000)
    return campaign_id


def claim(
    database: Database, limit: int = 100, by: str = ME, lease: float = 60
) -> list[ClaimedRow]:
    with database.write() as conn:
        return outbox.claim(
            conn, claimed_by=by, lease_seconds=lease, limit=limit, with_campaigns=True
        )


def begin(database: Database, row: ClaimedRow, by: str = ME, lease: float = 60) -> int | None:
    with database.write() as conn:
        begun = deliveries.begin_attempts(conn, [row.id], claimed_by=by, lease_seconds=lease)
        return begun.get(row.id)


def end(database: Database, row: ClaimedRow, attempt_id: int, state: State) -> bool:
    with database.write() as conn:
        outcome = DeliveryOutcome(row.id, attempt_id, state, "said", list_sequence=0)
        return deliveries.record_outcomes(conn, [outcome]) == {row.id}


def state_of(database: Database, row_id: int) -> State:
    with database.read() as conn:
        return State(conn.execute(select(rows.c.state).where(rows.c.id == row_id)).scalar_one())


def let_leases_run_out(database: Database) -> None:
    """As if the daemon that holds them had been dead for a while."""
    with database.write() as conn:
        conn.execute(
            update(rows).where(rows.c.lease_until.is_not(None))
            .values(lease_until=DatabaseTime(-1))
        )  # fmt: skip


def drop_trigger(conn: Connection, name: str) -> None:
    """As somebody who may do anything to the database; a trigger is named after its table."""
    table = name.partition("_no_")[0]
    on_table = f" ON {table}" if conn.dialect.name == "postgresql" else ""
    conn.execute(text(f"DROP TRIGGER {name}{on_table}"))
