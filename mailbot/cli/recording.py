"""An event that somebody typed is recorded once, also where the answer to COMMIT was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mailbot.cli.opening import OpenedForPersons, writing
from mailbot.core.errors import StoreUnavailable
from mailbot.store import ledger
from mailbot.store.engine import Connection

T = TypeVar("T")


def recorded(installation: OpenedForPersons, key: str, change: Callable[[Connection], T]) -> T:
    """What `change` returns, after the COMMIT of the transaction in which it recorded event `key`.

    Where the line to the database breaks at that COMMIT, the ledger is asked over a new one, and
    the change is made again only where it was not committed. Raises StoreUnavailable where the
    database stays away; it then says how to find out.
    """
    done: list[T] = []
    try:
        with writing(installation) as conn:
            done.append(change(conn))
    except StoreUnavailable:
        if not done:
            raise  # it never came to the COMMIT
    else:
        return done[0]
    try:
        if _is_committed(installation, key):
            if installation.database.after_events is not None:
                installation.database.after_events()
        else:
            with writing(installation) as conn:
                done[0] = change(conn)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{error.what} Whether it was recorded is not known.",
            where=error.where,
            next_step="Ask `mailbot why ADDRESS` when the database is back, or run it again: twice "
            "does no harm.",
        ) from error
    return done[0]


def _is_committed(installation: OpenedForPersons, key: str) -> bool:
    """Asked under the ledger's lock: the server may still be about to commit it."""
    with installation.database.write() as conn:
        ledger.locked_head(conn)
        return ledger.sequence_of(conn, key) is not None
