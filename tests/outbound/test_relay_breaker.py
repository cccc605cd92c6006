"""Rows whose sender the relay refuses step aside: others are sent, and nobody knocks for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from mailbot.core.outbox_states import State
from mailbot.outbound import breaker
from mailbot.store import outbox
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.peer import BOB, at_peer, commands, outcomes, reasons
from tests.outbound.sending import ANN, opt_out, order_status, states
from tests.people import address, person
from tests.servers.scripted_smtp import Answer, Peer, ScriptedSmtp
from tests.store.filling import campaign_under_way

ORDER, OFFER = f"order_status:{ANN}", f"campaign:{BOB}"
REFUSED = b"550 5.1.7 we do not know this sender\r\n"
OK = b"250 2.1.0 ok\r\n"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker's pauses grow to five minutes; here to a fraction of a second."""
    monkeypatch.setattr(breaker, "_LONGEST", timedelta(seconds=0.1))


def senders_refused(relay: list[ScriptedSmtp], is_refused: Callable[[str], bool]) -> Answer:
    def answer(peer: Peer) -> None:
        sender = relay[0].heard[-1].partition("<")[2].partition(">")[0]
        peer.say(REFUSED if is_refused(sender) else OK)

    return answer


def is_now(database: Database, message: str, state: State) -> Callable[[], bool]:
    return lambda: states(database)[message] is state


def due(database: Database) -> int:
    """How many rows could be sent now."""
    with database.read() as conn:
        count = select(func.count()).where(
            rows.c.state == State.QUEUED, rows.c.not_before <= DatabaseTime()
        )
        return int(conn.execute(count).scalar_one())


async def test_orders_whose_sender_is_refused_do_not_keep_an_offer_waiting(house: House) -> None:
    """However many they are, and though they go first."""
    orders: set[str] = set()

    def is_refused(sender: str) -> bool:
        if len(orders) < count:
            orders.add(sender)
        return sender in orders

    count, relay = 14, list[ScriptedSmtp]()
    with ScriptedSmtp({"MAIL": senders_refused(relay, is_refused)}) as peer:
        relay.append(peer)
        for number in range(count):
            order_status(house.database, f"c{number}@example.org", key=f"k{number}")
        async with at_peer(house, peer).sending():
            await until(lambda: len(orders) == count, 30)
            campaign_under_way(house.database, BOB)
            await until(is_now(house.database, OFFER, State.SENT), 30)
            await until(lambda: due(house.database) == 0, 30)
    told = set(states(house.database).values())
    assert told == {State.QUEUED, State.SENT}, "not one order is given up"
    assert len(commands(peer, "MAIL")) <= 2 * count + 1, "each asked twice, and then stood aside"


async def test_one_row_that_is_refused_steps_aside_and_comes_back(house: House) -> None:
    relay, refused = list[ScriptedSmtp](), list[str]()

    def is_refused(sender: str) -> bool:
        if not refused:
            refused.append(sender)
        return sender in refused

    with ScriptedSmtp({"MAIL": senders_refused(relay, is_refused)}) as peer:
        relay.append(peer)
        order_status(house.database)
        async with at_peer(house, peer).sending() as sender:
            await until(lambda: outcomes(house.database) == [State.QUEUED] * 2, 20)
            with house.database.read() as conn:
                soon = select(func.count()).where(rows.c.not_before > DatabaseTime(30))
                assert conn.execute(soon).scalar_one() == 1
            order_status(house.database, BOB, key="o2")
            await until(is_now(house.database, f"order_status:{BOB}", State.SENT), 20)
            refused[:] = ["nobody@shop.example"]
            with house.database.write() as conn:
                conn.execute(rows.update().values(not_before=DatabaseTime(-1)))
            sender.wake()
            await until(is_now(house.database, ORDER, State.SENT), 20)
    assert outcomes(house.database) == [State.QUEUED, State.QUEUED, State.SENT]
    assert reasons(house.database) == frozenset()


def acknowledgement(database: Database) -> None:
    opt_out(database)
    with database.write() as conn:
        outbox.enqueue_acknowledgement(
            conn, address=address(ANN), person=person(ANN),
            fields={"in_reply_to": "<wish@example.org>", "references": ["<wish@example.org>"]},
            every_days=30, our_domain="shop.example",
        )  # fmt: skip


async def test_a_relay_that_takes_no_null_sender_still_gets_orders_and_offers(
    house: House,
) -> None:
    """Amazon SES answers 501 to MAIL FROM:<>, the sender of every acknowledgement."""
    relay = list[ScriptedSmtp]()
    with ScriptedSmtp({"MAIL": senders_refused(relay, lambda sender: not sender)}) as peer:
        relay.append(peer)
        acknowledgement(house.database)
        async with at_peer(house, peer).sending():
            await until(lambda: outcomes(house.database) == [State.QUEUED] * 2, 20)
            order_status(house.database)
            campaign_under_way(house.database, BOB)
            await until(is_now(house.database, ORDER, State.SENT), 20)
            await until(is_now(house.database, OFFER, State.SENT), 20)
    assert states(house.database)[f"acknowledgement:{ANN}"] is State.QUEUED


async def test_an_acknowledgement_is_given_up_after_three_days_and_an_order_is_not(
    house: House,
) -> None:
    with ScriptedSmtp({"MAIL": REFUSED}) as peer:
        acknowledgement(house.database)
        order_status(house.database, BOB)
        with house.database.write() as conn:
            conn.execute(rows.update().values(created_at=DatabaseTime(-73 * 3600)))
        async with at_peer(house, peer).sending():
            await until(is_now(house.database, f"acknowledgement:{ANN}", State.EXPIRED), 20)
            await until(lambda: len(outcomes(house.database, BOB)) >= 2, 20)
    assert outcomes(house.database) == [State.QUEUED, State.EXPIRED]
    assert set(outcomes(house.database, BOB)) == {State.QUEUED}
