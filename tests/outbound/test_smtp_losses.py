"""A relay that breaks off: which stage is told, in which words, and that the line is dead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mailbot.core.errors import RelayLost, RelayUnavailable
from mailbot.core.smtp_replies import Reply, Stage
from mailbot.outbound import smtp
from mailbot.outbound.smtp import RelayConnection
from tests.outbound.relay_line import (
    LARGE,
    MESSAGE,
    assert_gone,
    assert_plain,
    connected,
    each_step,
    relay_settings,
    send,
)
from tests.servers.scripted_smtp import (
    Answer,
    Peer,
    ScriptedSmtp,
    after,
    hang_up,
    reset,
    say_nothing,
)

LOSSES: dict[str, Answer] = {
    "hangs up": hang_up,
    "breaks down": reset,
    "says nothing": say_nothing,
    "answers too late": after(1.3, b"250 ok\r\n"),
    "speaks HTTP": b"HTTP/1.1 400 Bad Request\r\n",
    "says a code that is none": b"999 2.0.0 ok\r\n",
    "says two digits": b"25\r\n",
    "says an empty line": b"\r\n",
    "never ends its line": b"250 " + b"x" * 40_000,
}


@each_step
@pytest.mark.parametrize("loss", LOSSES)
async def test_a_loss_tells_its_stage_in_plain_words_and_the_line_is_dead(
    step: str, stage: Stage, loss: str
) -> None:
    with ScriptedSmtp({step: LOSSES[loss]}) as relay:
        async with connected(relay, dot_seconds=1) as connection:
            with pytest.raises(RelayLost) as lost:
                await send(connection)
            assert lost.value.stage == stage
            assert_plain(lost.value)
            await assert_gone(relay, connection)
    assert len(relay.bodies) == (stage is Stage.DOT)


@pytest.mark.parametrize("leave", [hang_up, reset])
@pytest.mark.parametrize("message", [MESSAGE, LARGE], ids=["small", "large"])
async def test_a_loss_within_the_body_is_a_loss_at_the_dot(
    message: bytes, leave: Callable[[Peer], None]
) -> None:
    def read_a_little(peer: Peer) -> None:
        peer.read_until(message[:10])
        leave(peer)

    with ScriptedSmtp({"BODY": read_a_little}) as relay:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost) as lost:
                await send(connection, message)
            assert lost.value.stage == Stage.DOT
            assert_plain(lost.value)
            await assert_gone(relay, connection)


async def test_250_instead_of_354_sends_no_body_and_is_a_loss_before_it() -> None:
    with ScriptedSmtp({"DATA": b"250 2.0.0 ok\r\n"}) as relay:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost, match="answered DATA with 250") as lost:
                await send(connection)
            assert lost.value.stage == Stage.DATA
            await assert_gone(relay, connection)
    assert relay.heard[-1] == "DATA"


@pytest.mark.parametrize(
    ("step", "answer", "stage"),
    [
        ("MAIL", b"250 ok\r\n250 ok\r\n", Stage.RCPT),
        ("RCPT", b"250 ok\r\n550 5.1.1 on second thought\r\n", Stage.DATA),
        ("DATA", b"354 go on\r\n250 2.0.0 taken before it came\r\n", Stage.DATA),
        (".", b"250 ok\r\n250 ok\r\n", Stage.MAIL),
    ],
)
async def test_an_answer_too_many_is_never_taken_for_the_answer_to_the_next_command(
    step: str, answer: bytes, stage: Stage
) -> None:
    with ScriptedSmtp({step: answer}) as relay:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost, match="an answer too many") as lost:
                await send(connection)
                await send(connection)
            assert lost.value.stage == stage
            await assert_gone(relay, connection)


async def test_an_answer_too_many_in_the_greeting_makes_the_relay_unavailable() -> None:
    with ScriptedSmtp({"GREETING": b"220 hello\r\n250 ok\r\n"}) as relay:
        connection = RelayConnection(relay_settings(relay.port), None)
        with pytest.raises(RelayUnavailable, match="an answer too many"):
            await connection.connect()
        await assert_gone(relay, connection)
    assert relay.heard == []


async def test_a_connection_that_the_relay_closed_meanwhile_is_lost_before_anything_was_said() -> (
    None
):
    with ScriptedSmtp({"RSET": hang_up}) as relay:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost):
                await connection.reset()
            with pytest.raises(RelayLost, match="had closed the connection") as lost:
                await send(connection)
    assert lost.value.stage == Stage.MAIL


async def test_a_refused_rset_closes_the_connection() -> None:
    with ScriptedSmtp({"RSET": b"503 5.5.1 not now\r\n"}) as relay:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost, match="RSET with 503"):
                await connection.reset()
            await assert_gone(relay, connection)


@pytest.mark.parametrize("answer", [hang_up, say_nothing, b"421 bye\r\n", b"nonsense\r\n"])
async def test_whatever_quit_is_answered_closing_is_quiet(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "_QUIT_TIMEOUT_SECONDS", 0.3)
    with ScriptedSmtp({"QUIT": answer}) as relay:
        async with connected(relay) as connection:
            await connection.close()
            await connection.close()
            await assert_gone(relay, connection)


# Hanging up in the middle, under both event loops: their transports are not the same classes.


Run = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Hold:
    """A relay that asked for the body and reads none of it until the test lets it."""

    def __init__(self, words: bytes = b"") -> None:
        self._words = words
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.say(self._words)
        self.reached.set()
        assert self.released.wait(10)


@both_loops
def test_cancelled_within_the_body_the_rest_is_never_sent(run: Run) -> None:
    hold = Hold()

    async def scenario() -> None:
        async with connected(relay) as connection:
            sending = asyncio.create_task(send(connection, LARGE))
            assert await asyncio.to_thread(hold.reached.wait, 5)
            await asyncio.sleep(0.1)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            hold.released.set()
            await assert_gone(relay, connection)

    with ScriptedSmtp({"BODY": hold}) as relay:
        run(scenario())
    assert relay.bodies == []


@both_loops
def test_aborted_within_the_body_the_rest_is_never_sent(run: Run) -> None:
    hold = Hold()

    async def scenario() -> None:
        async with connected(relay) as connection:
            sending = asyncio.create_task(send(connection, LARGE))
            assert await asyncio.to_thread(hold.reached.wait, 5)
            await asyncio.sleep(0.1)
            connection.abort()
            hold.released.set()
            with pytest.raises(RelayLost) as lost:
                await sending
            assert lost.value.stage == Stage.DOT

    with ScriptedSmtp({"BODY": hold}) as relay:
        run(scenario())
        assert relay.left.wait(5)
    assert relay.bodies == []


@both_loops
@pytest.mark.parametrize("loss", ["hangs up", "breaks down", "says nothing"])
def test_a_loss_at_the_dot_is_told_alike_under_both_loops(run: Run, loss: str) -> None:
    async def scenario() -> None:
        async with connected(relay, dot_seconds=1) as connection:
            with pytest.raises(RelayLost) as lost:
                await send(connection)
            assert lost.value.stage == Stage.DOT
            assert_plain(lost.value)
            await assert_gone(relay, connection)

    with ScriptedSmtp({".": LOSSES[loss]}) as relay:
        run(scenario())


@both_loops
def test_a_250_before_the_body_was_sent_is_not_believed(run: Run) -> None:
    hold = Hold(b"250 2.0.0 taken\r\n")

    async def scenario() -> None:
        async with connected(relay) as connection:
            with pytest.raises(RelayLost, match="before it had the message") as lost:
                await send(connection, LARGE)
            assert lost.value.stage == Stage.DOT
            hold.released.set()
            await assert_gone(relay, connection)

    with ScriptedSmtp({"BODY": hold}) as relay:
        run(scenario())


async def test_a_refusal_before_the_body_was_sent_stands_and_the_rest_is_never_sent() -> None:
    hold = Hold(b"552 5.3.4 too large\r\n")
    with ScriptedSmtp({"BODY": hold}) as relay:
        async with connected(relay) as connection:
            assert await send(connection, LARGE) == Reply(552, "5.3.4", "too large")
            hold.released.set()
            await assert_gone(relay, connection)
    assert relay.bodies == []
