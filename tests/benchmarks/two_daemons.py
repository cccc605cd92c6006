"""Two daemons on one PostgreSQL against one: a relay that takes its time for each message."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from mailbot.core.outbox_states import State
from tests.benchmarks.measuring import Figure, tell
from tests.house import installed, wait_until
from tests.servers import relay as relays
from tests.servers.postgresql import PostgreSQL, programs
from tests.system.many import queue_campaign_of, states

NOBODY_LISTENS = 9  # the discard port
ANSWER_SECONDS = 0.05  # what the relay takes for each message
_names = itertools.count(1)


def figures(folder: Path, *, messages: int, rounds: int) -> Iterator[Figure]:
    """From the campaign's start until the last 250 is recorded."""
    if programs() is None:
        tell("two daemons: PostgreSQL is not installed")
        return
    tell(f"a campaign of {messages:,} by one daemon and by two …")
    two, one = [], []
    with PostgreSQL(is_durable=True) as server:
        for _ in range(rounds):
            two.append(_seconds(folder, server, messages, daemons=2))
            one.append(_seconds(folder, server, messages, daemons=1))
    yield Figure(
        f"two daemons on PostgreSQL, a campaign of {messages:,}, a relay that takes "
        f"{ANSWER_SECONDS} s a message",
        tuple(two), tuple(one), "one daemon", to_reach=1 / 1.6,
    )  # fmt: skip


def _seconds(folder: Path, server: PostgreSQL, messages: int, *, daemons: int) -> float:
    number = next(_names)
    home = folder / f"daemons-{number}"
    home.mkdir()
    with (
        relays.running() as relay,
        installed(
            home, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x",
            url=server.create(f"bench_{number}"),
        ) as house,
    ):  # fmt: skip
        relay.script.dot_seconds = ANSWER_SECONDS
        running = [house.start() for _ in range(daemons)]
        queue_campaign_of(house.database, messages)
        began = time.perf_counter()
        wait_until(lambda: states(house.database) == {State.SENT: messages}, 300, "all is sent")
        taken = time.perf_counter() - began
        for daemon in running:
            house.end(daemon)
        if len(relay.taken) != messages:
            raise RuntimeError(f"the relay took {len(relay.taken)} messages")
        return taken
