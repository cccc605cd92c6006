"""Every kind of reply at every step, through the whole sender: what becomes of the row.

Ann's message meets the reply; Bob's, which comes after it, has to go through all the same.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store.engine import Database
from tests.outbound.conftest import House, until
from tests.outbound.peer import BOB, at_peer, commands, in_order, outcomes, reasons, told
from tests.outbound.sending import ANN, order_status, states
from tests.servers.scripted_smtp import Answer, ScriptedSmtp
from tests.store.filling import campaign_under_way

GOOD: dict[str, Answer] = {
    "GREETING": b"220 relay.test\r\n",
    "EHLO": b"250-relay.test\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 taken\r\n",
}
BY_PASSWORD: dict[str, Any] = {"username": "mailbot", "password_file": "relay-password"}
ORDER = f"order_status:{ANN}"
TO_BOB = f"order_status:{BOB}"


def both_orders(database: Database) -> None:
    order_status(database)
    order_status(database, BOB, key="o2")


def are(database: Database, **expected: State) -> Callable[[], bool]:
    named = {"ann": ORDER, "bob": TO_BOB}
    return lambda: all(states(database).get(named[who]) is state for who, state in expected.items())


D, B, R, U = State.DEFERRED, State.BOUNCED, State.REJECTED, State.UNCERTAIN


@pytest.mark.parametrize(
    ("step", "reply", "state"),
    [
        ("RCPT", "450 4.2.0 <ann@example.org>: Recipient address rejected: Greylisted", D),
        ("RCPT", "451 4.7.1 try again later", D),
        ("RCPT", "452 4.5.3 too many recipients", D),
        ("RCPT", "421 4.7.0 too many messages", D),
        ("RCPT", "450 mailbox busy", D),
        ("RCPT", "550 5.1.1 no such user", B),
        ("RCPT", "550 5.1.10 null MX", B),
        ("RCPT", "550 No such user here", B),
        ("RCPT", "552 5.2.2 mailbox full", R),
        ("RCPT", "550 5.7.1 blocked", R),
        ("RCPT", "553 sorry", R),
        ("RCPT", "554 5.7.1 <ann@example.org>: Relay access denied", D),
        ("RCPT", "530 5.7.0 authentication required", D),
        ("DATA", "451 4.3.0 later", D),
        ("DATA", "421 4.3.2 shutting down", D),
        ("DATA", "554 5.5.1 no valid recipients", R),
        (".", "451 4.7.1 greylisted", D),
        (".", "452 4.3.1 no room", D),
        (".", "454 Throttling failure: Maximum sending rate exceeded.", D),
        (".", "421 4.7.28 unusual rate", D),
        (".", "550 5.4.5 Daily user sending limit exceeded", D),
        (".", "550 5.1.1 no such user", B),
        (".", "552 5.3.4 too large", R),
        (".", "554 5.6.0 content rejected", R),
        (".", "354 go on", U),
    ],
)
async def test_a_reply_about_a_message_touches_no_other(
    house: House, step: str, reply: str, state: State
) -> None:
    with ScriptedSmtp({step: in_order(f"{reply}\r\n".encode(), GOOD[step])}) as peer:
        both_orders(house.database)
        async with at_peer(house, peer).sending():
            await until(are(house.database, ann=state, bob=State.SENT))
    assert outcomes(house.database) == [state]
    assert told(house.database) == reply
    assert reasons(house.database) == ({Reason.UNDELIVERABLE} if state is B else frozenset())
    assert sum(ANN.encode() in body for body in peer.bodies) == (step == ".")
    assert sum(BOB.encode() in body for body in peer.bodies) == 1


ABOUT_US = [
    ("GREETING", "554 5.7.1 listed"),
    ("GREETING", "421 4.3.2 too many connections"),
    ("EHLO", "550 5.7.1 we do not know you"),
    ("EHLO", "451 4.3.0 later"),
    ("AUTH", "535 5.7.8 authentication failed"),
    ("AUTH", "454 4.7.0 temporary failure"),
    ("MAIL", "550 5.7.1 sender not allowed"),
    ("MAIL", "553 5.1.8 sender's domain unknown"),
    ("MAIL", "530 5.7.0 authentication required"),
    ("MAIL", "451 4.3.0 later"),
    ("MAIL", "452 4.3.1 no room"),
    ("MAIL", "421 4.3.2 shutting down"),
]


@pytest.mark.parametrize(("step", "reply"), ABOUT_US)
async def test_a_reply_about_us_costs_everybody_nothing_but_time(
    house: House, step: str, reply: str
) -> None:
    """Refused once, the row goes back to the queue, the breaker opens, and then it is sent."""
    answers: dict[str, Answer] = {**GOOD, step: in_order(f"{reply}\r\n".encode(), GOOD[step])}
    with ScriptedSmtp(answers) as peer:
        both_orders(house.database)
        async with at_peer(house, peer, secret="tea", **BY_PASSWORD).sending():
            await until(are(house.database, ann=State.SENT, bob=State.SENT), 20)
    before = [State.QUEUED] if step == "MAIL" else []
    assert outcomes(house.database) == [*before, State.SENT]
    assert reasons(house.database) == frozenset()
    assert [line for line in peer.heard if ANN in line] == [f"RCPT TO:<{ANN}>"]
    assert len(peer.bodies) == 2


@pytest.mark.parametrize("reply", ["550 5.7.1 sender not allowed", "451 4.3.0 later"])
async def test_a_relay_that_refuses_our_sender_is_asked_by_one_row_at_a_time(
    house: House, reply: str
) -> None:
    with ScriptedSmtp({"MAIL": f"{reply}\r\n".encode()}) as peer:
        people = [f"c{number}@example.org" for number in range(40)]
        campaign_under_way(house.database, *people)
        async with at_peer(house, peer).sending():
            await until(lambda: len(commands(peer, "MAIL")) >= 3, 20)
            asked = len(commands(peer, "MAIL"))
    # The breaker's waits are 1, 2, 4 … seconds: forty rows would have asked forty times at once.
    assert asked <= 12, "those that were claimed with the first, and one each time from then on"
    assert set(states(house.database).values()) == {State.QUEUED}
    assert commands(peer, "RCPT") == []
    assert all(reasons(house.database, who) == frozenset() for who in people)


async def test_a_row_too_large_for_the_relay_is_refused_alone(house: House) -> None:
    """RFC 1870 §6.1: the one thing that MAIL FROM may say about a message."""
    with ScriptedSmtp({"MAIL": in_order(b"552 5.3.4 too large\r\n", GOOD["MAIL"])}) as peer:
        both_orders(house.database)
        async with at_peer(house, peer).sending():
            await until(are(house.database, ann=State.REJECTED, bob=State.SENT))
    assert reasons(house.database) == frozenset()


async def test_the_login_is_said_once_for_a_connection_and_not_for_a_message(house: House) -> None:
    with ScriptedSmtp(GOOD) as peer:
        both_orders(house.database)
        async with at_peer(house, peer, secret="tea", **BY_PASSWORD).sending():
            await until(are(house.database, ann=State.SENT, bob=State.SENT))
    secret = base64.b64encode(b"\0mailbot\0tea").decode()
    assert commands(peer, "AUTH") == [f"AUTH PLAIN {secret}"]
