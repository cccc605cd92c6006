"""An event that somebody typed is recorded once, also where the answer to COMMIT was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mailbot.core.errors import StoreUnavailable
from mailbot.core.person import PersonKey
from mailbot.store import keys, ledger
from mailbot.store.engine import Connection, Database

T = TypeVar("T")


def recorded(
    database: Database, person_key: PersonKey, key: str, change: Callable[[Connection], T]
) -> T:
    """What `change` returns, after the COMMIT of the transaction in which it recorded event `key`.

    Where the line to the database breaks at that COMMIT, the ledger is asked over a new one, and
    the change is made again only where it was not committed. Raises StoreUnavailable where the
    database stays away; it then says how to find out.
    """
    done: list[T] = []
    try:
        with _writing(database, person_key) as conn:
            done.append(change(conn))
    except StoreUnavailable:
        if not done:
            raise  # it never came to the COMMIT
    else:
        return done[0]
    try:
        if _is_committed(database, key):
            if database.after_events is not None:
                database.after_events()
        else:
            with _writing(database, person_key) as conn:
                done[0] = change(conn)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{error.what} Whether it was recorded is not known.",
            where=error.where,
            next_step="Ask `mailbot why ADDRESS` when the database is back, or run it again: twice "
            "does no harm.",
        ) from error
    return done[0]


def _is_committed(database: Database, key: str) -> bool:
    """Asked under the ledger's lock: the server may still be about to commit it."""
    with database.write() as conn:
        ledger.locked_head(conn)
        return ledger.sequence_of(conn, key) is not None


@contextmanager
def _writing(database: Database, person_key: PersonKey) -> Iterator[Connection]:
    """The first transaction that writes person hashes makes the key this database's."""
    with database.write() as conn:
        keys.adopt(conn, person_key)
        yield conn
