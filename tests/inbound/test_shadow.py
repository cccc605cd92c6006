"""Shadow mode notes what would happen, and does nothing; going live misses nothing of it."""

from __future__ import annotations

from dataclasses import replace

from mailbot.core.consent import Reason
from mailbot.inbound.filing import Filing
from mailbot.store import tallies
from tests.inbound.desk import Desk
from tests.inbound.letters import SHOP, letter

SHADOW = replace(SHOP, is_shadow=True)


def test_nothing_is_recorded_answered_or_filed(desk: Desk) -> None:
    desk.change(SHADOW, filing=Filing("keyword", "done"))
    desk.start()
    uid = desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert (desk.reasons(), desk.ledger_length(), desk.answers()) == (set(), 0, 0)
    assert desk.waiting_reviews() == []
    assert desk.server.flags(desk.user) == {uid: frozenset()}


def test_what_would_have_happened_is_noted_once(desk: Desk) -> None:
    desk.change(SHADOW)
    mail = letter("unsubscribe")
    desk.arrive(mail)
    desk.arrive(mail)
    desk.arrive(letter("Please do not unsubscribe me", "Ben <ben@example.net>"))
    desk.arrive(letter("Tea?"))
    desk.hear()
    with desk.database.read() as conn:
        assert tallies.count_shadow(conn) == {"opt_out": 1, "held": 1}


def test_going_live_hears_what_was_only_watched(desk: Desk) -> None:
    """The watermark of shadow mode is another one."""
    desk.change(SHADOW)
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    desk.change(SHOP)
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
