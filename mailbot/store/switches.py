"""Switches that every daemon obeys at once, because each look before sending reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from mailbot.store.columns import DatabaseTime, insert_unless_there
from mailbot.store.engine import now
from mailbot.store.tables import switches

MARKETING_STOPPED = "marketing_stopped"  # by a person
LIST_DISTRUSTED = "list_distrusted"  # the database is behind its journal (see store.restoring)
SPOOL_UNREADABLE = "spool_unreadable"  # wishes of the public page may be missing
STOPS_MARKETING = (MARKETING_STOPPED, LIST_DISTRUSTED, SPOOL_UNREADABLE)


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether a switch is on, why, and since when."""

    is_on: bool
    because: str
    set_at: datetime | None


def get(conn: Connection, name: str) -> Switch:
    """The switch as it stands; one never set is off."""
    row = conn.execute(select(switches).where(switches.c.name == name)).first()
    return Switch(row.is_on, row.because or "", row.set_at) if row else Switch(False, "", None)


def locked(conn: Connection, name: str) -> Switch:
    """The same, locked until the transaction ends. Before the ledger's head, by everybody."""
    row = conn.execute(select(switches).where(switches.c.name == name).with_for_update()).first()
    return Switch(row.is_on, row.because or "", row.set_at) if row else Switch(False, "", None)


def is_marketing_stopped(conn: Connection) -> bool:
    """Whether a person, or a list that cannot be trusted, keeps every campaign from sending."""
    found = select(switches.c.name).where(switches.c.name.in_(STOPS_MARKETING), switches.c.is_on)
    return conn.execute(found).first() is not None


def turn(conn: Connection, name: str, *, is_on: bool, because: str) -> None:
    """Set a switch; its time is the database's. Before the ledger's head is locked."""
    insert_unless_there(conn, switches, {"name": name, "is_on": is_on, "set_at": now(conn)})
    conn.execute(
        update(switches)
        .where(switches.c.name == name)
        .values(is_on=is_on, because=because, set_at=DatabaseTime())
    )
