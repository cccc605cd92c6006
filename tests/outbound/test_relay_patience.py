"""Relays that put a message off, break off, hang, or take their time over it."""

from __future__ import annotations

import asyncio
import email
import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import func, select

from mailbot.core.outbox_states import State
from mailbot.store import outbox
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, Plan, until
from tests.outbound.peer import (
    BOB,
    at_peer,
    in_order,
    let_time_come,
    outcomes,
    reasons,
    told,
)
from tests.outbound.sending import ANN, order_status, states
from tests.servers.scripted_smtp import (
    Answer,
    Peer,
    ScriptedSmtp,
    hang_up,
    reset,
    say_nothing,
    then_hang_up,
)
from tests.store.filling import campaign_under_way, claim, let_leases_run_out

ORDER, OFFER = f"order_status:{ANN}", f"campaign:{ANN}"


def is_now(database: Database, message: str, state: State) -> Callable[[], bool]:
    return lambda: states(database)[message] is state


def were(database: Database, expected: list[State]) -> bool:
    return outcomes(database) == expected


def sweep(database: Database) -> outbox.Recovered:
    """What the daemon does each few seconds."""
    with database.write() as conn:
        return outbox.recover_expired(conn, resend_after_seconds=0)


def message_ids(peer: ScriptedSmtp) -> list[str]:
    return [str(email.message_from_bytes(body)["Message-ID"]) for body in peer.bodies]


# Greylisting


@pytest.mark.parametrize("step", ["RCPT", "."])
async def test_a_greylisted_message_is_delivered_once_when_its_time_has_come(
    house: House, step: str
) -> None:
    later = b"451 4.7.1 Greylisted, try again in 5 minutes\r\n"
    good = b"250 2.0.0 ok\r\n"
    with ScriptedSmtp({step: in_order(later, later, good)}) as peer:
        order_status(house.database)
        async with at_peer(house, peer).sending() as sender:
            for tries in (1, 2):
                await until(partial(were, house.database, [State.DEFERRED] * tries))
                assert told(house.database).startswith("451 4.7.1 Greylisted")
                let_time_come(house.database)
                sender.wake()
            await until(is_now(house.database, ORDER, State.SENT))
    assert outcomes(house.database) == [State.DEFERRED, State.DEFERRED, State.SENT]
    assert len(set(message_ids(peer))) == 1
    assert len(peer.bodies) == (1 if step == "RCPT" else 3)


async def test_a_message_that_was_put_off_waits_for_minutes(house: House) -> None:
    with ScriptedSmtp({"RCPT": b"450 4.2.0 greylisted\r\n"}) as peer:
        order_status(house.database)
        async with at_peer(house, peer).sending():
            await until(is_now(house.database, ORDER, State.DEFERRED))
    with house.database.read() as conn:
        in_three_minutes = select(func.count()).where(rows.c.not_before > DatabaseTime(180))
        assert conn.execute(in_three_minutes).scalar_one() == 1
        in_seven_minutes = select(func.count()).where(rows.c.not_before > DatabaseTime(420))
        assert conn.execute(in_seven_minutes).scalar_one() == 0


# Breaking off


@pytest.mark.parametrize("leave", [hang_up, reset], ids=["hangs up", "breaks down"])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_relay_that_leaves_before_354_gets_the_message_again_and_once(
    house: House, step: str, leave: Callable[[Peer], None]
) -> None:
    good = b"354 go on\r\n" if step == "DATA" else b"250 ok\r\n"
    with ScriptedSmtp({step: in_order(leave, good)}) as peer:
        campaign_under_way(house.database, ANN)
        async with at_peer(house, peer).sending() as sender:
            await until(lambda: outcomes(house.database)[:1] not in ([], [None]))
            let_time_come(house.database)
            sender.wake()
            await until(is_now(house.database, OFFER, State.SENT), 20)
    first = State.QUEUED if step == "MAIL" else State.DEFERRED
    assert outcomes(house.database) == [first, State.SENT]
    assert len(peer.bodies) == 1


def within_the_body(leave: Callable[[Peer], None]) -> Answer:
    def read_a_little(peer: Peer) -> None:
        peer.read_until(b"\r\n")
        leave(peer)

    return read_a_little


LOST_ANSWERS: dict[str, tuple[str, Answer]] = {
    "leaves within the body": ("BODY", within_the_body(hang_up)),
    "breaks down within the body": ("BODY", within_the_body(reset)),
    "leaves after the dot": (".", hang_up),
    "breaks down after the dot": (".", reset),
    "leaves within its answer": (".", then_hang_up(b"250 2.0")),
    "hangs after the dot": (".", say_nothing),
    "answers nonsense": (".", b"HTTP/1.1 200 OK\r\n"),
}


def losing_one(loss: str) -> ScriptedSmtp:
    """A relay that loses the first message's answer, and takes the next message."""
    step, lost = LOST_ANSWERS[loss]
    return ScriptedSmtp({step: in_order(lost, b"" if step == "BODY" else b"250 2.0.0 taken\r\n")})


