"""Many entries into the list at once: one statement, prepared once, whichever the driver.

SQLAlchemy would build each row's parameters anew, which takes longer than the database does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from mailbot.core.list_sum import ListSum
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


@dataclass(frozen=True, slots=True)
class Batch:
    """What an event about many puts on the list.

    No person stands twice in `rows`; sorted by person hash, they go in fastest.
    """

    rows: Sequence[ListRow]
    reason: str
    since_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class There:
    """An entry that a batch meets; one that `is_older` is renewed, the others stay."""

    person_hash: str
    untagged_hash: str
    sequence: int
    is_older: bool


def there_already(conn: Connection, batch: Batch) -> list[There]:
    """Which of the batch's persons are on the list for its reason."""
    reason, since_at, _ = _same(conn, batch)
    hashes = [row[0] for row in batch.rows]
    # CROSS JOIN: SQLite keeps the order, so that it looks each person up by the key.
    sql = """
        SELECT s.person_hash, s.untagged_hash, s.sequence, s.since_at < :since_at
        FROM json_each(:hashes) AS many CROSS JOIN suppressions AS s
        WHERE s.person_hash = many.value AND s.reason = :reason
    """
    named: dict[str, Any] = {"reason": reason, "since_at": since_at, "hashes": json.dumps(hashes)}
    if conn.dialect.name != "sqlite":
        named["hashes"] = hashes
        sql = """
            SELECT s.person_hash, s.untagged_hash, s.sequence, s.since_at < %(since_at)s
            FROM suppressions AS s
            WHERE s.person_hash = ANY(%(hashes)s::varchar[]) AND s.reason = %(reason)s
        """
    return [There(*row) for row in conn.exec_driver_sql(sql, named)]


def summed(before: ListSum, batch: Batch, there: Iterable[There]) -> ListSum:
    """The sum of the list with `batch`, where these were `there_already`."""
    gone, staying = [], set()
    for one in there:
        if one.is_older:
            gone.append((one.person_hash, batch.reason, one.untagged_hash, one.sequence))
        else:
            staying.add(one.person_hash)
    come = (
        (person_hash, batch.reason, untagged_hash, batch.sequence)
        for person_hash, untagged_hash, _ in batch.rows
        if person_hash not in staying
    )
    return before.changed(gone, come)


def add_or_renew(conn: Connection, batch: Batch) -> int:
    """Put the batch on the list; an entry that is there since earlier is renewed.

    Returns how many were not there before.
    """
    rows = batch.rows
    if not rows:
        return 0
    add = _add_to_sqlite if conn.dialect.name == "sqlite" else _add_to_postgresql
    added = add(conn, rows, _same(conn, batch), _UNLESS_THERE)
    if added < len(rows):
        add(conn, rows, _same(conn, batch), _RENEWED)
    return added


_Same = tuple[str, object, int]  # reason, since_at, sequence: as the driver takes them


def _same(conn: Connection, batch: Batch) -> _Same:
    at = UtcDateTime().dialect_impl(conn.dialect).bind_processor(conn.dialect)
    stored = at(batch.since_at) if at is not None else batch.since_at
    return batch.reason, stored, batch.sequence


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
