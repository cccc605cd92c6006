"""What became of order status, in the order of its changes, so that a shop can poll.

A change gets its place only when somebody asks: whoever sends never waits for a counter, and a
change that was committed late comes after those that were told already, so that none is missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store.engine import Database
from mailbot.store.tables import IS_UNTOLD, outbox, told_head

_CHUNK: Final = 500  # rows a transaction: one writer at a time, and others must not wait long


@dataclass(frozen=True, slots=True)
class OrderStatusChange:
    """Where one message stands since `changed_at` (UTC); `sequence` is its place in the order."""

    sequence: int
    idempotency_key: str
    type: str
    state: State
    changed_at: datetime | None
    withheld_reason: Reason | None  # for withheld: always undeliverable
    reply: str  # the relay's last answer, "" where it said nothing


@dataclass(frozen=True, slots=True)
class Told:
    """Some changes in their order; `cursor` asks for what comes after them."""

    changes: tuple[OrderStatusChange, ...]
    cursor: int
    has_more: bool


def changes_after(database: Database, cursor: int, limit: int) -> Told:
    """The next `limit` changes after `cursor`; 0 begins with the first.

    A message that changed again since it was told stands once, at its newest place.
    """
    while True:
        with database.read() as conn:
            found = _told(conn, cursor, limit + 1)
            is_all = len(found) > limit or conn.execute(
                select(outbox.c.id).where(IS_UNTOLD).limit(1)
            ).first() is None  # fmt: skip
        if is_all:
            kept = tuple(found[:limit])
            return Told(kept, kept[-1].sequence if kept else cursor, len(found) > limit)
        with database.write() as conn:
            give_places(conn)


def newest_place(conn: Connection) -> int:
    """How many places were given so far: no cursor can be beyond."""
    newest: int = conn.execute(select(told_head.c.sequence)).scalar_one()
    return newest


def standing_of(conn: Connection, idempotency_key: str) -> OrderStatusChange | None:
    """Where the message of that key stands now; None where none was handed over under it.

    Its `sequence` is 0: it is told apart from the order of changes.
    """
    row = conn.execute(
        select(
            outbox.c.idempotency_key, outbox.c.type, outbox.c.state, outbox.c.finished_at,
            outbox.c.withheld_reason, outbox.c.last_reply,
        ).where(outbox.c.idempotency_key == idempotency_key)
    ).first()  # fmt: skip
    if row is None:
        return None
    reason = Reason(row.withheld_reason) if row.withheld_reason else None
    return OrderStatusChange(
        0, row.idempotency_key, row.type, State(row.state), row.finished_at, reason,
        row.last_reply or "",
    )  # fmt: skip


def give_places(conn: Connection) -> int:
    """Give up to 500 changes their place in the order; returns how many.

    Locks the head, then the messages in the order of their ids.
    """
    head = conn.execute(select(told_head.c.sequence).with_for_update()).scalar_one()
    waiting = list(conn.execute(
        select(outbox.c.id).where(IS_UNTOLD).order_by(outbox.c.finished_at, outbox.c.id)
        .limit(_CHUNK)
    ).scalars())  # fmt: skip
    locked = conn.execute(
        select(outbox.c.id, outbox.c.state)
        .where(outbox.c.id.in_(waiting), IS_UNTOLD)
        .order_by(outbox.c.id)
        .with_for_update()
    ).all()
    state_of = {row.id: row.state for row in locked}
    places = [
        {"of_row": row_id, "now": state_of[row_id], "place": place}
        for place, row_id in enumerate((one for one in waiting if one in state_of), start=head + 1)
    ]
    if places:
        conn.execute(
            update(outbox)
            .where(outbox.c.id == bindparam("of_row"))
            .values(told_state=bindparam("now"), told_sequence=bindparam("place")),
            places,
        )
        conn.execute(update(told_head).values(sequence=head + len(places)))
    return len(places)


def _told(conn: Connection, cursor: int, limit: int) -> list[OrderStatusChange]:
    rows = conn.execute(
        select(
            outbox.c.told_sequence, outbox.c.idempotency_key, outbox.c.type, outbox.c.told_state,
            outbox.c.state, outbox.c.finished_at, outbox.c.withheld_reason, outbox.c.last_reply,
        )
        .where(outbox.c.told_sequence > cursor)
        .order_by(outbox.c.told_sequence)
        .limit(limit)
    )  # fmt: skip
    return [_change(row) for row in rows]


def _change(row: Any) -> OrderStatusChange:
    # Queued again since it was uncertain: time and reply belong to what comes next.
    is_still_so = row.told_state == row.state
    return OrderStatusChange(
        row.told_sequence, row.idempotency_key, row.type, State(row.told_state),
        row.finished_at if is_still_so else None,
        Reason(row.withheld_reason) if row.withheld_reason else None,
        (row.last_reply or "") if is_still_so else "",
    )  # fmt: skip
