"""The versions of the shop's privacy policy: each consent event names the one that was in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from mailbot.store.tables import policy_versions


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version. `text_digest` is SHA-256 in hex over the published text, None where unknown."""

    version: str
    in_force_at: datetime
    text_digest: str | None
    url: str | None
    sequence: int  # of the ledger's event that recorded it


def in_force(conn: Connection, at: datetime) -> str | None:
    """The version that was in force at `at`; None where none was recorded for that time."""
    return conn.execute(
        select(policy_versions.c.version)
        .where(policy_versions.c.in_force_at <= at)
        .order_by(policy_versions.c.in_force_at.desc())
        .limit(1)
    ).scalar_one_or_none()


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
