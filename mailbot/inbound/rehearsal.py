"""What a verdict would change, found out by doing it and taking it back: one path, no guess."""

from __future__ import annotations

from mailbot.core.verdicts import Verdict
from mailbot.inbound.consequences import Change, carry_out
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store.engine import Database


class _TakenBack(Exception):
    """Rolls the transaction back."""


def rehearse(database: Database, verdict: Verdict, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """The changes that `carry_out` would make now; nothing of it stays."""
    changes: tuple[Change, ...] = ()
    try:
        with database.write() as conn:
            changes = carry_out(conn, verdict, mail, shop)
            raise _TakenBack
    except _TakenBack:
        return changes
