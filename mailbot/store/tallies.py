"""What intake counts before it acts: bounces that may pass, requests that failed authentication.

Each is noted once, under a key made of its mail: a replay counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from mailbot.core.person import Person
from mailbot.store.columns import insert_unless_there
from mailbot.store.engine import now
from mailbot.store.reviews import Place
from mailbot.store.tables import failed_requests, passing_bounces, shadow_changes


def note_passing_bounce(
    conn: Connection, *, key: str, person: Person, received_at: datetime
) -> None:
    """A delivery failed for a reason that may pass."""
    insert_unless_there(conn, passing_bounces, {
        "key": key, "person_hash": person.person_hash, "untagged_hash": person.untagged_hash,
        "received_at": received_at,
    })  # fmt: skip


def days_with_bounces(conn: Connection, person: Person, *, until: datetime, within: int) -> int:
    """On how many different days (UTC) of the last `within` such deliveries failed.

    By the exact hash: a +tag that bounces says nothing about the mailbox without it.
    """
    since = until - timedelta(days=within)
    times = conn.execute(
        select(passing_bounces.c.received_at).where(
            passing_bounces.c.person_hash == person.person_hash,
            passing_bounces.c.received_at > since,
            passing_bounces.c.received_at <= until,
        )
    ).scalars()
    return len({at.date() for at in times})


def note_failed_request(conn: Connection, *, key: str, received_at: datetime) -> None:
    """A request whose sender failed authentication."""
    insert_unless_there(conn, failed_requests, {"key": key, "received_at": received_at})


def failed_requests_before(
    conn: Connection, *, besides: str, until: datetime, within: timedelta
) -> int:
    """How many of those were received in the time before `until`, the one of this key apart."""
    return conn.execute(
        select(func.count()).where(
            failed_requests.c.received_at > until - within,
            failed_requests.c.received_at <= until,
            failed_requests.c.key != besides,
        )
    ).scalar_one()


def note_shadow(
    conn: Connection, *, key: str, place: Place, rule: str, changes: Sequence[tuple[str, Person]]
) -> None:
    """What a mail would have changed: kind and person of each change."""
    for kind, person in changes:
        insert_unless_there(conn, shadow_changes, {
            "key": f"{key}:{kind}:{person.person_hash}", "kind": kind, "rule": rule,
            "person_hash": person.person_hash, "account": place.account, "folder": place.folder,
            "uidvalidity": place.uidvalidity, "uid": place.uid, "seen_at": now(conn),
        })  # fmt: skip


def count_shadow(conn: Connection) -> dict[str, int]:
    """How many changes of each kind shadow mode would have made."""
    rows = conn.execute(select(shadow_changes.c.kind, func.count()).group_by(shadow_changes.c.kind))
    return {row[0]: row[1] for row in rows}
