"""The whole list given out, or what changed of it since a sequence number; memory stays flat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from mailbot.core.consent import ADDS, ENDS, Kind, Reason
from mailbot.core.person import Person
from mailbot.store import ledger
from mailbot.store import suppressions as list_of_persons
from mailbot.store.tables import consent_events, consent_evidence, suppressions

_AT_ONCE = 1_000
_CHANGES_LIST = sorted({*ADDS, *ENDS})


@dataclass(frozen=True, slots=True)
class Entry:
    """One reason of one person; `address` is None once erased, or where only a token named it."""

    address: str | None
    person_hash: str
    reason: Reason
    since_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is. `digest` is `core.consent.batch_digest` over the persons' hashes."""

    entries: int
    persons: int
    without_address: int  # of the entries
    digest: str


def extent(conn: Connection, reason: Reason | None, *, with_hashes: bool) -> Extent:
    """What `entries` gives; the digest is over those of whom a line is written."""
    count, bare, persons, last, digest = 0, 0, 0, "", hashlib.sha256()
    columns = (suppressions.c.person_hash, suppressions.c.address.is_(None).label("is_bare"))
    with conn.execute(_chosen(reason, *columns)) as rows:
        for row in rows:
            count += 1
            bare += row.is_bare
            if row.person_hash != last and (with_hashes or not row.is_bare):
                digest.update(("\n" if persons else "").encode() + row.person_hash.encode())
                last = row.person_hash
                persons += 1
    return Extent(count, persons, bare, digest.hexdigest())


def entries(conn: Connection, reason: Reason | None = None) -> Iterator[Entry]:
    """Every entry by person hash, of one reason if given."""
    columns = (
        suppressions.c.address, suppressions.c.person_hash, suppressions.c.reason,
        suppressions.c.since_at, suppressions.c.sequence,
    )  # fmt: skip
    with conn.execute(_chosen(reason, *columns)) as rows:
        for row in rows:
            yield Entry(
                row.address, row.person_hash, Reason(row.reason), row.since_at, row.sequence
            )


def _chosen(reason: Reason | None, *columns: ColumnElement[Any]) -> Select[Any]:
    chosen = select(*columns).order_by(suppressions.c.person_hash, suppressions.c.reason)
    if reason is not None:
        chosen = chosen.where(suppressions.c.reason == reason)
    # On the statement: on the connection the option would stay, for whatever comes after.
    return chosen.execution_options(yield_per=_AT_ONCE)


def untagged(conn: Connection) -> Iterator[tuple[str, str]]:
    """The untagged hash and the address ("" where there is none) of every entry, by person hash."""
    chosen = _chosen(None, suppressions.c.untagged_hash, suppressions.c.address)
    with conn.execute(chosen) as rows:
        for row in rows:
            yield row.untagged_hash, row.address or ""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event changed for one person, and how the person stands now."""

    sequence: int
    kind: Kind
    address: str | None
    person: Person
    reasons: frozenset[Reason]
    at: datetime  # when the wish was received


@dataclass(frozen=True, slots=True)
class Changes:
    """`next_since` is what to ask from the next time; `is_all` where nothing is left."""

    changes: tuple[Change, ...]
    next_since: int
    is_all: bool


def changes(conn: Connection, since: int, limit: int) -> Changes:
    """What changed after the event `since`, in the order of the ledger.

    At most `limit` changes, but never a part of an event: one about many persons is given whole.
    Of these it tells whom no later event has renewed or taken off: that event tells the rest.
    """
    found: list[Change] = []
    last = ledger.head_sequence(conn)
    chosen = (
        select(consent_events, consent_evidence.c.address)
        .select_from(consent_events.outerjoin(
            consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
        ))
        .where(consent_events.c.sequence > since, consent_events.c.kind.in_(_CHANGES_LIST))
        .order_by(consent_events.c.sequence)
        .limit(limit + 1)
    )  # fmt: skip
    events = conn.execute(chosen).all()
    reached = since
    for row in events:
        size = conn.execute(
            select(func.count()).where(suppressions.c.sequence == row.sequence)
        ).scalar_one() if row.batch_count is not None else 1  # fmt: skip
        if found and len(found) + size > limit:
            return Changes(tuple(found), reached, is_all=False)
        found += _of_many(conn, row) if row.batch_count is not None else [_of_one(conn, row)]
        reached = row.sequence
    if len(events) > limit:  # some told nothing (a later import renewed all of theirs): go on there
        return Changes(tuple(found), reached, is_all=False)
    return Changes(tuple(found), last, is_all=True)


def _of_one(conn: Connection, row: Any) -> Change:
    person = Person(row.person_hash, row.untagged_hash)
    reasons = list_of_persons.reasons(conn, person)
    address = None if Reason.ERASED in reasons else row.address
    return Change(row.sequence, Kind(row.kind), address, person, reasons, row.received_at)


def _of_many(conn: Connection, event: Any) -> list[Change]:
    chosen = (
        select(suppressions.c.person_hash, suppressions.c.untagged_hash, suppressions.c.address)
        .where(suppressions.c.sequence == event.sequence)
        .order_by(suppressions.c.person_hash)
    )
    persons = [(Person(row.person_hash, row.untagged_hash), row.address)
               for row in conn.execute(chosen)]  # fmt: skip
    return [
        Change(event.sequence, Kind(event.kind), address, person,
               list_of_persons.reasons(conn, person), event.received_at)
        for person, address in persons
    ]  # fmt: skip
