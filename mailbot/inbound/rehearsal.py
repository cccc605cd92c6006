"""What a verdict would change, found out by doing it and taking it back: one path, no guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mailbot.core.verdicts import Verdict
from mailbot.inbound.consequences import Change, carry_out
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store.engine import Connection, Database

T = TypeVar("T")


class _TakenBack(Exception):
    """Rolls the transaction back."""


def rehearse(database: Database, verdict: Verdict, mail: Mail, shop: Shop) -> tuple[Change, ...]:
    """The changes that `carry_out` would make now; nothing of it stays."""
    return taken_back(database, lambda conn: carry_out(conn, verdict, mail, shop))


def taken_back(database: Database, work: Callable[[Connection], T]) -> T:
    """What `work` returns after doing its work in a transaction that is rolled back."""
    done: list[T] = []
    try:
        with database.write() as conn:
            done.append(work(conn))
            raise _TakenBack
    except _TakenBack:
        return done[0]
