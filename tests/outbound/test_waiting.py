"""Who goes next: order status overtakes, one line is its own, a slow domain lets others by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import count

import pytest

from mailbot.core.eligibility import MessageKind
from mailbot.core.smtp_replies import Welcome
from mailbot.outbound import waiting
from mailbot.outbound.domains import Domains
from mailbot.outbound.waiting import WaitingRows
from mailbot.store.outbox import ClaimedRow
from tests.people import person

_ids = count(1)


def row(address: str = "ann@example.org", kind: MessageKind = MessageKind.CAMPAIGN) -> ClaimedRow:
    number = next(_ids)
    return ClaimedRow(
        number, kind, 1 if kind is MessageKind.CAMPAIGN else None, None, address, person(address),
        {}, f"<{number}@shop.example>", 0, datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def order(address: str = "ann@example.org") -> ClaimedRow:
    return row(address, MessageKind.ORDER_STATUS)


def rows_for(*, lines: int, per_domain: int = 10) -> WaitingRows:
    return WaitingRows(Domains(domain_connections=per_domain, connections=lines), lines)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The boot clock, as a list of one number that a test may change."""
    now = [1000.0]
    monkeypatch.setattr(waiting, "boot_seconds", lambda: now[0])
    return now


async def taken_at_once(rows: WaitingRows) -> ClaimedRow | None:
    """What a line gets without waiting."""
    task = asyncio.create_task(rows.take())
    for _ in range(3):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        return None
    return task.result()


async def test_order_status_overtakes_offers_that_were_claimed_before_it() -> None:
    rows = rows_for(lines=4)
    offer, status = row(), order()
    rows.put([offer])
    rows.put([status])
    assert [await rows.take(), await rows.take()] == [status, offer]


async def test_offers_leave_one_line_to_order_status() -> None:
    rows = rows_for(lines=3)
    rows.put([row() for _ in range(9)])
    first, _ = await rows.take(), await rows.take()
    assert await taken_at_once(rows) is None
    status = order()
    rows.put([status])
    assert await taken_at_once(rows) == status
    rows.done(first, Welcome.TAKEN)
    assert await taken_at_once(rows) is not None


async def test_a_single_line_carries_offers_too() -> None:
    rows = rows_for(lines=1)
    rows.put([row()])
    assert await taken_at_once(rows) is not None


async def test_a_line_that_waits_is_woken_by_what_comes() -> None:
    rows = rows_for(lines=2)
    task = asyncio.create_task(rows.take())
    await asyncio.sleep(0)
    offer = row()
    rows.put([offer])
    assert await asyncio.wait_for(task, 5) == offer


async def test_a_line_that_leaves_passes_its_turn_on() -> None:
    rows = rows_for(lines=3)
    leaving, staying = (asyncio.create_task(rows.take()) for _ in range(2))
    await asyncio.sleep(0)
    offer = row()
    rows.put([offer])  # wakes the first that asked
    leaving.cancel()
    assert await asyncio.wait_for(staying, 5) == offer
    assert leaving.cancelled()


async def test_a_domain_at_its_limit_lets_others_by() -> None:
    rows = rows_for(lines=9, per_domain=2)
    busy = [row(f"{name}@busy.example") for name in "abc"]
    other = row("dan@other.example")
    rows.put([*busy, other])
    assert [await rows.take() for _ in range(3)] == [busy[0], busy[1], other]
    assert await taken_at_once(rows) is None
    rows.done(busy[0], Welcome.TAKEN)
    assert await taken_at_once(rows) == busy[2]


async def test_a_domain_that_says_too_many_gets_the_next_after_a_pause(clock: list[float]) -> None:
    rows = rows_for(lines=9, per_domain=1)
    first, second = row("a@slow.example"), row("b@slow.example")
    rows.put([first, second])
    rows.done(await rows.take(), Welcome.DOMAIN_TOO_MANY)
    assert await taken_at_once(rows) is None
    clock[0] += 120
    assert await taken_at_once(rows) == second


async def test_a_pause_ends_by_itself() -> None:
    rows = rows_for(lines=9, per_domain=1)
    rows.put([row("a@slow.example"), row("b@slow.example")])
    rows.done(await rows.take(), Welcome.DOMAIN_TOO_MANY)
    again = await asyncio.wait_for(rows.take(), 30)
    assert again.address == "b@slow.example"


async def test_what_one_domain_keeps_waiting_is_given_back_beyond_a_limit() -> None:
    rows = rows_for(lines=9, per_domain=1)
    many = [row(f"c{number}@slow.example") for number in range(6)]
    rows.put(many)
    assert await rows.take() == many[0]
    assert await taken_at_once(rows) is None
    assert rows.take_too_many(2) == [many[5], many[4], many[3]]
    assert rows.take_too_many(2) == []
    assert rows.take_all() == [many[1], many[2]]


async def test_what_waits_for_a_domain_is_not_ready() -> None:
    rows = rows_for(lines=9, per_domain=1)
    rows.put([row("a@slow.example"), row("b@slow.example"), row("c@slow.example")])
    assert rows.ready == 3
    await rows.take()
    assert await taken_at_once(rows) is None
    assert rows.ready == 0
