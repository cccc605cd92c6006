"""The ledger as it is handed to a regulator: which events, how many persons, every column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, select

from mailbot.core.consent import canonical_time
from mailbot.core.person import Person
from mailbot.store import ledger
from mailbot.store.persons import is_person
from mailbot.store.tables import consent_events

# In this order in each line; docs/ledger.md says what each holds.
COLUMNS: Final = (
    "sequence", "kind", "source", "person_hash", "untagged_hash", "key", "received_at",
    "recorded_at", "rule", "policy_version", "evidence_digest", "batch_count", "batch_digest",
    "list_digest", "previous_hash", "hash", "salt", "address", "evidence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events: of one person, received from `since` on and before `until`, up to a number."""

    until_sequence: int
    person: Person | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was chosen; `digest` is `core.consent.batch_digest` over the persons' hashes."""

    events: int
    persons: int
    digest: str


def extent(conn: Connection, chosen: Chosen) -> Extent:
    """How many events and persons, in flat memory."""
    conditions = _conditions(chosen)
    events = conn.execute(select(func.count()).where(*conditions)).scalar_one()
    persons, digest = 0, hashlib.sha256()
    hashes = (
        select(consent_events.c.person_hash)
        .distinct()
        .where(*conditions, consent_events.c.person_hash != "")
        .order_by(consent_events.c.person_hash)
    )
    with conn.execute(hashes.execution_options(yield_per=1000)) as rows:
        for row in rows:
            digest.update(("\n" if persons else "").encode() + row.person_hash.encode())
            persons += 1
    return Extent(events, persons, digest.hexdigest())


def lines(conn: Connection, chosen: Chosen) -> Iterator[dict[str, Any]]:
    """Each event as plain values by the names of COLUMNS; times as the chain covers them."""
    for row in ledger.with_evidence(conn, *_conditions(chosen)):
        yield _line(row)


def _conditions(chosen: Chosen) -> list[ColumnElement[bool]]:
    conditions = [consent_events.c.sequence <= chosen.until_sequence]
    if chosen.person is not None:
        conditions.append(is_person(consent_events, chosen.person))
    if chosen.since is not None:
        conditions.append(consent_events.c.received_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(consent_events.c.received_at < chosen.until)
    return conditions


def _line(row: Row[Any]) -> dict[str, Any]:
    line = {name: getattr(row, name) for name in COLUMNS}
    line["received_at"] = canonical_time(row.received_at)
    line["recorded_at"] = canonical_time(row.recorded_at)
    line["salt"] = None if row.salt is None else bytes(row.salt).hex()
    return line
