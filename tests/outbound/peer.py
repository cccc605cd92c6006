"""A whole sender against a relay that says exactly what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.outbound.line import RelayClient
from mailbot.outbound.smtp import RelayConnection, Secret
from mailbot.store import suppressions
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House
from tests.outbound.relay_line import relay_settings
from tests.outbound.sending import ANN
from tests.people import person
from tests.servers.scripted_smtp import Answer, Peer, ScriptedSmtp

BOB = "bob@example.net"


@dataclass
class PeerHouse(House):
    """A house with one line to a scripted relay, which serves one connection after the other."""

    peer: ScriptedSmtp = field(kw_only=True)
    secret: Secret = field(kw_only=True, default=None)
    dot_seconds: float = field(kw_only=True, default=5)
    settings: dict[str, Any] = field(kw_only=True, default_factory=dict)

    def connect(self) -> RelayClient:
        settings = relay_settings(self.peer.port, **{"timeout_seconds": 5, **self.settings})
        return RelayConnection(settings, self.secret, dot_timeout_seconds=self.dot_seconds)


def at_peer(
    house: House,
    peer: ScriptedSmtp,
    *,
    secret: Secret = None,
    dot_seconds: float = 5,
    **settings: Any,
) -> PeerHouse:
    """The same house, one line wide, with `peer` for its relay; `settings` are of [relay]."""
    return PeerHouse(
        house.database, house.relay, house.plan, house.composers, connections=1,
        peer=peer, secret=secret, dot_seconds=dot_seconds, settings=settings,
    )  # fmt: skip


def in_order(first: Answer, *then: Answer) -> Callable[[Peer], None]:
    """The first answer, then the next; the last one for ever."""
    waiting: Iterator[Answer] = iter([first, *then])
    last: Answer = first

    def answer(peer: Peer) -> None:
        nonlocal last
        last = next(waiting, last)
        if callable(last):
            last(peer)
        else:
            peer.say(last)

    return answer


def reasons(database: Database, who: str = ANN) -> frozenset[Reason]:
    """Why somebody is on the list."""
    with database.read() as conn:
        return frozenset(suppressions.reasons(conn, person(who)))


def outcomes(database: Database, who: str = ANN) -> list[State | None]:
    """What became of each attempt at a person's messages, in order; None while it is on."""
    attempts = (
        select(delivery_attempts.c.outcome)
        .join(rows, rows.c.id == delivery_attempts.c.outbox_id)
        .where(rows.c.address == who)
        .order_by(delivery_attempts.c.id)
    )
    with database.read() as conn:
        return [State(told) if told else None for told in conn.execute(attempts).scalars()]


def told(database: Database, who: str = ANN) -> str:
    """What the row says was answered."""
    with database.read() as conn:
        answer = conn.execute(select(rows.c.last_reply).where(rows.c.address == who)).scalar_one()
    return str(answer)


def let_time_come(database: Database, who: str = ANN) -> None:
    """As if the wait before the next try were over."""
    with database.write() as conn:
        conn.execute(update(rows).where(rows.c.address == who).values(not_before=DatabaseTime(-1)))


def commands(peer: ScriptedSmtp, word: str) -> list[str]:
    """What was heard that begins with this word."""
    return [line for line in peer.heard if line.startswith(word)]
