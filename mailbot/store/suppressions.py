"""The suppression list: who is on it, and why. Only store.consent writes it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

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


def erased_among(conn: Connection, several: Iterable[Person]) -> frozenset[Person]:
    """Who of these was erased: of them nothing readable may be stored again."""
    # Said by IS_ERASED, whose index would not be used for a parameter. SQLite takes it only where
    # the key's own index cannot answer alone: else it would read the whole list for each part.
    anybody = select(suppressions.c.person_hash).where(
        IS_ERASED, suppressions.c.untagged_hash != ""
    )
    if conn.execute(anybody.limit(1)).first() is None:
        return frozenset()
    persons = list(several)  # made only where somebody was erased at all
    untagged = {person.untagged_hash for person in persons}
    known = _erased_by_hash(conn, untagged | {person.person_hash for person in persons})
    hashes = {one.person_hash for one in known}
    mailboxes = {one.untagged_hash for one in known}
    return frozenset(
        person
        for person in persons
        if person.person_hash in hashes or person.untagged_hash in mailboxes
    )


def _erased_by_hash(conn: Connection, hashes: Collection[str]) -> list[Person]:
    """Who was erased and has one of these, as the exact or as the untagged hash.

    All hashes are one parameter: a statement of thousands takes longer to build than to run. SQLite
    is told the two small indexes: by itself it would look each hash up in the whole list.
    """
    if conn.dialect.name == "sqlite":
        rows = conn.exec_driver_sql(_ERASED_IN_SQLITE, {"hashes": json.dumps(list(hashes))})
    else:
        rows = conn.exec_driver_sql(_ERASED_IN_POSTGRESQL, {"hashes": list(hashes)})
    return [Person(exact, untagged) for exact, untagged in rows]


_ERASED_IN_SQLITE: Final = """
    SELECT listed.person_hash, listed.untagged_hash FROM json_each(:hashes) AS one
    CROSS JOIN suppressions AS listed INDEXED BY ix_suppressions_erased
    WHERE listed.reason = 'erased' AND listed.person_hash = one.value
    UNION
    SELECT listed.person_hash, listed.untagged_hash FROM json_each(:hashes) AS one
    CROSS JOIN suppressions AS listed INDEXED BY ix_suppressions_untagged_hash
    WHERE listed.untagged_hash <> listed.person_hash AND listed.untagged_hash = one.value
    AND listed.reason = 'erased'
"""
_ERASED_IN_POSTGRESQL: Final = """
    SELECT person_hash, untagged_hash FROM suppressions
    JOIN unnest(%(hashes)s::varchar[]) AS one ON person_hash = one
    WHERE reason = 'erased'
    UNION
    SELECT person_hash, untagged_hash FROM suppressions
    JOIN unnest(%(hashes)s::varchar[]) AS one ON untagged_hash = one
    WHERE untagged_hash <> person_hash AND reason = 'erased'
"""


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
