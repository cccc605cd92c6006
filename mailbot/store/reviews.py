"""Mail that a person has to look at. Whoever may have asked is held meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mailbot.core.deadlines import review_due_at
from mailbot.core.person import Person
from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.engine import now
from mailbot.store.tables import ReviewState, reviews


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mail stands: it is fetched again when someone looks, and never stored."""

    account: str
    folder: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One item; `person` is None for quarantined mail that names nobody."""

    id: int
    key: str
    person: Person | None
    place: Place
    rule: str
    because: str
    state: ReviewState
    opened_at: datetime
    due_at: datetime


def open_item(
    conn: Connection, *, key: str, person: Person | None, place: Place, rule: str, because: str
) -> bool:
    """Open an item; False where it was opened before. The caller holds the person with it."""
    opened_at = now(conn)
    row = {
        "key": key,
        "person_hash": person.person_hash if person else None,
        "untagged_hash": person.untagged_hash if person else None,
        "account": place.account,
        "folder": place.folder,
        "uidvalidity": place.uidvalidity,
        "uid": place.uid,
        "rule": rule,
        "because": because,
        "state": ReviewState.OPEN,
        "opened_at": opened_at,
        "due_at": review_due_at(opened_at),
    }
    return insert_unless_there(conn, reviews, row) == 1


def overdue(conn: Connection) -> list[ReviewItem]:
    """Open items past their due time that hold a person, oldest first."""
    rows = conn.execute(
        select(reviews)
        .where(
            reviews.c.state == ReviewState.OPEN,
            reviews.c.due_at <= DatabaseTime(),
            reviews.c.person_hash.is_not(None),
        )
        .order_by(reviews.c.due_at)
        .limit(500)
    )
    return [_item(row) for row in rows]


def waiting(conn: Connection) -> list[ReviewItem]:
    """Every open item, the one due first on top."""
    rows = conn.execute(
        select(reviews).where(reviews.c.state == ReviewState.OPEN).order_by(reviews.c.due_at)
    )
    return [_item(row) for row in rows]


def decide(conn: Connection, item_id: int, state: ReviewState, decided_by: str) -> bool:
    """Close an open item; False where somebody was faster."""
    closed = conn.execute(
        update(reviews)
        .where(reviews.c.id == item_id, reviews.c.state == ReviewState.OPEN)
        .values(state=state, decided_at=DatabaseTime(), decided_by=decided_by)
    )
    return closed.rowcount == 1


def _item(row: Row[Any]) -> ReviewItem:
    person = Person(row.person_hash, row.untagged_hash) if row.person_hash else None
    return ReviewItem(
        row.id, row.key, person,
        Place(row.account, row.folder, row.uidvalidity, row.uid),
        row.rule, row.because, ReviewState(row.state), row.opened_at, row.due_at,
    )  # fmt: skip
