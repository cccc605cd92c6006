"""Addresses are copied, or somebody is forgotten: never both at a time.

PostgreSQL shows an erasure no copy that is not yet committed, and the copy no erasure: each would
pass the other by, and the address would stay. SQLite has one writer anyway. Whoever needs one of
these locks takes it before any other, except for those of switches.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

_KEY: Final = 0x6D61696C626F74  # "mailbot": no row, a number that PostgreSQL locks
_COPYING: Final = select(func.pg_advisory_xact_lock_shared(_KEY))
_FORGETTING: Final = select(func.pg_advisory_xact_lock(_KEY))


def may_copy(conn: Connection) -> None:
    """Until the transaction ends nobody is forgotten; others may copy as well."""
    if conn.dialect.name == "postgresql":
        conn.execute(_COPYING)


def may_forget(conn: Connection) -> None:
    """Until the transaction ends nobody copies addresses."""
    if conn.dialect.name == "postgresql":
        conn.execute(_FORGETTING)
