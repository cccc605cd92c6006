"""Messages that may or may not have arrived, and what a person decides about them.

Nothing here is decided by itself: an order status is resent three times by store.outbox before it
waits for a person too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, select, update

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.store.campaigns import reopen
from mailbot.store.columns import DatabaseTime, locked_in_order
from mailbot.store.outbox import MOST_RESENDS
from mailbot.store.tables import campaigns, outbox

_AT_ONCE: Final = 1000


class Decision(StrEnum):
    """What becomes of a message that may or may not have arrived."""

    SENT = "sent"  # the relay had taken it
    AGAIN = "again"  # queued once more under its Message-ID; the list is looked at again
    DROP = "drop"  # let be


_TARGET: Final = {
    Decision.SENT: State.SENT,
    Decision.AGAIN: State.QUEUED,
    Decision.DROP: State.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that are decided about together: of a campaign, or all of another kind."""

    kind: MessageKind
    campaign_id: int | None = None


def _rows_of(group: Group) -> tuple[ColumnElement[bool], ...]:
    of = outbox.c.campaign_id
    rows = (
        outbox.c.state == State.UNCERTAIN,
        outbox.c.kind == group.kind,
        of.is_(None) if group.campaign_id is None else of == group.campaign_id,
    )
    if group.kind is MessageKind.ORDER_STATUS:  # before that they are resent by themselves
        return (*rows, outbox.c.resends >= MOST_RESENDS)
    return rows


@dataclass(frozen=True, slots=True)
class Doubt:
    """A group in numbers. `fresh` ones may still be answered: an answer can come that late."""

    count: int
    fresh: int
    oldest_at: datetime | None
    newest_at: datetime | None


def doubt(conn: Connection, group: Group, *, answer_seconds: float) -> Doubt:
    """How many wait for a person, and since when."""
    row = conn.execute(
        select(
            func.count(),
            func.count(case((outbox.c.finished_at > DatabaseTime(-answer_seconds), 1))),
            func.min(outbox.c.finished_at),
            func.max(outbox.c.finished_at),
        ).where(*_rows_of(group))
    ).one()
    return Doubt(*row)


def doubts_of_campaigns(conn: Connection) -> list[tuple[str, int]]:
    """The campaigns with uncertain messages, oldest first, and how many each has."""
    count = (
        select(func.count())
        .where(outbox.c.campaign_id == campaigns.c.id, outbox.c.state == State.UNCERTAIN)
        .scalar_subquery()
    )
    rows = conn.execute(select(campaigns.c.name, count.label("uncertain")).order_by(campaigns.c.id))
    return [(row.name, row.uncertain) for row in rows if row.uncertain]


@dataclass(frozen=True, slots=True)
class UncertainMessage:
    """One of them. `since` is when its attempt was lost."""

    id: int
    message_id: str
    person_hash: str
    address: str | None
    since: datetime | None
    attempts: int


def messages(conn: Connection, group: Group) -> Iterator[UncertainMessage]:
    """Each of them, in the order of their ids; memory stays flat."""
    chosen = (
        select(
            outbox.c.id, outbox.c.message_id, outbox.c.person_hash, outbox.c.address,
            outbox.c.finished_at, outbox.c.attempts,
        )
        .where(*_rows_of(group))
        .order_by(outbox.c.id)
        .execution_options(yield_per=_AT_ONCE)
    )  # fmt: skip
    with conn.execute(chosen) as rows:
        for row in rows:
            yield UncertainMessage(*row)


def settle(
    conn: Connection,
    group: Group,
    ids: Collection[int],
    decision: Decision,
    *,
    told: str,
    by: str,
    answer_seconds: float,
) -> int:
    """Settle those of `ids` that are uncertain still; returns how many.

    One whose answer may still come is neither sent again nor dropped: it would go out twice, or be
    counted as nothing, behind somebody's back. `told` stays with the row: who decided, and by what.
    A campaign that was over goes on for what is sent again, and says that it was `by` this person.
    Raises RefusedError where it was cancelled.
    """
    conditions = [*_rows_of(group), outbox.c.id.in_(sorted(ids))]
    if decision is not Decision.SENT:
        conditions.append(outbox.c.finished_at <= DatabaseTime(-answer_seconds))
    if decision is Decision.AGAIN and group.campaign_id is not None:
        reopen(conn, group.campaign_id, by=by)
    columns: dict[str, Any] = {
        "state": _TARGET[decision],
        "last_reply": case((outbox.c.address.is_not(None), told)),  # not of an erased one
    }
    if decision is Decision.AGAIN:
        columns |= {
            "resends": outbox.c.resends + 1, "not_before": DatabaseTime(), "finished_at": None,
            "list_sequence": None,  # the attempt keeps what it saw; the next one looks again
        }  # fmt: skip
    elif decision is Decision.DROP:
        columns["finished_at"] = DatabaseTime()
    chosen = locked_in_order(conn, outbox, *conditions)
    return conn.execute(update(outbox).where(chosen).values(columns)).rowcount
