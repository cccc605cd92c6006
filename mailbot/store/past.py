"""What the ledger and the audiences say of one person's past, for `why`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from mailbot.core.consent import Kind, Source
from mailbot.core.person import Person
from mailbot.core.standing import PastEvent
from mailbot.store.persons import is_person
from mailbot.store.tables import (
    audience_members,
    consent_events,
    consent_evidence,
    suppressions,
)


@dataclass(frozen=True, slots=True)
class ImportedBy:
    """The event about many by which a person stands on the list."""

    sequence: int
    kind: Kind
    received_at: datetime
    policy_version: str
    evidence: dict[str, str]
    past: PastEvent  # as if it had been about this person alone


def events_of(conn: Connection, person: Person) -> list[PastEvent]:
    """The events about this person and this person alone, in the order of the ledger."""
    rows = conn.execute(
        select(consent_events)
        .where(is_person(consent_events, person))
        .order_by(consent_events.c.sequence)
    )
    return [
        PastEvent(row.sequence, Kind(row.kind), Source(row.source), row.person_hash,
                  row.received_at)
        for row in rows
    ]  # fmt: skip


def imports_of(conn: Connection, person: Person) -> list[ImportedBy]:
    """The events about many that entries of this person point to, in the order of the ledger."""
    rows = conn.execute(
        select(consent_events, consent_evidence.c.evidence, suppressions.c.person_hash.label("who"))
        .select_from(
            suppressions.join(
                consent_events, consent_events.c.sequence == suppressions.c.sequence
            ).outerjoin(consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence)
        )
        .where(is_person(suppressions, person), consent_events.c.batch_digest.is_not(None))
        .order_by(consent_events.c.sequence)
    )
    return [
        ImportedBy(
            row.sequence, Kind(row.kind), row.received_at, row.policy_version, row.evidence or {},
            PastEvent(row.sequence, Kind(row.kind), Source(row.source), row.who, row.received_at),
        )
        for row in rows
    ]  # fmt: skip


def is_in_audience(conn: Connection, campaign_id: int, person: Person) -> bool:
    """Whether the campaign's audience names this person, with or without +tag."""
    member = select(audience_members.c.line).where(
        audience_members.c.campaign_id == campaign_id, is_person(audience_members, person)
    )
    return conn.execute(member.limit(1)).first() is not None
