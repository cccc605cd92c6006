"""The ledger: consent events appended, hash-chained, never changed; and what they do to the list.

`record` is the only way onto the suppression list. Event, evidence and suppression stand in the
caller's one transaction. Locks are taken in one order everywhere: outbox rows by id, a review item,
the ledger's head, suppressions. Under the head's lock one change of the list follows another, so
that an opt-in cannot end an opt-out that it did not see, and sequence numbers commit in order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from mailbot.core.consent import (
    ADDS,
    ENDED_BY_OPT_IN,
    ENDS,
    GENESIS,
    ChainedEvent,
    ConsentEvent,
    Kind,
    Reason,
    Source,
    evidence_digest,
    is_opt_in_too_late,
    link_hash,
)
from mailbot.core.person import Person
from mailbot.store.columns import insert_unless_there
from mailbot.store.engine import now
from mailbot.store.tables import (
    ReviewState,
    consent_events,
    consent_evidence,
    ledger_head,
    reviews,
    suppressions,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `record` did. `is_new` is False for a replay, which changed nothing."""

    sequence: int
    is_new: bool


def is_person(table: Any, person: Person) -> Any:
    """The one rule by which a row names a person: by the exact or by the untagged hash."""
    return or_(
        table.c.person_hash == person.person_hash, table.c.untagged_hash == person.untagged_hash
    )


def record(conn: Connection, event: ConsentEvent) -> Recorded:
    """Append `event` and bring the suppression list in line with it.

    An event whose key is already there changes nothing. Between opt-out and opt-in the one that
    was received later decides, in whatever order they arrive here.
    """
    known = _sequence_of(conn, event.key)
    if known is not None:
        return Recorded(known, is_new=False)
    head = conn.execute(select(ledger_head).with_for_update()).one()
    twin = _sequence_of(conn, event.key)  # PostgreSQL: committed while we waited for the head
    if twin is not None:
        return Recorded(twin, is_new=False)
    _change_list(conn, event)
    sequence = head.sequence + 1
    salt = secrets.token_bytes(16)
    chained = ChainedEvent(
        kind=event.kind,
        source=event.source,
        person_hash=event.person.person_hash,
        untagged_hash=event.person.untagged_hash,
        key=event.key,
        received_at=event.received_at,
        recorded_at=now(conn),
        rule=event.rule,
        policy_version=event.policy_version,
        evidence_digest=evidence_digest(salt, event.address, event.evidence),
    )
    link = link_hash(head.hash, sequence, chained)
    columns = {name: getattr(chained, name) for name in ChainedEvent.__slots__}
    conn.execute(
        insert(consent_events).values(
            sequence=sequence, previous_hash=head.hash, hash=link, **columns
        )
    )
    conn.execute(
        insert(consent_evidence).values(
            sequence=sequence, salt=salt, address=event.address, evidence=dict(event.evidence)
        )
    )
    conn.execute(update(ledger_head).values(sequence=sequence, hash=link))
    return Recorded(sequence, is_new=True)


def _sequence_of(conn: Connection, key: str) -> int | None:
    return conn.execute(
        select(consent_events.c.sequence).where(consent_events.c.key == key)
    ).scalar_one_or_none()


def _change_list(conn: Connection, event: ConsentEvent) -> None:
    reason = ADDS.get(event.kind)
    if reason is not None and _is_overtaken(conn, event, reason):
        return  # it ends nothing either: a hold from after the opt-in still waits for a person
    ended = ENDS.get(event.kind, frozenset())
    if ended and not (event.kind is Kind.RELEASED and _is_in_review(conn, event.person)):
        _end(conn, event, ended)
    if reason is None:
        return
    insert_unless_there(conn, suppressions, {
        "person_hash": event.person.person_hash,
        "untagged_hash": event.person.untagged_hash,
        "reason": reason,
        "since_at": event.received_at,
        "event_key": event.key,
    })  # fmt: skip
    # A later event for the same reason renews it, so that an opt-in in between cannot end it.
    conn.execute(
        update(suppressions)
        .where(
            suppressions.c.person_hash == event.person.person_hash,
            suppressions.c.reason == reason,
            suppressions.c.since_at < event.received_at,
        )
        .values(since_at=event.received_at, event_key=event.key)
    )
    if event.person.untagged_hash != event.person.person_hash:
        # A token named the exact hash alone; now the mailbox behind the tag is known as well.
        conn.execute(
            update(suppressions)
            .where(
                suppressions.c.person_hash == event.person.person_hash,
                suppressions.c.untagged_hash == suppressions.c.person_hash,
            )
            .values(untagged_hash=event.person.untagged_hash)
        )


