"""A daemon claims rows a second time that still wait in it: nobody gets two, and no line hangs.

So it is after a database was away for longer than a lease: the sweep gives the rows back to the
queue, and the very daemon that still holds them claims them again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from mailbot.core.outbox_states import State
from mailbot.outbound.claims import Claims
from mailbot.outbound.rounds import Rounds
from mailbot.outbound.settlement import Ended, Settlement
from mailbot.store import outbox
from mailbot.store.engine import Database
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import is_over, order_status, states_of_all
from tests.store.filling import campaign_under_way, let_leases_run_out

pytestmark = pytest.mark.on_both_engines

PEOPLE = [f"c{number}@example.org" for number in range(6)]


def take_over(database: Database) -> None:
    """Every lease ran out, and somebody swept."""
    let_leases_run_out(database)
    with database.write() as conn:
        outbox.recover_expired(conn, resend_after_seconds=0)


def claimed_again(database: Database) -> bool:
    with database.read() as conn:
        return not conn.execute(select(rows.c.id).where(rows.c.state == State.QUEUED)).all()


@pytest.mark.parametrize("connections", [1, 2, 4])
@pytest.mark.parametrize("kind", ["campaign", "order_status"])
async def test_rows_that_are_claimed_again_go_out_once(
    house: House, kind: str, connections: int
) -> None:
    house.connections = connections
    if kind == "campaign":
        campaign_under_way(house.database, *PEOPLE)
    else:
        for who in PEOPLE:
            order_status(house.database, who, who)
    held: list[str] = []
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(step: str, recipient: str) -> None:
        if step == "." and not goes_on.is_set():
            held.append(recipient)
            asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result(20)

    house.relay.on_step = hold
    async with house.sending() as sender:
        lines = connections if kind == "order_status" else max(1, connections - 1)
        await until(lambda: len(held) == lines)
        await asyncio.to_thread(take_over, house.database)
        sender.wake()
        await until(lambda: claimed_again(house.database))
        goes_on.set()
        await until(is_over(house.database))
        order_status(house.database, "zoe@example.org", "afterwards")
        await until(lambda: len(house.relay.to("zoe@example.org")) == 1)
    assert set(states_of_all(house.database)) == {State.SENT}
    copies = {who: len(house.relay.to(who)) for who in PEOPLE}
    if kind == "order_status":
        # What was with the relay was in doubt, and order status in doubt is sent again.
        assert copies == {who: 2 if who in held else 1 for who in PEOPLE}
    else:
        assert copies == dict.fromkeys(PEOPLE, 1)


async def test_two_senders_of_one_identity_send_each_message_once(house: House) -> None:
    """A machine that was copied while it ran: even the random part of the name is the same."""
    people = [f"c{number}@example.org" for number in range(100)]
    campaign_under_way(house.database, *people)
    async with house.sending() as one, house.sending() as other:
        assert one is not other
        await until(is_over(house.database), 30)
    assert states_of_all(house.database) == [State.SENT] * 100
    assert sorted(taken.recipient for taken in house.relay.taken) == sorted(people)


async def test_only_the_latest_claim_of_a_row_is_sure(database: Database) -> None:
    """Or a message that was given up on long ago would go out under the lease of its successor."""
    order_status(database)
    claims = Claims(database, "daemon-1", 30)
    [old] = await claims.take(10, with_campaigns=False)
    assert claims.is_sure(old)
    take_over(database)
    [new] = await claims.take(10, with_campaigns=False)
    assert new.id == old.id
    assert not claims.is_sure(old)
    claims.forget(old)
    await claims.give_back([old])
    assert claims.is_sure(new)
    assert states_of_all(database) == [State.CLAIMED]


async def test_one_row_begun_twice_in_a_round_is_begun_once(database: Database) -> None:
    order_status(database)
    claims = Claims(database, "daemon-1", 30)
    [row] = await claims.take(10, with_campaigns=False)
    rounds = Rounds(database, claims, Settlement(timedelta(hours=1), "1"), lambda *_: None)
    running = asyncio.create_task(rounds.run())
    try:
        async with asyncio.timeout(10):
            begun = await asyncio.gather(rounds.begin(row), rounds.begin(row))
    finally:
        running.cancel()
    assert [one is None for one in begun].count(False) == 1


async def test_two_attempts_of_one_row_that_end_in_one_round_are_both_written_down(
    database: Database,
) -> None:
    """A late answer to the first, while the second is under way in the same daemon."""
    order_status(database)
    claims = Claims(database, "daemon-1", 30)
    told: list[tuple[int, State | None]] = []
    rounds = Rounds(
        database, claims, Settlement(timedelta(hours=1), "1"),
        lambda ended, state: told.append((ended.attempt.attempt_id, state)),
    )  # fmt: skip
    running = asyncio.create_task(rounds.run())
    try:
        attempts = []
        for _ in range(2):
            [row] = await claims.take(10, with_campaigns=False)
            begun = await rounds.begin(row)
            assert begun is not None
            attempts.append(begun.attempt)
            if len(attempts) == 1:
                take_over(database)
        first, second = attempts
        rounds.settle(Ended(first, first.ends(State.SENT, "250 the first")))
        rounds.settle(Ended(second, second.ends(State.DEFERRED, "451 the second")))
        await until(lambda: len(told) == 2)
    finally:
        running.cancel()
    with database.read() as conn:
        found = conn.execute(select(delivery_attempts.c.id, delivery_attempts.c.outcome))
        outcomes = {row.id: row.outcome for row in found}
        state = conn.execute(select(rows.c.state)).scalar_one()
    assert outcomes == {first.attempt_id: State.SENT, second.attempt_id: State.DEFERRED}
    assert state == State.DEFERRED
    assert dict(told) == {first.attempt_id: None, second.attempt_id: State.DEFERRED}
