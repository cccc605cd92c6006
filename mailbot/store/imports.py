"""Imported files: one row each, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.tables import imports


@dataclass(frozen=True, slots=True)
class Import:
    """One file. `added` counts entries that were not there before; unfinished: `finished_at` None.

    `lines` counts rows with or without an address, `persons` whom the file names.
    """

    id: int
    key: str
    file_name: str
    format: str
    started_at: datetime
    finished_at: datetime | None
    started_by: str
    lines: int
    persons: int
    added: int
    bad_lines: int


def of_key(conn: Connection, key: str) -> Import | None:
    """The import of this key: the same file, read in the same way."""
    row = conn.execute(select(imports).where(imports.c.key == key)).one_or_none()
    return Import(*row) if row is not None else None


def newest(conn: Connection, limit: int) -> list[Import]:
    """The newest first."""
    rows = conn.execute(select(imports).order_by(imports.c.id.desc()).limit(limit))
    return [Import(*row) for row in rows]


def begin(
    conn: Connection, *, key: str, file_name: str, format_name: str, by: str, lines: int, bad: int
) -> Import:
    """The row of this key, made if it is not there."""
    insert_unless_there(conn, imports, {
        "key": key, "file_name": file_name, "format": format_name, "started_at": DatabaseTime(),
        "started_by": by[:100], "lines": lines, "bad_lines": bad,
    })  # fmt: skip
    return Import(*conn.execute(select(imports).where(imports.c.key == key)).one())


def count_added(conn: Connection, import_id: int, added: int) -> None:
    """In the transaction that added them."""
    conn.execute(
        update(imports).where(imports.c.id == import_id).values(added=imports.c.added + added)
    )


def finish(conn: Connection, import_id: int, persons: int) -> Import:
    """Every person of the file is on the list."""
    conn.execute(
        update(imports)
        .where(imports.c.id == import_id)
        .values(persons=persons, finished_at=DatabaseTime())
    )
    return Import(*conn.execute(select(imports).where(imports.c.id == import_id)).one())
