"""The versions of the shop's privacy policy: each consent event names the one that was in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select

from mailbot.store.tables import consent_events, policy_versions


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version. `text_digest` is SHA-256 in hex over the published text, None where unknown."""

    version: str
    in_force_at: datetime
    text_digest: str | None
    url: str | None
    sequence: int  # of the ledger's event that recorded it


_IN_FORCE = (
    select(policy_versions.c.version)
    .where(policy_versions.c.in_force_at <= bindparam("at"))
    .order_by(policy_versions.c.in_force_at.desc())
    .limit(1)
)


def in_force(conn: Connection, at: datetime) -> str | None:
    """The version that was in force at `at`; None where none was recorded for that time."""
    return conn.execute(_IN_FORCE, {"at": at}).scalar_one_or_none()


def all_versions(conn: Connection) -> list[PolicyVersion]:
    """Every recorded version, the oldest first."""
    rows = conn.execute(select(policy_versions).order_by(policy_versions.c.in_force_at))
    return [
        PolicyVersion(row.version, row.in_force_at, row.text_digest, row.url, row.sequence)
        for row in rows
    ]


def add(conn: Connection, version: PolicyVersion) -> None:
    """Write a version down; the caller recorded its event in the same transaction."""
    conn.execute(
        insert(policy_versions).values(
            version=version.version,
            in_force_at=version.in_force_at,
            text_digest=version.text_digest,
            url=version.url,
            sequence=version.sequence,
        )
    )


@dataclass(frozen=True, slots=True)
class NamedBefore:
    """The first event of a span of time that names a version, and when the last was received."""

    sequence: int
    received_at: datetime
    policy_version: str
    latest_at: datetime


def next_after(conn: Connection, at: datetime) -> datetime | None:
    """When the version that follows `at` comes into force; None where none does."""
    found: datetime | None = conn.execute(
        select(func.min(policy_versions.c.in_force_at)).where(policy_versions.c.in_force_at > at)
    ).scalar_one()
    return found


def named_since(
    conn: Connection, since: datetime, *, besides: str, until: datetime | None
) -> NamedBefore | None:
    """The first event received from `since` on (and before `until`) under another version.

    Walks the whole ledger: no index goes by receipt, and a version is added once in a year.
    """
    conditions = [consent_events.c.received_at >= since, consent_events.c.policy_version != besides]
    if until is not None:
        conditions.append(consent_events.c.received_at < until)
    row = conn.execute(
        select(consent_events).where(*conditions).order_by(consent_events.c.sequence).limit(1)
    ).first()
    if row is None:
        return None
    latest = conn.execute(select(func.max(consent_events.c.received_at)).where(*conditions))
    return NamedBefore(row.sequence, row.received_at, row.policy_version, latest.scalar_one())
