"""What one event changes on the suppression list: planned under the head's lock, then carried out.

It is planned first, because the event itself names the sum of the list as it leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mailbot.core.consent import (
    ADDS,
    ENDED_BY_OPT_IN,
    ENDS,
    ConsentEvent,
    Kind,
    Reason,
    Source,
    is_opt_in_too_late,
)
from mailbot.core.list_sum import ListSum, SummedEntry
from mailbot.core.person import Person
from mailbot.store.persons import is_named, is_person
from mailbot.store.tables import ReviewState, consent_events, reviews, suppressions


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One row of the list."""

    person_hash: str
    reason: str
    untagged_hash: str
    since_at: datetime
    sequence: int
    address: str | None

    @property
    def summed(self) -> SummedEntry:
        """As `core.list_sum` takes it."""
        return self.person_hash, self.reason, self.untagged_hash, self.sequence


@dataclass(frozen=True, slots=True)
class Change:
    """An entry before and after: None before where it is new, None after where it ends."""

    before: ListEntry | None
    after: ListEntry | None


# Made once: in a storm of opt-outs, building a statement takes longer than running it.
_THEIRS = select(
    *(suppressions.c[name] for name in ListEntry.__slots__)
).where(is_named(suppressions, bindparam("exact"), bindparam("untagged")))  # fmt: skip
_OPT_INS = select(consent_events.c.source, consent_events.c.received_at).where(
    consent_events.c.kind == Kind.OPT_IN,
    is_named(consent_events, bindparam("exact"), bindparam("untagged")),
)
_IS_IT = (
    suppressions.c.person_hash == bindparam("whose"),
    suppressions.c.reason == bindparam("which"),
)
_ADD = insert(suppressions)
_CHANGE = update(suppressions).where(*_IS_IT)
_END = delete(suppressions).where(*_IS_IT)
_CHANGED = ("untagged_hash", "since_at", "sequence", "address")


def planned(conn: Connection, event: ConsentEvent, sequence: int) -> list[Change]:
    """What `event`, which is to be event `sequence`, makes of the list. The head is locked."""
    reason = ADDS.get(event.kind)
    if reason is not None and _is_overtaken(conn, event, reason):
        return []  # it ends nothing either: a hold from after the opt-in still waits for a person
    before = {
        (row.person_hash, row.reason): ListEntry(*row)
        for row in conn.execute(_THEIRS, _named(event.person))
    }
    after = dict(before)
    ended = ENDS.get(event.kind, frozenset())
    if ended and not (event.kind is Kind.RELEASED and _is_in_review(conn, event.person)):
        _end(after, event, ended)
    if reason is not None:
        _add_or_renew(after, event, reason, sequence)
        _tell_mailbox(after, event.person)
    return [
        Change(before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def carry_out(conn: Connection, changes: Iterable[Change]) -> int:
    """Write the changes down, once their event is; returns how many entries are new."""
    added = 0
    for change in changes:
        before, after = change.before, change.after
        if before is not None and after is None:
            conn.execute(_END, {"whose": before.person_hash, "which": before.reason})
        elif before is None and after is not None:
            added += 1
            conn.execute(_ADD, {name: getattr(after, name) for name in ListEntry.__slots__})
        elif after is not None:
            conn.execute(_CHANGE, {
                "whose": after.person_hash, "which": after.reason,
                **{name: getattr(after, name) for name in _CHANGED},
            })  # fmt: skip
    return added


def summed(before: ListSum, changes: Iterable[Change]) -> ListSum:
    """The sum of the list after `changes`."""
    listed = list(changes)
    return before.changed(
        gone=[one.before.summed for one in listed if one.before is not None],
        come=[one.after.summed for one in listed if one.after is not None],
    )


_Entries = dict[tuple[str, str], ListEntry]  # by person hash and reason


def _end(entries: _Entries, event: ConsentEvent, ended: frozenset[Reason]) -> None:
    for key, entry in list(entries.items()):
        if entry.reason in ended and not is_opt_in_too_late(
            event.kind, event.source, entry.since_at, event.received_at
        ):
            del entries[key]


def _add_or_renew(entries: _Entries, event: ConsentEvent, reason: Reason, sequence: int) -> None:
    person = event.person
    there = entries.get((person.person_hash, reason))
    if there is None:
        entries[person.person_hash, reason] = ListEntry(
            person.person_hash, reason, person.untagged_hash, event.received_at, sequence,
            event.address,
        )  # fmt: skip
    elif there.since_at < event.received_at:
        # A later event for the same reason renews it, so that an opt-in in between cannot end it.
        entries[person.person_hash, reason] = replace(
            there, since_at=event.received_at, sequence=sequence,
            address=there.address if event.address is None else event.address,
        )  # fmt: skip


def _tell_mailbox(entries: _Entries, person: Person) -> None:
    """A token named the exact hash alone; now the mailbox behind the tag is known as well."""
    if person.untagged_hash == person.person_hash:
        return
    for key, entry in list(entries.items()):
        if entry.person_hash == person.person_hash == entry.untagged_hash:
            entries[key] = replace(entry, untagged_hash=person.untagged_hash)


def _named(person: Person) -> dict[str, object]:
    return {"exact": person.person_hash, "untagged": person.untagged_hash}


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
