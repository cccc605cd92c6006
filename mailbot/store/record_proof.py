"""Whether the tables beside the ledger say what its events say: versions of the policy, imports.

The evidence of an event about many is never erased: it names the row's values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from mailbot.core.consent import Kind, Source
from mailbot.store.ledger import LedgerFault
from mailbot.store.tables import consent_events, consent_evidence, imports, policy_versions


def changed_policy(conn: Connection) -> LedgerFault | None:
    """A version that another event, or none, recorded; or an event whose version is gone."""
    rows = {row.version: row for row in conn.execute(select(policy_versions))}
    named = set()
    for event in _events(conn, consent_events.c.kind == Kind.POLICY):
        version = event.evidence.get("version")
        if version is None:  # recorded without one: it made no row
            continue
        named.add(version)
        row = rows.get(version)
        if row is None:
            what = f"policy version {version}, which event {event.sequence} recorded, is gone"
            return LedgerFault(event.sequence, what)
        said = (event.sequence, event.evidence.get("in_force_at"),
                event.evidence.get("text_sha256"), event.evidence.get("url"))  # fmt: skip
        if said != (row.sequence, row.in_force_at.isoformat(), row.text_digest, row.url):
            what = f"policy version {version} is another than event {event.sequence} recorded"
            return LedgerFault(event.sequence, what)
    for version, row in rows.items():
        if version not in named:
            what = f"policy version {version} stands there, and no event recorded it"
            return LedgerFault(row.sequence, what)
    return None


def changed_import(conn: Connection) -> LedgerFault | None:
    """An import whose row says another file, person or number than its events, or is gone."""
    rows = {str(row.id): row for row in conn.execute(select(imports))}
    persons: Counter[str] = Counter()
    last: dict[str, int] = {}
    for event in _events(conn, consent_events.c.source == Source.IMPORT):
        number = event.evidence.get("import")
        if number is None:
            continue
        row = rows.get(number)
        if row is None:
            what = f"import {number}, of which event {event.sequence} is a part, is gone"
            return LedgerFault(event.sequence, what)
        said = (event.evidence.get("file"), event.evidence.get("by", "")[:100])
        is_its_own = event.key.startswith(f"import:{row.key}:")
        if not is_its_own or said != (row.file_name, row.started_by):
            what = f"import {number} is of another file or person than event {event.sequence} says"
            return LedgerFault(event.sequence, what)
        persons[number] += event.batch_count
        last[number] = event.sequence
    for number, row in rows.items():
        if row.finished_at is not None and row.persons != persons[number]:
            what = f"import {number} counts {row.persons} persons, its events {persons[number]}"
            return LedgerFault(last.get(number, 0), what)
    return None


def _events(conn: Connection, condition: Any) -> Iterator[Any]:
    chosen = (
        select(consent_events.c.sequence, consent_events.c.key, consent_events.c.batch_count,
               consent_evidence.c.evidence)
        .join_from(consent_events, consent_evidence)
        .where(condition)
        .order_by(consent_events.c.sequence)
        .execution_options(yield_per=1000)
    )  # fmt: skip
    with conn.execute(chosen) as rows:
        yield from rows
