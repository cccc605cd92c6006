"""Large databases for the benchmarks, filled by SQL alone: what is measured is what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from mailbot.store import schema
from mailbot.store.engine import Database

# A hash for each number, the same in every table that asks, spread like a real one. SQLite has no
# hash function: a step of Lehmer's generator spreads well and never repeats below 2^31 - 1.
_SPREAD = "printf('%08x%024x', ({n} * 48271) % 2147483647, {n})"


def hash_of(number: str) -> str:
    """SQL: the person hash of that number."""
    return _SPREAD.format(n=number)


@contextmanager
def new_database(folder: Path, name: str) -> Iterator[Database]:
    """A database of the newest schema, removed at the end."""
    file = folder / f"{name}.db"
    url = f"sqlite:///{file}"
    schema.upgrade(url)
    database = Database.open(url)
    try:
        yield database
    finally:
        database.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{file}{end}").unlink(missing_ok=True)


def fill_list(conn: Connection, persons: int) -> None:
    """Put `persons` on the list for one event, in the order of the key."""
    conn.execute(text(
        "INSERT INTO consent_events (sequence, kind, source, person_hash, untagged_hash, key,"
        " received_at, recorded_at, rule, policy_version, evidence_digest, previous_hash, hash)"
        " VALUES (1, 'imported', 'import', '', '', 'bench', '2026-01-01 00:00:00.000000',"
        " '2026-01-01 00:00:00.000000', 'import', '1', '', '', '')"
    ))  # fmt: skip
    conn.execute(text("UPDATE ledger_head SET sequence = 1"))
    conn.execute(text(f"""
        INSERT INTO suppressions (person_hash, reason, untagged_hash, since_at, sequence, address)
        SELECT hash, 'imported', hash, '2026-01-01 00:00:00.000000', 1, n || '@example.org'
        FROM (SELECT value AS n, {hash_of("value")} AS hash FROM generate_numbers ORDER BY hash)
    """.replace("generate_numbers", numbers(persons))))  # fmt: skip


def numbers(count: int) -> str:
    """SQL: a table of `value` from 1 to `count`."""
    return (
        "(WITH RECURSIVE counted(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM counted"
        f" WHERE value < {count}) SELECT value FROM counted)"
    )
