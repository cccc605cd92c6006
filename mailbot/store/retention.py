"""Readable addresses of messages that are long over go; hashes, states and counts stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from mailbot.core.outbox_states import FINAL, State
from mailbot.store.engine import Database
from mailbot.store.erasure import forget_rows
from mailbot.store.tables import CampaignState, audience_members, campaigns, outbox

_OVER = sorted(FINAL | {State.SENT})  # `uncertain` waits for somebody who needs the address
_ENDED = (CampaignState.DONE, CampaignState.CANCELLED)
_CHUNK = 500  # rows a transaction: one writer at a time, and intake must not wait long for it


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows lost what was readable."""

    messages: int
    members: int  # of audiences


def forget(database: Database, before: datetime) -> Forgotten:
    """Empty whatever was over before `before`, chunk by chunk; may be ended and begun anew."""
    messages = members = last = 0
    while True:
        with database.read() as conn:
            ids = next_messages(conn, before, after_id=last, limit=_CHUNK)
        if not ids:
            break
        with database.write() as conn:
            messages += forget_messages(conn, ids)
        last = ids[-1]
    with database.read() as conn:
        ended = ended_campaigns(conn, before)
    for campaign_id in ended:
        while True:
            with database.write() as conn:
                emptied = forget_audience(conn, campaign_id, limit=_CHUNK)
            if not emptied:
                break
            members += emptied
    return Forgotten(messages, members)


def count(conn: Connection, before: datetime) -> Forgotten:
    """What `forget` would empty now."""
    messages = select(func.count()).where(*_is_over(before))
    members = (
        select(func.count())
        .select_from(audience_members)
        .where(
            audience_members.c.campaign_id.in_(ended_campaigns(conn, before)),
            audience_members.c.address.is_not(None),
        )
    )
    return Forgotten(
        conn.execute(messages.select_from(outbox)).scalar_one(),
        conn.execute(members).scalar_one(),
    )


def _is_over(before: datetime) -> tuple[ColumnElement[bool], ...]:
    ended = select(campaigns.c.id).where(campaigns.c.state.in_(_ENDED))
    return (
        outbox.c.address.is_not(None),
        outbox.c.state.in_(_OVER),
        outbox.c.finished_at < before,
        or_(outbox.c.campaign_id.is_(None), outbox.c.campaign_id.in_(ended)),
    )


def next_messages(conn: Connection, before: datetime, *, after_id: int, limit: int) -> list[int]:
    """Ids of messages that were over before `before` and still have an address, in their order.

    A campaign under way keeps its own. Go on with the last id until the list is empty.
    """
    return list(
        conn.execute(
            select(outbox.c.id)
            .where(outbox.c.id > after_id, *_is_over(before))
            .order_by(outbox.c.id)
            .limit(limit)
        ).scalars()
    )


def forget_messages(conn: Connection, ids: list[int]) -> int:
    """Empty what is readable in these messages and their attempts; returns how many."""
    locked = conn.execute(
        select(outbox.c.id).where(outbox.c.id.in_(ids)).order_by(outbox.c.id).with_for_update()
    ).scalars().all()  # fmt: skip
    forget_rows(conn, list(locked))
    return len(locked)


def ended_campaigns(conn: Connection, before: datetime) -> list[int]:
    """Campaigns that ended, began before `before`, and have a readable audience."""
    readable = (
        select(audience_members.c.line)
        .where(
            audience_members.c.campaign_id == campaigns.c.id,
            audience_members.c.address.is_not(None),
        )
        .exists()
    )
    began_at = func.coalesce(campaigns.c.send_at, campaigns.c.created_at)
    return list(
        conn.execute(
            select(campaigns.c.id)
            .where(campaigns.c.state.in_(_ENDED), began_at < before, readable)
            .order_by(campaigns.c.id)
        ).scalars()
    )


def forget_audience(conn: Connection, campaign_id: int, *, limit: int) -> int:
    """Empty the next `limit` members of an audience; returns how many, 0 at the end."""
    lines = (
        select(audience_members.c.line)
        .where(
            audience_members.c.campaign_id == campaign_id, audience_members.c.address.is_not(None)
        )
        .order_by(audience_members.c.line)
        .limit(limit)
    )
    return conn.execute(
        update(audience_members)
        .where(
            audience_members.c.campaign_id == campaign_id,
            audience_members.c.line.in_(lines.scalar_subquery()),
        )
        .values(address=None, fields={})
    ).rowcount
