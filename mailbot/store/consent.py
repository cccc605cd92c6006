"""What a consent event does to the suppression list; the only way onto it, and off it.

Event, evidence and suppression stand in the caller's one transaction. Locks are taken in one order
everywhere: outbox rows by id, a review item, the ledger's head, suppressions. Under the head's lock
one change of the list follows another, so that an opt-in cannot end an opt-out that it did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from mailbot.core.consent import ADDS, BatchEvent, ConsentEvent, Reason, Source, batch_digest
from mailbot.core.person import Person
from mailbot.store import ledger, list_changes, loading
from mailbot.store import suppressions as list_of_persons
from mailbot.store.loading import ListRow
from mailbot.store.persons import is_person
from mailbot.store.tables import suppressions


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
    tip = ledger.locked_tip(conn)
    twin = ledger.sequence_of(conn, event.key)  # PostgreSQL: committed while we waited for the head
    if twin is not None:
        return Recorded(twin, is_new=False)
    event = _as_may_be_kept(conn, event)
    changes = list_changes.planned(conn, event, tip.head.sequence + 1)
    listed = list_changes.summed(tip.listed, changes)
    sequence = ledger.append(conn, tip, event, listed).sequence
    return Recorded(sequence, is_new=True, added=list_changes.carry_out(conn, changes))


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
    tip = ledger.locked_tip(conn)
    twin = ledger.sequence_of(conn, event.key)
    if twin is not None:
        return Recorded(twin, is_new=False)
    rows = _without_the_erased(conn, rows)
    batch = loading.Batch(rows, reason, event.received_at, tip.head.sequence + 1)
    listed = loading.summed(tip.listed, batch, loading.there_already(conn, batch))
    sequence = ledger.append(conn, tip, event, listed).sequence
    added = loading.add_or_renew(conn, batch)
    return Recorded(sequence, is_new=True, added=added)


def note(conn: Connection, event: BatchEvent) -> int:
    """Append an event that changes nothing on the list (an export, a policy); returns its number.

    An event whose key is already there is not appended again.
    """
    known = ledger.sequence_of(conn, event.key)
    if known is not None:
        return known
    tip = ledger.locked_tip(conn)
    twin = ledger.sequence_of(conn, event.key)
    return twin if twin is not None else ledger.append(conn, tip, event, tip.listed).sequence


def _without_the_erased(conn: Connection, rows: Sequence[ListRow]) -> Sequence[ListRow]:
    """Whoever was erased stays a hash, in whatever file the address comes back.

    Before the rows are written: of one that is emptied later, PostgreSQL keeps the old version in
    its files, and SQLite in its log.
    """
    erased = list_of_persons.erased_among(conn, (Person(row[0], row[1]) for row in rows))
    if not erased:
        return rows
    return [(row[0], row[1], None) if Person(row[0], row[1]) in erased else row for row in rows]
