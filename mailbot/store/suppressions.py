"""The suppression list: who is on it, and why. Only store.consent writes it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from mailbot.core.consent import Reason
from mailbot.core.person import Person
from mailbot.store.persons import is_named, is_person
from mailbot.store.tables import IS_ERASED, consent_events, suppressions


@dataclass(frozen=True, slots=True)
class Suppression:
    """One reason of one person; `address` is None once erased."""

    address: str | None
    person_hash: str
    reason: Reason
    since_at: datetime
    source: str
    rule: str


# Made once: building a statement takes longer than running this one.
_REASONS = select(suppressions.c.reason).where(
    is_named(suppressions, bindparam("exact"), bindparam("untagged"))
)


def reasons(conn: Connection, person: Person) -> frozenset[Reason]:
    """Why this person is on the list, by the exact or the untagged form; empty if not on it."""
    named = {"exact": person.person_hash, "untagged": person.untagged_hash}
    return frozenset(Reason(reason) for reason in conn.execute(_REASONS, named).scalars())


def erased_among(conn: Connection, persons: Collection[Person]) -> frozenset[Person]:
    """Who of these was erased: of them nothing readable may be stored again."""
    exact = {person.person_hash for person in persons} | {one.untagged_hash for one in persons}
    # In words, not as a parameter: SQLite would not see that the index of the erased is meant.
    found = select(suppressions.c.person_hash, suppressions.c.untagged_hash).where(IS_ERASED)
    if conn.execute(found.limit(1)).first() is None:
        return frozenset()
    rows = conn.execute(
        found.where(
            or_(
                suppressions.c.person_hash.in_(exact),
                and_(
                    suppressions.c.untagged_hash != suppressions.c.person_hash,
                    suppressions.c.untagged_hash.in_(exact),
                ),
            )
        )
    ).all()
    known = [Person(row.person_hash, row.untagged_hash) for row in rows]
    hashes = {one.person_hash for one in known}
    untagged = {one.untagged_hash for one in known}
    return frozenset(
        person
        for person in persons
        if person.person_hash in hashes or person.untagged_hash in untagged
    )


def of_person(conn: Connection, person: Person) -> list[Suppression]:
    """Each reason of one person with its evidence, oldest first."""
    return _listed(conn, is_person(suppressions, person), limit=None)


def newest(conn: Connection, limit: int, reason: Reason | None = None) -> list[Suppression]:
    """The list, newest first, at most `limit` entries, of one reason if given."""
    condition = None if reason is None else suppressions.c.reason == reason
    return _listed(conn, condition, limit=limit)


def count_by_reason(conn: Connection) -> dict[Reason, int]:
    """How many entries each reason has."""
    rows = conn.execute(select(suppressions.c.reason, func.count()).group_by(suppressions.c.reason))
    return {Reason(reason): count for reason, count in rows}


def _listed(conn: Connection, condition: object, limit: int | None) -> list[Suppression]:
    joined = suppressions.join(consent_events, consent_events.c.sequence == suppressions.c.sequence)
    statement = select(
        suppressions.c.address,
        suppressions.c.person_hash,
        suppressions.c.reason,
        suppressions.c.since_at,
        consent_events.c.source,
        consent_events.c.rule,
    ).select_from(joined)
    if condition is not None:
        statement = statement.where(condition)  # type: ignore[arg-type]  # a SQL expression
    if limit is None:
        statement = statement.order_by(suppressions.c.sequence)
    else:
        statement = statement.order_by(suppressions.c.sequence.desc()).limit(limit)
    return [
        Suppression(row.address, row.person_hash, Reason(row.reason), row.since_at,
                    row.source, row.rule)
        for row in conn.execute(statement)
    ]  # fmt: skip
