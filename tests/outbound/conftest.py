"""A sender over a real database and a real relay on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from mailbot.config import RelaySettings
from mailbot.core.compose import Sender as From
from mailbot.core.compose import Shop
from mailbot.core.eligibility import MessageKind
from mailbot.core.tokens import TokenKey, TokenKeys
from mailbot.outbound.acknowledgements import AcknowledgementLetters
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.line import RelayClient
from mailbot.outbound.order_status import OrderStatusLetters
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.outbound.sender import Composer, Sender
from mailbot.outbound.smtp import RelayConnection
from mailbot.store.engine import Database
from tests.people import address
from tests.servers import relay as relays

LETTERHEAD = Letterhead(
    Shop("Lindenhof Tea", address("help@shop.example"), "Lindenhof Tea, 1 Quay, Bristol"),
    From("Lindenhof Tea", address("offers@shop.example")),
    From("Lindenhof Orders", address("orders@shop.example")),
    TokenKeys((TokenKey(1, bytes(range(32))),)),
)


@dataclass(frozen=True)
class Plan:
    """Settings of a sender that a test can wait for."""

    lease_seconds: float = 30
    batch_size: int = 10
    retry_hours: float = 72
    stop_seconds: float = 5
    messages_per_connection: int = 100
    domain_connections: int = 10


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@dataclass
class House:
    """Everything a sender needs, each part replaceable by a test."""

    database: Database
    relay: relays.Relay
    plan: Plan
    composers: dict[MessageKind, Composer]
    connections: int = 2
    sends_marketing: bool = True
    before_offers: Callable[[], Awaitable[object]] | None = None
    wrap: Callable[[RelayConnection], RelayClient] = lambda connection: connection

    def connect(self) -> RelayClient:
        settings = RelaySettings(host=relays.HOST, port=self.relay.port, security="none")
        return self.wrap(RelayConnection(settings, None, dot_timeout_seconds=5))

    def sender(self) -> Sender:
        return Sender(
            self.database, self.plan, connect=self.connect, connections=self.connections,
            composers=self.composers, claimed_by="daemon-1", policy_version="1",
            sends_marketing=self.sends_marketing, before_offers=self.before_offers,
        )  # fmt: skip

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[Sender]:
        """The sender runs for the length of the block, then is stopped as by SIGTERM."""
        stop = asyncio.Event()
        sender = self.sender()
        running = asyncio.create_task(sender.run(stop))
        try:
            yield sender
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)


Sending = Callable[[], AbstractAsyncContextManager[Sender]]


@pytest.fixture
def house(database: Database, relay: relays.Relay) -> House:
    composers: dict[MessageKind, Composer] = {
        MessageKind.CAMPAIGN: CampaignLetters(database, LETTERHEAD),
        MessageKind.ORDER_STATUS: OrderStatusLetters(OrderStatusTypes(), LETTERHEAD),
        MessageKind.ACKNOWLEDGEMENT: AcknowledgementLetters(LETTERHEAD),
    }
    return House(database, relay, Plan(), composers)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until it is so; fail the test where it never is."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it did not happen within {seconds} s")
