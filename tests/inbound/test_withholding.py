"""Offers that wait are withheld from who left, and not from who came back since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.outbox_states import State
from mailbot.store import consent, mailboxes
from tests.inbound.desk import ACCOUNT, Desk
from tests.inbound.letters import letter, person
from tests.store.filling import campaign_under_way, claim, state_of

pytestmark = pytest.mark.on_both_engines


def test_an_old_wish_heard_again_withholds_nothing_from_who_came_back(desk: Desk) -> None:
    """Out in March, in again in April: in May every folder is read from its beginning."""
    march = datetime(2026, 3, 2, 12, tzinfo=UTC)
    desk.arrive(letter("unsubscribe"), received_at=march)
    desk.hear()
    back = ConsentEvent(
        kind=Kind.OPT_IN, source=Source.CONSOLE, person=person(), key="console:1",
        received_at=march + timedelta(days=30), rule="console", policy_version="7",
    )  # fmt: skip
    with desk.database.write() as conn:
        consent.record(conn, back)
        mailboxes.forget(conn, ACCOUNT)
    campaign_under_way(desk.database, "ann@example.net")
    (row,) = claim(desk.database)
    desk.hear()
    assert desk.reasons() == set()
    assert state_of(desk.database, row.id) is State.CLAIMED
