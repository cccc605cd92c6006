"""How fast requests were acted on, and how long the oldest one waits: the legal clock's figures."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from mailbot.core.consent import Kind, Source
from mailbot.store import ledger
from mailbot.store.engine import now
from mailbot.store.tables import ReviewState, consent_events, reviews, watermarks

_SHADOW = "% (shadow)"  # what shadow mode read is read again when mailbot goes live


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A mail in review; it counts as a request until somebody decides that it is none."""

    review_id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """From receipt to the list, of opt-outs by mail; None where there was none.

    `history` counts those that were received before mailbot had read the mailbox to its end for
    the first time: they are in no quantile.
    """

    count: int
    median: timedelta | None
    p99: timedelta | None
    history: int


def oldest_open(conn: Connection) -> OpenRequest | None:
    """The open review that was received first."""
    received = func.coalesce(reviews.c.received_at, reviews.c.opened_at)
    row = conn.execute(
        select(reviews.c.id, reviews.c.received_at, reviews.c.opened_at)
        .where(reviews.c.state == ReviewState.OPEN)
        .order_by(received, reviews.c.id)
        .limit(1)
    ).first()
    return OpenRequest(row.id, row.received_at or row.opened_at) if row else None


def answer_times(conn: Connection, within: timedelta) -> AnswerTimes:
    """Of the time `within` until now. Reads the events of that time alone, however many others."""
    first = _first_recorded_since(conn, now(conn) - within)
    begun = conn.execute(
        select(func.min(watermarks.c.first_scan_done_at)).where(
            watermarks.c.account.not_like(_SHADOW)
        )
    ).scalar_one()
    by_mail = select(consent_events.c.received_at, consent_events.c.recorded_at).where(
        consent_events.c.sequence >= first,
        consent_events.c.kind == Kind.OPT_OUT,
        consent_events.c.source == Source.MAIL,
    )
    took, history = array("d"), 0  # seconds, eight bytes each: a busy month has a million
    with conn.execute(by_mail.execution_options(yield_per=1000)) as rows:
        for row in rows:
            if begun is None or row.received_at < begun:
                history += 1
            else:
                took.append(max(0.0, (row.recorded_at - row.received_at).total_seconds()))
    ordered = sorted(took)
    return AnswerTimes(len(ordered), _quantile(ordered, 50), _quantile(ordered, 99), history)


def _quantile(took: list[float], percent: int) -> timedelta | None:
    """The shortest time within which so many of a hundred were done."""
    if not took:
        return None
    return timedelta(seconds=took[max(0, -(-len(took) * percent // 100) - 1)])


def _first_recorded_since(conn: Connection, at: datetime) -> int:
    """The number of the first event recorded from `at` on, or one past the last.

    Events are recorded in the order of their numbers: twenty looks find it among a million, where
    an index by time would cost each opt-out.
    """
    low, high = 1, ledger.head_sequence(conn) + 1
    while low < high:
        middle = (low + high) // 2
        recorded_at = conn.execute(
            select(consent_events.c.recorded_at).where(consent_events.c.sequence == middle)
        ).scalar_one_or_none()
        if recorded_at is None or recorded_at >= at:
            high = middle
        else:
            low = middle + 1
    return low
