"""When a lease is over: by the database's clock, and also where it makes no sense."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, or_

from mailbot.store.columns import DatabaseTime

# What nobody asks for: sender.lease_seconds is an hour at most, a mailbox's is a minute.
_LONGEST_SECONDS = 2 * 3600


def is_over(lease_until: ColumnElement[datetime]) -> ColumnElement[bool]:
    """The condition that a lease which somebody holds has run out, has no end, or too late a one.

    Then the clock was put back since, or somebody's hand was at it; to wait for such a lease would
    hold mail up for as long as the clock was wrong. Text that is no time is over as well.
    """
    return or_(
        lease_until <= DatabaseTime(),
        lease_until.is_(None),
        lease_until > DatabaseTime(_LONGEST_SECONDS),
    )
