"""An audience's members: many in at once, and out again one after another.

In by one statement, prepared once, whichever the driver: SQLAlchemy would build each row's
parameters anew, which takes longer than the database does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from mailbot.store.tables import audience_members

# line, address (None where it is not kept), person_hash, untagged_hash, fields as JSON
MemberRow = tuple[int, str | None, str, str, str]

_COLUMNS: Final = "campaign_id, line, address, person_hash, untagged_hash, fields"
_TO_SQLITE: Final = (
    f"INSERT INTO audience_members ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608  # ours
)
_TO_POSTGRESQL: Final = f"""
    INSERT INTO audience_members ({_COLUMNS})
    SELECT %(campaign)s, many.line, many.address, many.person, many.untagged, many.fields::json
    FROM unnest(%(lines)s::int[], %(addresses)s::text[], %(persons)s::varchar[],
                %(untagged)s::varchar[], %(fields)s::text[])
        AS many (line, address, person, untagged, fields)
    ON CONFLICT DO NOTHING
"""  # noqa: S608  # ours


def add(conn: Connection, campaign_id: int, rows: Sequence[MemberRow]) -> int:
    """Add these; a line or person who is there already is left alone. Returns how many are new."""
    if not rows:
        return 0
    if conn.dialect.name == "sqlite":
        return conn.exec_driver_sql(_TO_SQLITE, [(campaign_id, *row) for row in rows]).rowcount
    lines, addresses, persons, untagged, fields = (
        list(column) for column in zip(*rows, strict=True)
    )
    return conn.exec_driver_sql(_TO_POSTGRESQL, {
        "campaign": campaign_id, "lines": lines, "addresses": addresses, "persons": persons,
        "untagged": untagged, "fields": fields,
    }).rowcount  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredMember:
    """One member as the letter sees it; `address` is None once it was forgotten or erased."""

    line: int  # of the audience file
    address: str | None
    fields: Mapping[str, Any]


def member_at(conn: Connection, campaign_id: int, line: int) -> StoredMember | None:
    """The first member from `line` of the file on whose address is kept; None where none is."""
    row = conn.execute(
        select(audience_members.c.line, audience_members.c.address, audience_members.c.fields)
        .where(
            audience_members.c.campaign_id == campaign_id,
            audience_members.c.line >= line,
            audience_members.c.address.is_not(None),
        )
        .order_by(audience_members.c.line)
        .limit(1)
    ).first()
    return StoredMember(row.line, row.address, row.fields) if row is not None else None


def members(conn: Connection, campaign_id: int) -> Iterator[StoredMember]:
    """Every member in the order of the file. Memory stays flat."""
    chosen = (
        select(audience_members.c.line, audience_members.c.address, audience_members.c.fields)
        .where(audience_members.c.campaign_id == campaign_id)
        .order_by(audience_members.c.line)
        .execution_options(yield_per=1000)
    )
    with conn.execute(chosen) as rows:
        for row in rows:
            yield StoredMember(row.line, row.address, row.fields)


def let_planner_know(conn: Connection) -> None:
    """Tell PostgreSQL at once that the audience grew; it would find out within minutes.

    Till then it would sort the whole rest of the audience for each part that is expanded.
    """
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("ANALYZE audience_members")
