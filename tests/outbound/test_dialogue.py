"""A dialogue reads replies however they arrive, and never takes one for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.outbound.dialogue import Dialogue, GarbledReply


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self._is_closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += bytes(data)


def dialogue() -> Dialogue:
    return Dialogue.take_over(Wire())


async def replies(of: Dialogue, count: int) -> list[tuple[int, str]]:
    return [await of.reply(5) for _ in range(count)]


async def test_lines_of_one_reply_are_one_text() -> None:
    talk = dialogue()
    talk.data_received(b"250-first\r\n250-\r\n250 last\r\n")
    assert await talk.reply(5) == (250, "first\n\nlast")


async def test_a_code_alone_is_a_reply() -> None:
    talk = dialogue()
    talk.data_received(b"354\r\n250\n")
    assert await replies(talk, 2) == [(354, ""), (250, "")]


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_packets_may_be_cut_anywhere(cuts: list[int]) -> None:
    stream = b"250-one\r\n250 two\r\n421 4.7.0 gr\xc3\xbc\xdfe \xff\r\n"
    places = sorted({*cuts, 0, len(stream)} & set(range(len(stream) + 1)))

    async def scenario() -> None:
        talk = dialogue()
        for start, end in pairwise(places):
            talk.data_received(stream[start:end])
        assert await replies(talk, 2) == [(250, "one\ntwo"), (421, "4.7.0 grü\udcdfe \udcff")]
        assert not talk.has_unread

    asyncio.run(scenario())


@pytest.mark.parametrize("line", [
    b"HTTP/1.1 400 Bad Request\r\n", b"25\r\n", b"\r\n", b"999 ok\r\n", b"150 ok\r\n",
    b"250ok\r\n", b"250-one\r\n550 two\r\n", b"250 " + b"x" * 9000,
    b"250-" + b"x" * 80 + b"\r\n" + (b"250-" + b"x" * 996 + b"\r\n") * 70,
])  # fmt: skip
async def test_what_is_no_reply_ends_the_dialogue(line: bytes) -> None:
    talk = dialogue()
    talk.data_received(line)
    with pytest.raises(GarbledReply):
        await talk.reply(5)
    talk.data_received(b"250 ok\r\n")
    with pytest.raises(GarbledReply):
        await talk.reply(5)


async def test_what_nobody_asked_for_is_seen() -> None:
    talk = dialogue()
    seen = [talk.has_unread]
    for part in (b"25", b"0 ok\r\n"):
        talk.data_received(part)
        seen.append(talk.has_unread)
    await talk.reply(5)
    assert [*seen, talk.has_unread] == [False, True, True, False]


async def test_what_came_before_the_end_can_still_be_read() -> None:
    talk = dialogue()
    talk.data_received(b"421 bye\r\n")
    talk.connection_lost(None)
    assert not talk.is_open
    assert await talk.reply(5) == (421, "bye")
    with pytest.raises(ConnectionError):
        await talk.reply(5)
    with pytest.raises(ConnectionError):
        talk.say(b"NOOP\r\n")


async def test_who_waits_learns_why_it_ended() -> None:
    talk = dialogue()
    waiting = asyncio.create_task(talk.reply(60))
    await asyncio.sleep(0)
    talk.connection_lost(BrokenPipeError(32, "broken"))
    with pytest.raises(BrokenPipeError):
        await waiting


async def test_no_answer_in_time_ends_the_dialogue() -> None:
    talk = dialogue()
    with pytest.raises(TimeoutError):
        await talk.reply(0.02)
    # Late, it would be taken for the answer to the next command.
    talk.data_received(b"250 ok\r\n")
    with pytest.raises(TimeoutError):
        await talk.reply(5)


def answer_after(seconds: float, talk: Dialogue) -> Callable[[], object]:
    return asyncio.get_running_loop().call_later(seconds, talk.data_received, b"250 ok\r\n").cancel


async def test_each_reply_has_its_own_time() -> None:
    """A short wait after a long one, and a long one while the timer of a short one still runs."""
    talk = dialogue()
    answer_after(0.01, talk)
    assert await talk.reply(600) == (250, "ok")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(talk.reply(0.02), 10)
    talk = dialogue()
    answer_after(0.01, talk)
    assert await talk.reply(0.05) == (250, "ok")
    answer_after(0.2, talk)
    assert await talk.reply(30) == (250, "ok")
    assert talk.is_open


async def test_commands_go_out_as_they_are() -> None:
    wire = Wire()
    talk = Dialogue.take_over(wire)
    talk.say(b"MAIL FROM:<>\r\n")
    assert wire.said == b"MAIL FROM:<>\r\n"
    assert wire.protocol is talk
