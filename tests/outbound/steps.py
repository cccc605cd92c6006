"""The steps of one message's way, and something that happens exactly between two of them.

No step is found by waiting: the server acts when it hears a command, the connection when it is told
to say one, the database when a commit has brought the row to a state.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import select

from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Reply
from mailbot.outbound.smtp import RelayConnection
from mailbot.store.engine import Connection, Database
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House
from tests.servers.scripted_smtp import Answer, Peer, ScriptedSmtp

_ANSWERS = {
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    "BODY": b"",
    ".": b"250 2.0.0 taken\r\n",
}


class Step(StrEnum):
    """Where on its way a message is when something happens."""

    QUEUED = "before the claim"
    CLAIMED = "between claim and attempt"
    BEGUN = "between attempt and look"
    LOOKED = "between look and MAIL FROM"
    MAIL = "when the relay hears MAIL FROM"
    RCPT = "when the relay hears RCPT TO"
    ACCEPTED = "between the answer to RCPT and DATA"
    DATA = "when the relay hears DATA"
    BODY = "between DATA and the body"
    DOT = "when the relay has heard the final dot"
    ANSWERED = "between 250 and the record of it"


STEPS = list(Step)
BEFORE_LOOK = frozenset({Step.QUEUED, Step.CLAIMED, Step.BEGUN})
_OF_SERVER = {Step.MAIL: "MAIL", Step.RCPT: "RCPT", Step.DATA: "DATA", Step.BODY: "BODY",
              Step.DOT: "."}  # fmt: skip
_OF_STATE = {Step.CLAIMED: State.CLAIMED, Step.BEGUN: State.SENDING}


class Once:
    """An action that is done the first time it is called for; whoever comes meanwhile waits."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._doing = threading.Lock()
        self.is_done = False

    def __call__(self) -> None:
        with self._doing:
            if not self.is_done:
                self._action()
                self.is_done = True


class Acting(RelayConnection):
    """A connection that does something before it says MAIL FROM or DATA, or after the final 250."""

    step: Step
    action: Once

    async def mail(self, sender: str, *, size: int, smtputf8: bool, recipient: str = "") -> Reply:
        await self._at(Step.LOOKED)
        return await super().mail(sender, size=size, smtputf8=smtputf8)

    async def data(self, message: bytes) -> Reply:
        await self._at(Step.ACCEPTED)
        reply = await super().data(message)
        await self._at(Step.ANSWERED)
        return reply

    async def _at(self, step: Step) -> None:
        if step is self.step:
            await asyncio.to_thread(self.action)


def happens(
    house: House, relay: ScriptedSmtp, step: Step, action: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
) -> Once:  # fmt: skip
    """Let `action` happen once, at `step` of the first message; `relay` is the house's from now on.

    A step before the claim happens at once.
    """
    once = Once(action)
    house.relay.port = relay.port
    house.connections = 1  # the scripted relay serves one at a time
    if step is Step.QUEUED:
        once()
    elif step in _OF_SERVER:
        command = _OF_SERVER[step]
        relay.answers[command] = _acting(once, _ANSWERS[command])
    elif step in _OF_STATE:
        _act_after_commit(house.database, _OF_STATE[step], once, monkeypatch)
    else:

        def wrap(connection: RelayConnection) -> RelayConnection:
            connection.__class__ = Acting
            assert isinstance(connection, Acting)
            connection.step, connection.action = step, once
            return connection

        house.wrap = wrap
    return once


def _acting(once: Once, words: bytes) -> Answer:
    def answer(peer: Peer) -> None:
        once()
        peer.say(words)

    return answer


def _act_after_commit(
    database: Database, state: State, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the COMMIT that brings a row to `state`, before whoever asked for it hears of it."""
    for name in ("commit", "commit_quickly"):
        acting = _then_act(getattr(database, name), database, state, once)
        monkeypatch.setattr(database, name, acting)


def _then_act(
    commit: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    database: Database,
    state: State,
    once: Once,
) -> Callable[[Callable[[Connection], Any]], Awaitable[Any]]:
    async def commit_then_act(function: Callable[[Connection], Any]) -> Any:
        result = await commit(function)
        if not once.is_done and await asyncio.to_thread(_is_any, database, state):
            await asyncio.to_thread(once)
        return result

    return commit_then_act


def _is_any(database: Database, state: State) -> bool:
    with database.read() as conn:
        found = select(rows.c.id).where(rows.c.state == state)
        return conn.execute(found).first() is not None
