"""What a relay offers, and one that changes its mind, through the whole sender."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailbot.core.outbox_states import State
from mailbot.store import outbox
from mailbot.store.engine import Database
from tests.outbound.conftest import House, Plan, until
from tests.outbound.peer import BOB, at_peer, commands, in_order, outcomes, reasons, told
from tests.outbound.sending import ANN, order_status, states
from tests.people import address, person
from tests.servers.certificates import Authority
from tests.servers.scripted_smtp import Answer, Peer, ScriptedSmtp, then_hang_up
from tests.store.filling import campaign_under_way

HERE = "IP:127.0.0.1"
ORDER, TO_BOB = f"order_status:{ANN}", f"order_status:{BOB}"
JORG = "jörg@example.org"
LOGIN: dict[str, Any] = {"username": "mailbot", "password_file": "relay-password"}
WELCOME = b"235 2.7.0 welcome\r\n"
OK = b"250 2.0.0 ok\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def are(database: Database, state: State, *messages: str) -> Callable[[], bool]:
    return lambda: all(states(database)[message] is state for message in messages)


def offering(*extensions: str) -> bytes:
    lines = ["relay.test", *extensions]
    return (
        "".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode()
    )


# What it does not offer


async def test_a_relay_that_offers_nothing_gets_plain_ascii_and_no_parameters(
    house: House,
) -> None:
    """Without 8BITMIME not one byte above 127 may go out (RFC 6152), umlauts or not."""
    with house.database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(ANN), person=person(ANN),
            fields={"order_number": "1001 für Jörg 茶"}, idempotency_key="o1",
            our_domain="shop.example",
        )  # fmt: skip
    with ScriptedSmtp(extensions=()) as peer:
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, ORDER))
    [body] = peer.bodies
    assert body.isascii()
    assert commands(peer, "MAIL")[0].endswith(">"), "no SIZE, BODY or SMTPUTF8"
    assert [line.split()[0] for line in peer.heard] == ["EHLO", "MAIL", "RCPT", "DATA"]


async def test_nothing_is_said_before_the_answer_to_what_was_said(house: House) -> None:
    """Without PIPELINING (RFC 2920) a relay may throw away what comes too early."""
    too_early: list[bytes] = []

    def at_leisure(answer: bytes) -> Answer:
        def say(peer: Peer) -> None:
            peer.connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                too_early.append(peer.connection.recv(1))
            peer.connection.settimeout(20)
            peer.say(answer)

        return say

    answers: dict[str, Answer] = {
        "GREETING": at_leisure(b"220 relay.test\r\n"),
        "EHLO": at_leisure(offering("SIZE")),
        "MAIL": at_leisure(OK),
        "RCPT": at_leisure(OK),
        "DATA": at_leisure(b"354 go on\r\n"),
        ".": at_leisure(OK),
    }
    with ScriptedSmtp(answers) as peer:
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, ORDER, TO_BOB))
    assert too_early == []


async def test_without_smtputf8_only_who_needs_it_is_refused_and_nobody_suppressed(
    house: House,
) -> None:
    with ScriptedSmtp(extensions=("8BITMIME",)) as peer:
        order_status(house.database, JORG)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, TO_BOB))
            await until(are(house.database, State.REJECTED, f"order_status:{JORG}"))
    assert told(house.database, JORG).split()[1] == "5.6.7"
    assert reasons(house.database, JORG) == frozenset()
    assert commands(peer, "RCPT") == [f"RCPT TO:<{BOB}>"]


# A relay that changes its mind


async def test_each_connection_goes_by_what_was_offered_on_it(house: House) -> None:
    everything = offering("SIZE", "8BITMIME", "SMTPUTF8")
    offers = in_order(everything, offering("8BITMIME"), offering("SIZE"))
    house.plan = Plan(messages_per_connection=1)
    with ScriptedSmtp({"EHLO": offers}) as peer:
        for number, who in enumerate((ANN, BOB, "cid@example.com")):
            order_status(house.database, who, key=f"o{number}")
        async with at_peer(house, peer).sending():
            await until(lambda: set(states(house.database).values()) == {State.SENT})
    first, second, third = commands(peer, "MAIL")
    assert " SIZE=" in first and first.endswith(" BODY=8BITMIME")
    assert second.endswith("> BODY=8BITMIME")
    assert " SIZE=" in third and "BODY" not in third


async def test_smtputf8_that_is_offered_no_more_refuses_only_who_needs_it(house: House) -> None:
    offers = in_order(offering("8BITMIME", "SMTPUTF8"), offering("8BITMIME"))
    house.plan = Plan(messages_per_connection=1)
    with ScriptedSmtp({"EHLO": offers}) as peer:
        order_status(house.database, JORG)
        order_status(house.database, "käthe@example.org", key="o2")
        order_status(house.database, BOB, key="o3")
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, TO_BOB))
    assert states(house.database)[f"order_status:{JORG}"] is State.SENT
    assert states(house.database)["order_status:käthe@example.org"] is State.REJECTED
    assert commands(peer, "RCPT") == [f"RCPT TO:<{JORG}>", f"RCPT TO:<{BOB}>"]


async def test_a_login_that_is_offered_no_more_keeps_everything_queued_until_it_is(
    house: House,
) -> None:
    """Never without login, where one is asked for: the relay might take it and throw it away."""
    offers = in_order(offering("AUTH PLAIN"), offering("SIZE"), offering("AUTH PLAIN"))
    house.plan = Plan(messages_per_connection=1)
    with ScriptedSmtp({"EHLO": offers, "AUTH": WELCOME}) as peer:
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer, secret="tea", **LOGIN).sending():
            await until(are(house.database, State.SENT, ORDER, TO_BOB), 20)
    said = [line.split()[0] for line in peer.heard if line.split()[0] in ("EHLO", "AUTH", "MAIL")]
    assert said == ["EHLO", "AUTH", "MAIL", "EHLO", "EHLO", "AUTH", "MAIL"]


async def test_starttls_that_is_offered_no_more_sends_nothing_in_plain_text(
    house: House, authority: Authority
) -> None:
    offers = in_order(offering("STARTTLS"), offering("SIZE"), offering("SIZE"))
    answers: dict[str, Answer] = {"EHLO": offers, "STARTTLS": b"220 go on\r\n"}
    house.plan = Plan(messages_per_connection=1)
    with (
        ScriptedSmtp(answers, starttls=authority.server(HERE)) as peer,
        capture_logs() as logs,
    ):
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        at = at_peer(house, peer, security="starttls", ca_file=authority.ca_file)
        async with at.sending():
            await until(lambda: any(event["event"] == "relay_unavailable" for event in logs), 20)
    assert states(house.database) == {ORDER: State.SENT, TO_BOB: State.QUEUED}
    assert commands(peer, "RCPT") == [f"RCPT TO:<{ANN}>"]


async def test_a_recipient_who_is_taken_back_at_data_is_refused_and_not_suppressed(
    house: House,
) -> None:
    with ScriptedSmtp(
        {"DATA": in_order(b"554 5.5.1 no valid recipients\r\n", b"354 go on\r\n")}
    ) as peer:
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, TO_BOB))
            await until(are(house.database, State.REJECTED, ORDER))
    assert reasons(house.database) == frozenset()
    assert "RSET" in peer.heard, "what was begun for Ann is not continued for Bob"


@pytest.mark.parametrize("together", [True, False], ids=["in one breath", "at the next MAIL"])
async def test_taken_and_then_421_is_sent_once_and_the_next_goes_over_a_new_line(
    house: House, together: bool
) -> None:
    closing = b"421 4.3.2 closing\r\n"
    answers: dict[str, Answer] = (
        {".": in_order(OK + closing, OK)} if together else {"MAIL": in_order(OK, closing, OK)}
    )
    with ScriptedSmtp(answers) as peer:
        order_status(house.database)
        order_status(house.database, BOB, key="o2")
        async with at_peer(house, peer).sending():
            await until(are(house.database, State.SENT, ORDER, TO_BOB), 20)
    assert outcomes(house.database) == [State.SENT]
    assert outcomes(house.database, BOB) == [State.QUEUED, State.SENT]
    assert len(peer.bodies) == len(commands(peer, "EHLO")) == 2


async def test_a_relay_that_takes_a_campaign_and_then_closes_each_time_gets_all_of_it_once(
    house: House,
) -> None:
    def take_and_leave(peer: Peer) -> None:
        peer.say(b"250 2.0.0 taken\r\n421 4.3.2 one message a connection\r\n")
        raise ConnectionError("sent away")

    people = [f"c{number}@example.org" for number in range(8)]
    with ScriptedSmtp({".": take_and_leave}) as peer:
        campaign_under_way(house.database, *people)
        async with at_peer(house, peer).sending():
            await until(lambda: set(states(house.database).values()) == {State.SENT}, 30)
    # The body is written down after its answer: the relay leaves before it is.
    assert sorted(commands(peer, "RCPT")) == sorted(f"RCPT TO:<{who}>" for who in people)


async def test_a_connection_that_was_closed_while_idle_is_no_sign_of_trouble(house: House) -> None:
    with ScriptedSmtp({".": then_hang_up(OK)}) as peer, capture_logs() as logs:
        order_status(house.database)
        async with at_peer(house, peer).sending() as sender:
            await until(are(house.database, State.SENT, ORDER))
            assert peer.left.wait(5)
            order_status(house.database, BOB, key="o2")
            sender.wake()
            await until(are(house.database, State.SENT, TO_BOB), 20)
    events = {event["event"] for event in logs}
    assert not events & {"relay_trouble", "relay_unavailable"}
    assert commands(peer, "RCPT") == [f"RCPT TO:<{who}>" for who in (ANN, BOB)]
