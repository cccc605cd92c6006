"""Mail that a person has to look at. Whoever may have asked is held meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update

from mailbot.core.consent import Kind, Reason
from mailbot.core.deadlines import review_due_at
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.person import Person
from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.engine import now
from mailbot.store.persons import is_person
from mailbot.store.tables import (
    ReviewState,
    consent_events,
    consent_evidence,
    outbox,
    reviews,
)

LONGEST_NAME = 100  # characters of `decided_by`; the column's width


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mail stands: it is fetched again when someone looks, and never stored."""

    account: str
    folder: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One item; `person` is None for quarantined mail that names nobody.

    `address` is the readable one behind `person`, None where it is not known or was erased.
    """

    id: int
    key: str
    person: Person | None
    place: Place
    rule: str
    because: str
    state: ReviewState
    opened_at: datetime
    due_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    address: str | None = None
    received_at: datetime | None = None  # None: not known, opened_at stands for it

    @property
    def counts_from(self) -> datetime:
        """When the legal clock of this mail began."""
        return self.received_at or self.opened_at


@dataclass(frozen=True, slots=True)
class Asked:
    """What was kept of the mail when its person was held; empty once erased."""

    received_at: datetime
    evidence: dict[str, str]


def open_item(
    conn: Connection,
    *,
    key: str,
    person: Person | None,
    place: Place,
    rule: str,
    because: str,
    received_at: datetime | None = None,
) -> bool:
    """Open an item; False where it was opened before. The caller holds the person with it.

    `received_at` is when the mail reached the shop, None where that is not known: then it is now.
    """
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
        "received_at": received_at or opened_at,
        "opened_at": opened_at,
        "due_at": review_due_at(opened_at),
    }
    return insert_unless_there(conn, reviews, row) == 1


def overdue(conn: Connection) -> list[ReviewItem]:
    """Open items past their due time that hold a person, oldest first."""
    return _items(
        conn,
        reviews.c.state == ReviewState.OPEN,
        reviews.c.due_at <= DatabaseTime(),
        reviews.c.person_hash.is_not(None),
        order_by=(reviews.c.due_at, reviews.c.id),
        limit=500,
    )


def waiting(conn: Connection) -> list[ReviewItem]:
    """Every open item, the one due first on top."""
    return _items(
        conn, reviews.c.state == ReviewState.OPEN, order_by=(reviews.c.due_at, reviews.c.id)
    )


def decided(conn: Connection, limit: int) -> list[ReviewItem]:
    """Those that were decided last, at most `limit`, the latest on top."""
    return _items(
        conn, reviews.c.state != ReviewState.OPEN,
        order_by=(reviews.c.decided_at.desc(), reviews.c.id.desc()), limit=limit,
    )  # fmt: skip


def count_decided(conn: Connection) -> int:
    """How many items are decided."""
    count = select(func.count()).where(reviews.c.state != ReviewState.OPEN)
    return conn.execute(count).scalar_one()


def newest_id(conn: Connection) -> int:
    """The number of the item that was opened last; 0 where there never was one."""
    return conn.execute(select(func.max(reviews.c.id))).scalar() or 0


def get(conn: Connection, item_id: int) -> ReviewItem | None:
    """The item of this number, open or decided."""
    found = _items(conn, reviews.c.id == item_id, order_by=(reviews.c.id,))
    return found[0] if found else None


def waiting_for(conn: Connection, person: Person) -> list[ReviewItem]:
    """The open items that hold this person, the one due first on top."""
    return _items(
        conn, reviews.c.state == ReviewState.OPEN, is_person(reviews, person),
        order_by=(reviews.c.due_at, reviews.c.id),
    )  # fmt: skip


def asked(conn: Connection, item: ReviewItem) -> Asked | None:
    """What the HELD event of this item says of the mail; None where nobody was held for it."""
    if item.person is None:
        return None
    # Of one mail and person: "mail:…:<hash>" is the key of the item, "mail:…:held:<hash>" its own.
    mail, _, person_hash = item.key.rpartition(":")
    key = f"{mail}:{Kind.HELD}:{person_hash}"
    its_own = consent_events.c.key == key
    first_since = consent_events.c.recorded_at >= item.opened_at
    row = conn.execute(
        select(consent_events.c.received_at, consent_evidence.c.evidence)
        .select_from(_WITH_EVIDENCE)
        .where(
            consent_events.c.kind == Kind.HELD,
            consent_events.c.person_hash == item.person.person_hash,
            or_(its_own, first_since),
        )
        .order_by(its_own.desc(), consent_events.c.sequence)
        .limit(1)
    ).first()
    return Asked(row.received_at, row.evidence or {}) if row else None


def decide(conn: Connection, item_id: int, state: ReviewState, decided_by: str) -> bool:
    """Close an open item; False where somebody was faster.

    Comes before the event that follows from it: an item is locked before the ledger's head.
    """
    closed = conn.execute(
        update(reviews)
        .where(reviews.c.id == item_id, reviews.c.state == ReviewState.OPEN)
        .values(state=state, decided_at=DatabaseTime(), decided_by=decided_by[:LONGEST_NAME])
    )
    return closed.rowcount == 1


def count_withheld(conn: Connection, item: ReviewItem) -> int:
    """How many offers were withheld for a hold since this item was opened: they stay so."""
    if item.person is None:
        return 0
    count = select(func.count()).where(
        is_person(outbox, item.person),
        outbox.c.kind == MessageKind.CAMPAIGN,
        outbox.c.state == State.WITHHELD,
        outbox.c.withheld_reason == Reason.HELD,
        outbox.c.finished_at >= item.opened_at,
    )
    return conn.execute(count).scalar_one()


_WITH_EVIDENCE = consent_events.outerjoin(
    consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
)
# By the exact hash alone: the untagged one may be another address of the same mailbox.
_ADDRESS = func.coalesce(
    select(consent_evidence.c.address)
    .select_from(_WITH_EVIDENCE)
    .where(
        consent_events.c.person_hash == reviews.c.person_hash,
        consent_evidence.c.address.is_not(None),
    )
    .order_by(consent_events.c.sequence.desc())
    .limit(1)
    .correlate(reviews)
    .scalar_subquery(),
    # A token names nobody: it is in the outbox that its person has an address.
    select(outbox.c.address)
    .where(outbox.c.person_hash == reviews.c.person_hash, outbox.c.address.is_not(None))
    .order_by(outbox.c.id.desc())
    .limit(1)
    .correlate(reviews)
    .scalar_subquery(),
).label("address")


def _items(
    conn: Connection,
    *conditions: ColumnElement[bool],
    order_by: tuple[ColumnElement[Any], ...],
    limit: int | None = None,
) -> list[ReviewItem]:
    chosen = select(reviews, _ADDRESS).where(*conditions).order_by(*order_by).limit(limit)
    return [_item(row) for row in conn.execute(chosen)]


def _item(row: Row[Any]) -> ReviewItem:
    person = Person(row.person_hash, row.untagged_hash) if row.person_hash else None
    return ReviewItem(
        row.id, row.key, person,
        Place(row.account, row.folder, row.uidvalidity, row.uid),
        row.rule, row.because, ReviewState(row.state), row.opened_at, row.due_at,
        row.decided_at, row.decided_by, row.address, row.received_at,
    )  # fmt: skip
