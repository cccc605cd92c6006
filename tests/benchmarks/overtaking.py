"""An order's mail behind a hundred thousand offers: from hand-over to the relay's 250."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from mailbot.store import outbox
from tests.benchmarks.measuring import Figure, tell
from tests.house import House, installed, wait_until
from tests.people import address, person
from tests.servers import relay as relays
from tests.system.many import queue_campaign_of

NOBODY_LISTENS = 9  # the discard port
ANSWER_SECONDS = 0.25  # what the relay takes for each message
MOST_SECONDS = 2.0  # of delay


def figures(folder: Path, *, offers: int, rounds: int) -> Iterator[Figure]:
    """A real daemon and a slow relay, with and without offers that wait."""
    tell(f"queueing {offers:,} offers before a slow relay …")
    alone = _seconds(folder / "alone", 0, rounds)
    behind = _seconds(folder / "behind", offers, rounds)
    yield Figure(
        f"an order's mail from hand-over to 250, {offers:,} offers waiting, a relay that takes "
        f"{ANSWER_SECONDS} s a message",
        behind, alone, "the same with no offers",
        to_reach=1 + MOST_SECONDS / statistics.median(alone),
    )  # fmt: skip


def _seconds(folder: Path, offers: int, rounds: int) -> tuple[float, ...]:
    folder.mkdir()
    with (
        relays.running() as relay,
        installed(
            folder, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x",
            url=f"sqlite:///{folder}/mailbot.db",
        ) as house,
    ):  # fmt: skip
        relay.script.dot_seconds = ANSWER_SECONDS
        if offers:
            queue_campaign_of(house.database, offers)
        daemon = house.start()
        if offers:
            wait_until(lambda: len(relay.taken) > 10, 60, "offers go out")
        taken = tuple(_one(house, relay, f"order{number}") for number in range(rounds))
        house.end(daemon)
        return taken


def _one(house: House, relay: relays.Relay, key: str) -> float:
    who = f"{key}@orders.example"
    with house.database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(who), person=person(who),
            fields={"order_number": "1001"}, idempotency_key=key, our_domain="shop.example",
        )  # fmt: skip
    handed_over = time.time()
    wait_until(lambda: relay.to(who) != [], 120, "the order's mail is taken")
    return relay.to(who)[0].at - handed_over
