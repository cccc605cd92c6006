"""What becomes of a row after the relay's answer, or after none."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store import outbox, suppressions
from mailbot.store.columns import DatabaseTime
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, is_over, order_status, states
from tests.people import person
from tests.store.filling import campaign_under_way


@pytest.mark.parametrize(("reply", "state"), [
    ("450 4.2.0 greylisted", State.DEFERRED),
    ("550 5.1.1 no such user", State.BOUNCED),
    ("550 5.7.1 we do not like you", State.REJECTED),
    ("", State.DEFERRED),  # hangs up before 354
])  # fmt: skip
async def test_the_relays_word_about_a_recipient(house: House, reply: str, state: State) -> None:
    house.relay.script.rcpt[ANN] = reply
    campaign_under_way(house.database, ANN, "bob@example.org")
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": state,
        "campaign:bob@example.org": State.SENT,
    }


async def test_a_bounce_at_rcpt_suppresses_as_undeliverable(house: House) -> None:
    house.relay.script.rcpt[ANN] = "550 5.1.1 no such user"
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        assert suppressions.reasons(conn, person(ANN)) == {Reason.UNDELIVERABLE}


async def test_a_rejected_message_suppresses_nobody(house: House) -> None:
    house.relay.script.rcpt[ANN] = "554 5.7.1 spam"
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        assert suppressions.reasons(conn, person(ANN)) == frozenset()


async def test_marketing_whose_last_answer_was_lost_is_uncertain_and_not_sent_again(
    house: House,
) -> None:
    house.relay.script.hang_up_after_dot = True
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.UNCERTAIN)
        with house.database.write() as conn:
            outbox.recover_expired(conn, resend_after_seconds=0)
        await asyncio.sleep(1.2)
    assert len(house.relay.taken) == 1


async def test_a_relay_that_loses_every_answer_does_not_make_a_whole_campaign_uncertain(
    house: House,
) -> None:
    house.relay.script.hang_up_after_dot = True
    campaign_under_way(house.database, *(f"c{number}@example.org" for number in range(30)))
    async with house.sending():
        await until(lambda: State.UNCERTAIN in states(house.database).values())
        await asyncio.sleep(0.5)
        assert list(states(house.database).values()).count(State.UNCERTAIN) <= house.connections


async def test_order_status_whose_answer_was_lost_is_sent_again_under_one_message_id(
    house: House,
) -> None:
    house.relay.script.hang_up_after_dot = True
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.UNCERTAIN)
        house.relay.script.hang_up_after_dot = False
        with house.database.write() as conn:
            assert len(outbox.recover_expired(conn, resend_after_seconds=0).resent) == 1
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
    assert len(house.relay.taken) == 2
    assert len({taken.message["Message-ID"] for taken in house.relay.taken}) == 1


async def test_a_deferred_row_is_sent_when_its_time_has_come(house: House) -> None:
    house.relay.script.rcpt[ANN] = "450 4.2.0 greylisted"
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.DEFERRED)
        house.relay.script.rcpt.clear()
        with house.database.write() as conn:
            conn.execute(update(rows).values(not_before=DatabaseTime(-1)))
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)


async def test_a_row_that_was_deferred_for_too_long_expires(house: House) -> None:
    house.relay.script.rcpt[ANN] = "450 4.2.0 greylisted"
    order_status(house.database)
    with house.database.write() as conn:
        conn.execute(update(rows).values(created_at=DatabaseTime(-73 * 3600)))
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.EXPIRED)


async def test_a_relay_that_refuses_our_marketing_sender_does_not_hold_order_status_up(
    house: House,
) -> None:
    house.relay.script.mail = "550 5.7.1 sender not allowed"
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: len(house.relay.commands) > 0)
        house.relay.script.mail = None
        order_status(house.database)
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.SENT, 15)


async def test_a_relay_that_is_down_costs_nothing_but_time(house: House) -> None:
    order_status(house.database)
    port = house.relay.port
    house.relay.stop()
    async with house.sending():
        await asyncio.sleep(0.5)
        assert states(house.database)[f"order_status:{ANN}"] is State.QUEUED
        revived = type(house.relay)(port=port).start()
        try:
            await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT, 15)
        finally:
            revived.stop()
    assert len(revived.taken) == 1
    with house.database.read() as conn:
        assert conn.execute(select(rows.c.attempts)).scalar_one() == 1
