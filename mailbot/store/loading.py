"""Many entries into the list at once: one statement, prepared once, whichever the driver.

SQLAlchemy would build each row's parameters anew, which takes longer than the database does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from mailbot.store.columns import UtcDateTime

# person_hash, untagged_hash, address (None where it is not kept)
ListRow = tuple[str, str, str | None]

_COLUMNS: Final = "person_hash, untagged_hash, address, reason, since_at, sequence"
_RENEWED: Final = """
    ON CONFLICT (person_hash, reason) DO UPDATE SET
        untagged_hash = excluded.untagged_hash, since_at = excluded.since_at,
        sequence = excluded.sequence, address = excluded.address
    WHERE suppressions.since_at < excluded.since_at
"""
_UNLESS_THERE: Final = "ON CONFLICT (person_hash, reason) DO NOTHING"


def add_or_renew(
    conn: Connection, rows: Sequence[ListRow], *, reason: str, since_at: datetime, sequence: int
) -> int:
    """Put each of `rows` on the list; an entry that is there since earlier is renewed.

    Returns how many were not there before. No person stands twice in `rows`; sorted by person
    hash, they go in fastest.
    """
    if not rows:
        return 0
    add = _add_to_sqlite if conn.dialect.name == "sqlite" else _add_to_postgresql
    at = UtcDateTime().dialect_impl(conn.dialect).bind_processor(conn.dialect)
    stored = at(since_at) if at is not None else since_at
    added = add(conn, rows, (reason, stored, sequence), _UNLESS_THERE)
    if added < len(rows):
        add(conn, rows, (reason, stored, sequence), _RENEWED)
    return added


_Same = tuple[str, object, int]  # reason, since_at, sequence: as the driver takes them


def _add_to_sqlite(conn: Connection, rows: Sequence[ListRow], same: _Same, conflict: str) -> int:
    sql = f"INSERT INTO suppressions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) {conflict}"  # noqa: S608  # both are ours
    return conn.exec_driver_sql(sql, [row + same for row in rows]).rowcount


def _add_to_postgresql(
    conn: Connection, rows: Sequence[ListRow], same: _Same, conflict: str
) -> int:
    hashes, untagged, addresses = (list(column) for column in zip(*rows, strict=True))
    reason, since_at, sequence = same
    sql = f"""
        INSERT INTO suppressions ({_COLUMNS})
        SELECT many.*, %(reason)s, %(since_at)s, %(sequence)s
        FROM unnest(%(hashes)s::varchar[], %(untagged)s::varchar[], %(addresses)s::text[]) AS many
        {conflict}
    """  # noqa: S608  # both are ours
    return conn.exec_driver_sql(sql, {
        "hashes": hashes, "untagged": untagged, "addresses": addresses,
        "reason": reason, "since_at": since_at, "sequence": sequence,
    }).rowcount  # fmt: skip