@pytest.mark.parametrize("loss", LOST_ANSWERS)
async def test_an_offer_whose_answer_was_lost_waits_for_a_person(house: House, loss: str) -> None:
    with losing_one(loss) as peer:
        campaign_under_way(house.database, ANN)
        async with at_peer(house, peer, dot_seconds=1).sending():
            await until(is_now(house.database, OFFER, State.UNCERTAIN))
            assert sweep(house.database).resent == ()
            # Bob's order goes over a new connection, behind whatever Ann's row would do.
            order_status(house.database, BOB)
            await until(is_now(house.database, f"order_status:{BOB}", State.SENT), 20)
    assert outcomes(house.database) == [State.UNCERTAIN]
    assert [line for line in peer.heard if ANN in line] == [f"RCPT TO:<{ANN}>"]
    assert reasons(house.database) == frozenset()


@pytest.mark.parametrize("loss", LOST_ANSWERS)
async def test_an_order_whose_answer_was_lost_goes_again_under_one_message_id(
    house: House, loss: str
) -> None:
    with losing_one(loss) as peer:
        order_status(house.database)
        async with at_peer(house, peer, dot_seconds=1).sending() as sender:
            await until(is_now(house.database, ORDER, State.UNCERTAIN))
            assert len(sweep(house.database).resent) == 1
            sender.wake()
            await until(is_now(house.database, ORDER, State.SENT), 20)
    assert outcomes(house.database) == [State.UNCERTAIN, State.SENT]
    [taken] = set(message_ids(peer))
    with house.database.read() as conn:
        assert taken == conn.execute(select(rows.c.message_id)).scalar_one()


# Hanging, and nonsense

FAULTS: dict[str, Answer] = {
    "hangs": say_nothing,
    "speaks HTTP": b"HTTP/1.1 400 Bad Request\r\n",
    "never ends its line": b"250 " + b"x" * 40_000,
    "says two answers in one": b"250 ok\r\n250 ok\r\n",
}
GOOD = {
    "GREETING": b"220 relay.test\r\n",
    "EHLO": b"250 relay.test\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
}


@pytest.mark.parametrize("step", GOOD)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_relay_that_hangs_or_speaks_nonsense_before_the_body_takes_no_message_twice(
    house: House, step: str, fault: str
) -> None:
    with ScriptedSmtp({step: in_order(FAULTS[fault], GOOD[step])}) as peer:
        order_status(house.database)
        async with at_peer(house, peer, timeout_seconds=1).sending() as sender:

            def is_sent_in_the_end() -> bool:
                let_time_come(house.database)
                sender.wake()
                return states(house.database)[ORDER] is State.SENT

            await until(is_sent_in_the_end, 30)
    assert len(peer.bodies) == 1
    assert State.UNCERTAIN not in outcomes(house.database)
    assert reasons(house.database) == frozenset()


# Taking its time


class Slow:
    """An answer to the final dot that comes when the test lets it."""

    def __init__(self, answer: bytes = b"250 2.0.0 taken\r\n") -> None:
        self._answer = answer
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, peer: Peer) -> None:
        self.reached.set()
        assert self.released.wait(30)
        peer.say(self._answer)


async def test_an_answer_that_takes_longer_than_a_lease_finds_the_lease_kept(house: House) -> None:
    """RFC 5321 §4.5.3.2.6 allows ten minutes; here it is more than two leases of two seconds."""
    slow, plan = Slow(), Plan(lease_seconds=2)
    with ScriptedSmtp({".": slow}) as peer:
        campaign_under_way(house.database, ANN)
        at = at_peer(house, peer, dot_seconds=30)
        at.plan = plan
        async with at.sending():
            assert await asyncio.to_thread(slow.reached.wait, 10)
            with house.database.read() as conn:
                begun = conn.execute(select(rows.c.lease_until)).scalar_one()

            def lease_was_kept_twice() -> bool:
                swept = sweep(house.database)
                assert (swept.queued, swept.uncertain) == ((), ())
                assert claim(house.database, by="daemon-2") == []
                with house.database.read() as conn:
                    until_now = conn.execute(select(rows.c.lease_until)).scalar_one()
                return bool((until_now - begun).total_seconds() > 2 * plan.lease_seconds)

            await until(lease_was_kept_twice, 20)
            assert states(house.database)[OFFER] is State.SENDING
            slow.released.set()
            await until(is_now(house.database, OFFER, State.SENT))
    assert outcomes(house.database) == [State.SENT]
    assert len(peer.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"250 2.0.0 taken\r\n", State.SENT),
        (b"550 5.1.1 no such user\r\n", State.BOUNCED),
        (b"451 4.3.0 later\r\n", State.UNCERTAIN),
        (b"554 5.6.0 content rejected\r\n", State.UNCERTAIN),
    ],
)
async def test_an_answer_that_comes_after_the_lease_was_lost_still_counts_where_it_is_plain(
    house: House, answer: bytes, state: State
) -> None:
    """Somebody has called the row uncertain meanwhile; what is retried is decided there alone."""
    slow = Slow(answer)
    with ScriptedSmtp({".": slow}) as peer:
        campaign_under_way(house.database, ANN)
        async with at_peer(house, peer, dot_seconds=30).sending():
            assert await asyncio.to_thread(slow.reached.wait, 10)
            let_leases_run_out(house.database)
            assert len(sweep(house.database).uncertain) == 1
            assert states(house.database)[OFFER] is State.UNCERTAIN
            slow.released.set()
            await until(lambda: outcomes(house.database) != [None])
    assert states(house.database)[OFFER] is state
    assert len(peer.bodies) == 1
