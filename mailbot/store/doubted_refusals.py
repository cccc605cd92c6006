"""Whether the relay is believed that addresses of order status do not exist, by what it did lately.

A relay that says so of everybody is what is wrong: believed, it would take every customer off. What
is refused then is tried again later, and counts against nobody.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from mailbot.core.brakes import MOST_REFUSALS_BELIEVED, relay_doubted_since
from mailbot.core.outbox_states import State
from mailbot.store.tables import delivery_attempts, outbox


def since(conn: Connection) -> datetime | None:
    """Since when it is not believed; None while it is. Asked at a refusal: a few rows of an index.

    A later delivery report is another server's word about a message that the relay took: what
    counts is how the attempt ended.
    """
    refused = list(conn.execute(newest(State.BOUNCED)).scalars())
    if len(refused) < MOST_REFUSALS_BELIEVED:
        return None
    return relay_doubted_since(refused, list(conn.execute(newest(State.SENT)).scalars()))


def waiting(conn: Connection) -> int:
    """How many messages were refused for good and wait all the same."""
    counted: int = conn.execute(
        select(func.count()).where(
            outbox.c.campaign_id.is_(None),
            outbox.c.state == State.DEFERRED,
            outbox.c.last_reply.like("5%"),  # whatever else is put off was answered 4xx, or lost
        )
    ).scalar_one()
    return counted


def newest(state: State) -> Select[Any]:
    """When the newest messages that are no campaign's ended so; by id, which is nearly by time."""
    return (
        select(outbox.c.finished_at)
        .join(delivery_attempts, delivery_attempts.c.id == outbox.c.attempt_id)
        .where(
            outbox.c.campaign_id.is_(None),
            outbox.c.state == state,
            outbox.c.finished_at.is_not(None),
            delivery_attempts.c.outcome == state,
        )
        # The whole key of the index: PostgreSQL would sort for less.
        .order_by(outbox.c.campaign_id.desc(), outbox.c.state.desc(), outbox.c.id.desc())
        .limit(MOST_REFUSALS_BELIEVED)
    )
