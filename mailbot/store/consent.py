"""What a consent event does to the suppression list; the only way onto it, and off it.

Event, evidence and suppression stand in the caller's one transaction. Locks are taken in one order
everywhere: outbox rows by id, a review item, the ledger's head, suppressions. Under the head's lock
one change of the list follows another, so that an opt-in cannot end an opt-out that it did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, delete, func, select, update

from mailbot.core.consent import (
    ADDS,
    ENDED_BY_OPT_IN,
    ENDS,
    BatchEvent,
    ConsentEvent,
    Kind,
    Reason,
    Source,
    batch_digest,
    is_opt_in_too_late,
)
from mailbot.core.person import Person
from mailbot.store import ledger
from mailbot.store import suppressions as list_of_persons
from mailbot.store.columns import insert_unless_there
from mailbot.store.loading import ListRow, add_or_renew
from mailbot.store.persons import is_named, is_person
from mailbot.store.tables import ReviewState, consent_events, reviews, suppressions


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `record` did. `is_new` is False for a replay, which changed nothing.

    `added` counts the entries of the list that were not there before.
    """

    sequence: int
    is_new: bool
    added: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One person of a batch; `address` is readable and erasable, None where it is not kept."""

    person: Person
    address: str | None


def record(conn: Connection, event: ConsentEvent) -> Recorded:
    """Append `event` and bring the suppression list in line with it.

    An event whose key is already there changes nothing. Between opt-out and opt-in the one that
    was received later decides, in whatever order they arrive here.
    """
    known = ledger.sequence_of(conn, event.key)
    if known is not None:
        return Recorded(known, is_new=False)
    head = ledger.locked_head(conn)
    twin = ledger.sequence_of(conn, event.key)  # PostgreSQL: committed while we waited for the head
    if twin is not None:
        return Recorded(twin, is_new=False)
    event = _as_may_be_kept(conn, event)
    sequence = ledger.append(conn, head, event).sequence
    return Recorded(sequence, is_new=True, added=_change_list(conn, event, sequence))


# What others tell of a person. What persons say themselves, after they were erased, is a new fact.
_TOLD_BY_OTHERS = frozenset({
    Source.DELIVERY_REPORT, Source.FEEDBACK_REPORT, Source.RELAY, Source.IMPORT, Source.CLOCK,
    Source.JOURNAL,
})  # fmt: skip


def _as_may_be_kept(conn: Connection, event: ConsentEvent) -> ConsentEvent:
    """Without what is readable, where others tell it of somebody who was erased."""
    if event.source not in _TOLD_BY_OTHERS:
        return event
    erased = select(suppressions.c.reason).where(
        suppressions.c.reason == Reason.ERASED, is_person(suppressions, event.person)
    )
    if conn.execute(erased.limit(1)).first() is None:
        return event
    return replace(event, address=None, evidence={})


def record_many(conn: Connection, event: BatchEvent, entries: Sequence[Entry]) -> Recorded:
    """Append one event about many persons and put them all on the list, whoever opted in before.

    An event whose key is already there changes nothing. It only ever adds: an entry that is there
    for the same reason is renewed, none is ended. The address of somebody who was erased is not
    stored. A person stands in `entries` once; the fastest order is by person hash.
    Raises ValueError where `event` does not count these persons, or its kind adds nothing.
    """
    rows = [(one.person.person_hash, one.person.untagged_hash, one.address) for one in entries]
    return record_rows(conn, event, rows)


def record_rows(conn: Connection, event: BatchEvent, rows: Sequence[ListRow]) -> Recorded:
    """What `record_many` does, for many thousands: each person as hash, untagged hash, address."""
    if (event.count, event.digest) != (len(rows), batch_digest(row[0] for row in rows)):
        raise ValueError("the event counts other persons than these")
    reason = ADDS.get(event.kind)
    if reason is None:
        raise ValueError(f"{event.kind} puts nobody on the list")
    known = ledger.sequence_of(conn, event.key)
    if known is not None:
        return Recorded(known, is_new=False)
    head = ledger.locked_head(conn)
    twin = ledger.sequence_of(conn, event.key)
    if twin is not None:
        return Recorded(twin, is_new=False)
    sequence = ledger.append(conn, head, event).sequence
    added = add_or_renew(
        conn, _without_the_erased(conn, rows), reason=reason, since_at=event.received_at,
        sequence=sequence,
    )  # fmt: skip
    return Recorded(sequence, is_new=True, added=added)


def note(conn: Connection, event: BatchEvent) -> int:
    """Append an event that changes nothing on the list (an export, a policy); returns its number.

    An event whose key is already there is not appended again.
    """
    known = ledger.sequence_of(conn, event.key)
    if known is not None:
        return known
    head = ledger.locked_head(conn)
    twin = ledger.sequence_of(conn, event.key)
    return twin if twin is not None else ledger.append(conn, head, event).sequence


def _without_the_erased(conn: Connection, rows: Sequence[ListRow]) -> Sequence[ListRow]:
    """Whoever was erased stays a hash, in whatever file the address comes back.

    Before the rows are written: of one that is emptied later, PostgreSQL keeps the old version in
    its files, and SQLite in its log.
    """
    erased = list_of_persons.erased_among(conn, [Person(row[0], row[1]) for row in rows])
    if not erased:
        return rows
    return [(row[0], row[1], None) if Person(row[0], row[1]) in erased else row for row in rows]


# Made once: in a storm of opt-outs, building a statement takes longer than running it.
_ENDED = select(suppressions).where(
    is_named(suppressions, bindparam("exact"), bindparam("untagged")),
    suppressions.c.reason.in_(bindparam("reasons", expanding=True)),
)
_OPT_INS = select(consent_events.c.source, consent_events.c.received_at).where(
    consent_events.c.kind == Kind.OPT_IN,
    is_named(consent_events, bindparam("exact"), bindparam("untagged")),
)


def _named(person: Person) -> dict[str, object]:
    return {"exact": person.person_hash, "untagged": person.untagged_hash}


def _change_list(conn: Connection, event: ConsentEvent, sequence: int) -> int:
    """Bring the list in line with `event`; returns how many entries are new."""
    reason = ADDS.get(event.kind)
    if reason is not None and _is_overtaken(conn, event, reason):
        return 0  # it ends nothing either: a hold from after the opt-in still waits for a person
    ended = ENDS.get(event.kind, frozenset())
    if ended and not (event.kind is Kind.RELEASED and _is_in_review(conn, event.person)):
        _end(conn, event, ended)
    if reason is None:
        return 0
    added = insert_unless_there(conn, suppressions, {
        "person_hash": event.person.person_hash,
        "untagged_hash": event.person.untagged_hash,
        "reason": reason,
        "since_at": event.received_at,
        "sequence": sequence,
        "address": event.address,
    })  # fmt: skip
    # A later event for the same reason renews it, so that an opt-in in between cannot end it.
    if not added:
        conn.execute(
            update(suppressions)
            .where(
                suppressions.c.person_hash == event.person.person_hash,
                suppressions.c.reason == reason,
                suppressions.c.since_at < event.received_at,
            )
            .values(
                since_at=event.received_at,
                sequence=sequence,
                address=func.coalesce(event.address, suppressions.c.address),
            )
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
    return added


def _end(conn: Connection, event: ConsentEvent, ended: frozenset[Reason]) -> None:
    rows = conn.execute(_ENDED, {**_named(event.person), "reasons": sorted(ended)}).all()
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
    opt_ins = conn.execute(_OPT_INS, _named(event.person))
    return any(
        not is_opt_in_too_late(Kind.OPT_IN, Source(row.source), event.received_at, row.received_at)
        for row in opt_ins
    )
