"""Is this the person key that filled the database? A wrong one would mail everyone who left."""

from __future__ import annotations

from sqlalchemy import Connection, select

from mailbot.core.errors import WrongPersonKey
from mailbot.core.person import PersonKey
from mailbot.store.columns import insert_unless_there
from mailbot.store.tables import person_key


def filled_by(conn: Connection) -> tuple[str, str] | None:
    """Id and check value of the person key that filled this database; None where none did yet."""
    row = conn.execute(select(person_key)).first()
    return (row.key_id, row.check_value) if row else None


def check(conn: Connection, key: PersonKey) -> None:
    """Raise WrongPersonKey unless `key` filled this database, or nothing did yet.

    The first key that is seen is remembered by its id and check value, never itself.
    """
    known = filled_by(conn)
    if known is None:
        return
    if known != (key.key_id, key.check_value):
        raise WrongPersonKey(
            f"the person key is not the one that filled this database (its id is {key.key_id}, "
            f"the database's {known[0]}); no marketing is sent with it",
            where="keys.person_file",
            next_step="Put the old key file back; the person key never changes.",
        )


def adopt(conn: Connection, key: PersonKey) -> None:
    """Remember `key` where none was remembered, else check it. Raises WrongPersonKey."""
    insert_unless_there(
        conn, person_key, {"id": 1, "key_id": key.key_id, "check_value": key.check_value}
    )
    check(conn, key)
