"""What a shop is told of its messages, page by page."""

from __future__ import annotations

from typing import Final

from mailbot.core.errors import InputError
from mailbot.store.engine import Database
from mailbot.store.order_reports import Told, changes_after, newest_place

MOST_CHANGES: Final = 10_000  # of one report


def report(database: Database, after: int, limit: int) -> Told:
    """Up to `limit` (1 to 10,000) changes after the cursor `after`; 0 begins with the first.

    Raises InputError for a cursor that this database never gave.
    """
    if not 1 <= limit <= MOST_CHANGES:
        raise InputError(
            f"{limit} is no number of changes.", next_step=f"Ask for 1 to {MOST_CHANGES:,}."
        )
    with database.read() as conn:
        newest = newest_place(conn)
    if not 0 <= after <= newest:
        raise InputError(
            f"this database never gave the cursor {after}; its newest is {newest}.",
            next_step="If it was restored from a backup, begin again at 0: what you know already "
            "comes again.",
        )
    return changes_after(database, after, limit)
