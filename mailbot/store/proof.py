"""Whether ledger and list are whole: the chain, its evidence, and what the list makes of both.

Everything is a query of its own with a cursor: memory stays flat however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select

from mailbot.core.consent import ADDS, ENDS, Kind, Reason, Source, is_opt_in_too_late
from mailbot.core.person import Person
from mailbot.store import ledger, list_proof, record_proof
from mailbot.store.ledger import Head, LedgerFault, Walked
from mailbot.store.persons import is_named, is_person
from mailbot.store.tables import consent_events, consent_evidence, suppressions

_PAGE = 1000  # rows fetched at once


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at, and the first thing that is wrong; `fault` is None where nothing is."""

    walked: Walked
    entries: int  # of the list; 0 where the chain is broken: the list was not looked at then
    fault: LedgerFault | None


def prove(
    conn: Connection,
    witnesses: Iterable[Head] = (),
    progress: Callable[[int], None] | None = None,
) -> Proof:
    """The chain, then the evidence that is gone, then the list, then what stands beside both.

    The first fault ends it.
    """
    walked = ledger.walk(conn, witnesses, progress)
    if walked.fault is not None:
        return Proof(walked, 0, walked.fault)
    fault = _gone_evidence(conn) if walked.without_evidence else None
    fault = fault or _groundless_entry(conn) or _crowded_batch(conn) or _missing_entry(conn)
    fault = fault or list_proof.changed_list(conn, walked)
    fault = fault or record_proof.changed_policy(conn) or record_proof.changed_import(conn)
    entries = conn.execute(select(func.count()).select_from(suppressions)).scalar_one()
    return Proof(walked, entries, fault)


def _gone_evidence(conn: Connection) -> LedgerFault | None:
    """Evidence may be gone only where its person was erased later."""
    erasure = consent_events.alias("erasure")
    is_kept = exists().where(consent_evidence.c.sequence == consent_events.c.sequence)
    is_erased = exists().where(
        erasure.c.kind == Kind.ERASED,
        erasure.c.sequence > consent_events.c.sequence,
        consent_events.c.kind != Kind.ERASED,  # who erased, and why, stays
        consent_events.c.person_hash != "",  # an event about many names nobody
        is_named(erasure, consent_events.c.person_hash, consent_events.c.untagged_hash),
    )
    number = conn.execute(
        select(func.min(consent_events.c.sequence)).where(~is_kept, ~is_erased)
    ).scalar_one()
    if number is None:
        return None
    what = f"the evidence of event {number} is gone, and its person was not erased later"
    return LedgerFault(number, what)


def _groundless_entry(conn: Connection) -> LedgerFault | None:
    """Each entry of the list points to the event that put it there, and that event says so."""
    says_so = and_(
        consent_events.c.kind == suppressions.c.reason,  # a kind is called like what it adds
        consent_events.c.received_at == suppressions.c.since_at,
        or_(
            consent_events.c.person_hash == suppressions.c.person_hash,
            consent_events.c.batch_digest.is_not(None),
        ),
    )
    row = conn.execute(
        select(suppressions.c.sequence, suppressions.c.reason, suppressions.c.person_hash)
        .join_from(
            suppressions, consent_events, consent_events.c.sequence == suppressions.c.sequence
        )
        .where(~says_so)
        .limit(1)
    ).first()
    if row is None:
        return None
    return LedgerFault(
        row.sequence,
        f"the list has {row.person_hash} for {row.reason} by event {row.sequence}, which says "
        "something else",
    )


def _crowded_batch(conn: Connection) -> LedgerFault | None:
    """No more entries point to an event about many than it counted."""
    row = conn.execute(
        select(consent_events.c.sequence, consent_events.c.batch_count, func.count().label("found"))
        .join_from(
            consent_events, suppressions, consent_events.c.sequence == suppressions.c.sequence
        )
        .where(consent_events.c.batch_digest.is_not(None))
        .group_by(consent_events.c.sequence, consent_events.c.batch_count)
        .having(func.count() > consent_events.c.batch_count)
        .limit(1)
    ).first()
    if row is None:
        return None
    what = f"event {row.sequence} put {row.batch_count} on the list, and {row.found} point to it"
    return LedgerFault(row.sequence, what)


def _missing_entry(conn: Connection) -> LedgerFault | None:
    """Whom an event put on the list stands there still, unless a later event took them off."""
    for row in _unlisted(conn):
        if not any(_ends(row, other) for other in _about_the_same(conn, row)):
            return LedgerFault(
                row.sequence,
                f"event {row.sequence} put {row.person_hash} on the list for {row.kind}, nothing "
                "took them off, and they are not there",
            )
    return None


def _unlisted(conn: Connection) -> Iterator[Row[Any]]:
    """Events that add a reason whose person does not stand on the list for it."""
    listed = exists().where(
        suppressions.c.person_hash == consent_events.c.person_hash,
        suppressions.c.reason == consent_events.c.kind,
    )
    found = select(consent_events).where(
        consent_events.c.kind.in_(sorted(ADDS)), consent_events.c.batch_digest.is_(None), ~listed
    )
    # On the statement: on the connection the option would stay, for whatever comes after.
    with conn.execute(found.execution_options(yield_per=_PAGE)) as rows:
        yield from rows


def _about_the_same(conn: Connection, row: Row[Any]) -> list[Row[Any]]:
    """The events about the person of `row`; a token names the exact hash alone, others both."""
    untagged = conn.execute(
        select(consent_events.c.untagged_hash)
        .where(consent_events.c.person_hash == row.person_hash)
        .distinct()
    ).scalars()
    names = [is_person(consent_events, Person(row.person_hash, one)) for one in untagged]
    return list(conn.execute(select(consent_events).where(or_(*names))))


def _ends(row: Row[Any], other: Row[Any]) -> bool:
    """Whether `other` took off the list what `row` put there, or kept it from getting there."""
    kind = Kind(other.kind)
    if Reason(row.kind) not in ENDS.get(kind, frozenset()):
        return False
    if kind is Kind.OPT_IN:  # between these the one that was received later decides
        return not is_opt_in_too_late(
            kind, Source(other.source), row.received_at, other.received_at
        )
    return bool(other.sequence > row.sequence)