def _end(conn: Connection, event: ConsentEvent, ended: frozenset[Reason]) -> None:
    rows = conn.execute(
        select(suppressions).where(
            is_person(suppressions, event.person), suppressions.c.reason.in_(sorted(ended))
        )
    ).all()
    for row in rows:
        if is_opt_in_too_late(event.kind, event.source, row.since_at, event.received_at):
            continue
        conn.execute(
            delete(suppressions).where(
                suppressions.c.person_hash == row.person_hash, suppressions.c.reason == row.reason
            )
        )


def _is_in_review(conn: Connection, person: Person) -> bool:
    """Whether an open item still holds this person; the one that was decided is closed by now.

    Under the head's lock: of two decisions at once the later one sees that the other was taken.
    """
    waiting = select(reviews.c.id).where(
        reviews.c.state == ReviewState.OPEN, is_person(reviews, person)
    )
    return conn.execute(waiting.limit(1)).first() is not None


def _is_overtaken(conn: Connection, event: ConsentEvent, reason: Reason) -> bool:
    """Whether the person opted in again after this event was received."""
    if reason not in ENDED_BY_OPT_IN:
        return False
    opt_ins = conn.execute(
        select(consent_events.c.source, consent_events.c.received_at).where(
            consent_events.c.kind == Kind.OPT_IN, is_person(consent_events, event.person)
        )
    )
    return any(
        not is_opt_in_too_late(Kind.OPT_IN, Source(row.source), event.received_at, row.received_at)
        for row in opt_ins
    )


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """The first place where the chain does not hold."""

    sequence: int
    what: str


def verify(conn: Connection) -> LedgerFault | None:
    """Walk the whole chain; None where every link, every evidence and the head agree."""
    previous, expected = GENESIS, 1
    for row in _with_evidence(conn):
        if row.sequence != expected:
            return LedgerFault(expected, f"event {expected} is missing")
        if row.previous_hash != previous or row.hash != link_hash(
            previous, row.sequence, _chained(row)
        ):
            return LedgerFault(row.sequence, f"event {row.sequence} was changed")
        if row.salt is not None and row.evidence_digest != evidence_digest(
            row.salt, row.address, row.evidence
        ):
            return LedgerFault(row.sequence, f"the evidence of event {row.sequence} was changed")
        previous, expected = row.hash, expected + 1
    head = conn.execute(select(ledger_head)).one()
    if (head.sequence, head.hash) != (expected - 1, previous):
        return LedgerFault(expected, f"the ledger ends at {expected - 1}, its head says otherwise")
    return None


def _with_evidence(conn: Connection) -> Iterator[Row[Any]]:
    joined = consent_events.outerjoin(
        consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
    )
    columns = [*consent_events.c, consent_evidence.c.salt, consent_evidence.c.address,
               consent_evidence.c.evidence]  # fmt: skip
    yield from conn.execution_options(yield_per=1000).execute(
        select(*columns).select_from(joined).order_by(consent_events.c.sequence)
    )


def _chained(row: Row[Any]) -> ChainedEvent:
    return ChainedEvent(**{name: getattr(row, name) for name in ChainedEvent.__slots__})


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One event of one person, with its evidence; `address` is None once erased."""

    sequence: int
    kind: Kind
    source: Source
    received_at: datetime
    recorded_at: datetime
    rule: str
    policy_version: str
    address: str | None
    evidence: dict[str, str]


def story(conn: Connection, person: Person) -> list[StoryEvent]:
    """Every event of a person, in the order of the ledger."""
    joined = consent_events.outerjoin(
        consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
    )
    rows = conn.execute(
        select(consent_events, consent_evidence.c.address, consent_evidence.c.evidence)
        .select_from(joined)
        .where(is_person(consent_events, person))
        .order_by(consent_events.c.sequence)
    )
    return [
        StoryEvent(
            row.sequence, Kind(row.kind), Source(row.source), row.received_at, row.recorded_at,
            row.rule, row.policy_version, row.address, row.evidence or {},
        )
        for row in rows
    ]  # fmt: skip


def head_sequence(conn: Connection) -> int:
    """The ledger's length: the list's sequence number."""
    sequence: int = conn.execute(select(ledger_head.c.sequence)).scalar_one()
    return sequence
