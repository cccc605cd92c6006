"""After an erasure: nothing of it may stay behind in the database's files.

SQLite runs with secure_delete, so that what is deleted is overwritten; the write-ahead log is
emptied here, and the file is searched. PostgreSQL keeps dead rows until a VACUUM.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import String, cast, func, literal, select, text

from mailbot.store.engine import BUSY_TIMEOUT_MS, Database, explained
from mailbot.store.tables import (
    audience_members,
    consent_evidence,
    delivery_attempts,
    outbox,
    reviews,
    suppressions,
)

# Where erasure empties, column by column.
READABLE = (
    consent_evidence.c.address, consent_evidence.c.evidence, suppressions.c.address,
    reviews.c.because, outbox.c.address, outbox.c.fields, outbox.c.last_reply,
    delivery_attempts.c.reply, audience_members.c.address, audience_members.c.fields,
)  # fmt: skip
_CHUNK = 1 << 22  # bytes
_PATIENCE_MS = 3_000  # for programs that read an older state


def scrub(database: Database, word: str) -> bool:
    """Overwrite what the erasure of `word`, an address, left in the files.

    False where another program reads an older state, so that it must stay there for now: to be
    tried again later. On PostgreSQL the dead rows are given free, and True is returned.
    Raises StoreError, StoreUnavailable.
    """
    if not database.is_sqlite:
        _vacuum_tables(database)
        return True
    if not _empty_log(database):
        return False
    if _in_file(database, word) > _in_rows(database, word):
        # A row that an older mailbot deleted stays on its page until that is used again.
        _run(database, "VACUUM")
        return _empty_log(database)
    return True


def _vacuum_tables(database: Database) -> None:
    with explained(database.where), database.engine.connect() as plain:
        conn = plain.execution_options(isolation_level="AUTOCOMMIT")
        for table in dict.fromkeys(column.table.name for column in READABLE):
            conn.execute(text(f"VACUUM {table}"))


def _empty_log(database: Database) -> bool:
    [(is_busy, _, _)] = _run(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    return not is_busy


def _run(database: Database, statement: str) -> list[tuple[int, int, int]]:
    # Past SQLAlchemy, which would begin a transaction: neither works inside one.
    with explained(database.where), database.engine.connect() as conn:
        cursor = conn.connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            cursor.execute(statement)
            return list(cursor.fetchall())
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.close()


def _in_file(database: Database, word: str) -> int:
    """How often the file holds `word` in any case, inside of longer words as well."""
    pattern = re.compile(re.escape(word.encode()), re.IGNORECASE)
    found, kept = 0, b""
    with Path(str(database.engine.url.database)).open("rb") as file:
        while chunk := file.read(_CHUNK):
            held = kept + chunk
            found += len(pattern.findall(held))
            kept = held[-(len(word.encode()) - 1) :]  # too short to be counted twice
    return found


def _in_rows(database: Database, word: str) -> int:
    """How often rows that live hold it: inside of somebody else's longer address, or once more."""
    found = 0
    sought = literal(word.lower())
    with database.read() as conn:
        for column in READABLE:
            held = func.lower(cast(column, String))
            times = (func.length(held) - func.length(func.replace(held, sought, ""))) / len(word)
            total = select(func.coalesce(func.sum(times), 0)).where(held.contains(sought))
            found += int(conn.execute(total).scalar_one())
    return found
