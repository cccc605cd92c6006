"""The ticks of a campaign: begun when due, put into the outbox in turns, ended part by part."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from mailbot.core.outbox_states import State
from mailbot.outbound import campaigns as ticking
from mailbot.store import campaign_figures, campaigns, expansion
from mailbot.store.campaigns import Member
from mailbot.store.engine import Connection, Database, now
from mailbot.store.expansion import Part
from tests.people import address, person
from tests.store.filling import campaign_under_way

DOMAIN = "shop.example"


def due(database: Database, name: str, count: int) -> int:
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name=name, subject="Teas", text_source="Hello", html_source=None
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {})
            for line, who in enumerate((f"c{n}@example.org" for n in range(count)), start=2)
        ])  # fmt: skip
        campaigns.finish_loading(conn, name)
        campaigns.schedule(conn, name, now(conn))
    return campaign_id


async def tick_until_nothing_is_left(database: Database) -> int:
    ticks = 0
    with database.read() as conn:
        waiting = [one for one in campaigns.every(conn) if not one.is_expanded]
    while waiting and ticks < 100:
        await ticking.tick(database, DOMAIN)
        ticks += 1
        with database.read() as conn:
            waiting = [one for one in campaigns.every(conn) if not one.is_expanded]
    return ticks


class Parts:
    """Which parts were asked for; each seems to have taken `seconds`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.limits: list[int] = []
        self.campaigns: list[int] = []
        self._expand = expansion.expand
        monkeypatch.setattr(expansion, "expand", self._noted)
        monkeypatch.setattr(ticking, "_timed", lambda work: (work(), seconds))

    def _noted(self, conn: Connection, campaign_id: int, *, our_domain: str, limit: int) -> Part:
        self.limits.append(limit)
        self.campaigns.append(campaign_id)
        return self._expand(conn, campaign_id, our_domain=our_domain, limit=limit)


async def test_a_part_that_holds_the_lock_too_long_is_followed_by_smaller_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(monkeypatch, seconds=0.1)
    due(database, "spring", 700)
    await tick_until_nothing_is_left(database)
    assert parts.limits[:4] == [250, 125, 62, 50]
    assert min(parts.limits) == 50, "it goes on all the same"


async def test_parts_grow_while_they_are_quick_and_never_without_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "_LARGEST_PART", 1500)
    parts = Parts(monkeypatch, seconds=0.0)
    due(database, "spring", 4000)
    await tick_until_nothing_is_left(database)
    assert parts.limits[:4] == [250, 500, 1000, 1500]
    assert max(parts.limits) == 1500


async def test_a_big_campaign_holds_no_small_one_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "_LARGEST_PART", 250)
    parts = Parts(monkeypatch, seconds=0.0)
    big, small = due(database, "big", 2000), due(database, "small", 10)
    await tick_until_nothing_is_left(database)
    assert parts.campaigns[:3] == [big, small, big]


async def test_a_tick_ends_within_its_second_and_the_next_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "_WORK_SECONDS", 0.000_001)
    Parts(monkeypatch, seconds=0.1)
    due(database, "spring", 500)
    assert await tick_until_nothing_is_left(database) == 2 + 1  # twice 250, and that it was all
    with database.read() as conn:
        assert campaign_figures.progress(conn, 1).by_state == {State.QUEUED: 500}


async def test_sending_is_woken_by_the_first_part(database: Database) -> None:
    campaign_id = due(database, "spring", 600)
    seen: list[int] = []

    def woken() -> None:
        with database.read() as conn:
            seen.append(campaign_figures.progress(conn, campaign_id).expanded)

    await ticking.tick(database, DOMAIN, woken)
    assert seen[0] == 250, "before the rest is there"


async def test_progress_is_told_once_each_tenth_and_at_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "_LARGEST_PART", 100)
    monkeypatch.setattr(ticking, "_FIRST_PART", 30)
    monkeypatch.setattr(ticking, "log", structlog.get_logger())
    due(database, "spring", 1000)
    with capture_logs() as logs:
        await tick_until_nothing_is_left(database)
    events = [one["event"] for one in logs]
    assert (events[0], events[-1]) == ("campaign_started", "campaign_expanded")
    told = [one["messages"] for one in logs if one["event"] == "campaign_expanding"]
    assert 8 <= len(told) <= 10
    assert len({10 * each // 1000 for each in told}) == len(told), "no tenth twice"


async def test_what_waits_for_a_cancelled_campaign_is_cancelled_part_by_part(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "_CANCEL_PART", 100)
    campaign_id = campaign_under_way(database, *(f"c{n}@example.org" for n in range(900)))
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    await ticking.tick(database, DOMAIN)
    with database.read() as conn:
        found = campaign_figures.progress(conn, campaign_id).by_state
    assert found == {State.CANCELLED: 900}
