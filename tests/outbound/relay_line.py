"""A connection to a test relay, one transaction over it, and what must hold after a loss."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mailbot.config import RelaySettings
from mailbot.core.errors import RelayError, RelayLost
from mailbot.core.smtp_replies import Reply, Stage
from mailbot.outbound.smtp import RelayConnection
from tests.servers import relay as relays
from tests.servers import smtp_sink
from tests.servers.scripted_smtp import HOST, ScriptedSmtp

SENDER, ANN = "help+b-1@shop.example", "ann@example.org"
MESSAGE = b"Subject: shipped\r\n\r\nYour tea is on its way.\r\n"
LARGE = (b"x" * 998 + b"\r\n") * 32_000  # more than the kernel takes without a reader
JARGON = re.compile(
    r"Errno|Error|Exception|SMTPServer|Malformed|Timed out|\(-1|EOF|None|Connect call"
)


def relay_settings(port: int, **changes: Any) -> RelaySettings:
    return RelaySettings(**{
        "host": HOST, "port": port, "security": "none", "timeout_seconds": 1, **changes
    })  # fmt: skip


@asynccontextmanager
async def connected(
    relay: ScriptedSmtp | relays.Relay | smtp_sink.SmtpSink,
    *,
    dot_seconds: float = 5,
    **changes: Any,
) -> AsyncIterator[RelayConnection]:
    connection = RelayConnection(
        relay_settings(relay.port, **changes), None, dot_timeout_seconds=dot_seconds
    )
    await connection.connect()
    try:
        yield connection
    finally:
        connection.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn


async def send(connection: RelayConnection, message: bytes = MESSAGE) -> Reply:
    """One transaction; ends at the first reply that is no success."""
    reply = await connection.mail(SENDER, size=len(message), smtputf8=False)
    if reply.code == 250:
        reply = await connection.rcpt(ANN)
    if reply.code == 250:
        reply = await connection.data(message)
    return reply


def assert_plain(error: RelayError) -> None:
    assert not JARGON.search(str(error)), f"no words of a library: {error}"
    assert error.where.startswith(f"relay {HOST}:")


async def has_left(relay: ScriptedSmtp) -> bool:
    """Whether the relay sees the first connection end, within a few seconds."""
    return await asyncio.to_thread(relay.left.wait, 5)


async def assert_gone(relay: ScriptedSmtp, connection: RelayConnection) -> None:
    """The relay sees the connection end, and nothing more can be said over it."""
    assert await has_left(relay)
    heard = list(relay.heard)
    with pytest.raises(RelayLost):
        await connection.mail(SENDER, size=1, smtputf8=False)
    assert relay.heard == heard


STEPS = [("MAIL", Stage.MAIL), ("RCPT", Stage.RCPT), ("DATA", Stage.DATA), (".", Stage.DOT)]
each_step = pytest.mark.parametrize(("step", "stage"), STEPS)
