"""`mailbot stop-marketing` stops two daemons at full speed; then they lose none and double none.

Two processes over one database, each with its own connections to a relay that writes down when it
heard each MAIL FROM.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.outbound.delivery import LONGEST_LOOK_AGE
from mailbot.store.tables import delivery_attempts, outbox
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.test_story import hand_over, queue_campaign

pytestmark = pytest.mark.on_both_engines

PEOPLE = [f"c{number}@example.org" for number in range(3000)]
CUSTOMER = "customer@example.org"


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, databases: Databases, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=free_port(), relay_port=relay.port, username="help", password="none",
        lease_seconds=30, url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


def boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lateness:
    """How late this process hears things: the longest that a thread of it overslept."""

    def __init__(self) -> None:
        self.longest = 0.0


@contextmanager
def lateness() -> Iterator[Lateness]:
    """Measured for the length of the block."""
    measured, is_over = Lateness(), threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            began = boot_seconds()
            time.sleep(0.005)
            measured.longest = max(measured.longest, boot_seconds() - began - 0.005)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield measured
    finally:
        is_over.set()
        watcher.join()


def offers(house: House) -> Counter[State]:
    """How many offers stand in each state."""
    with house.database.read() as conn:
        rows = conn.execute(
            select(outbox.c.state, func.count())
            .where(outbox.c.kind == MessageKind.CAMPAIGN)
            .group_by(outbox.c.state)
        )
        return Counter({State(state): count for state, count in rows})


def at_work(house: House) -> int:
    """How many daemons have begun attempts."""
    with house.database.read() as conn:
        return len(conn.execute(select(delivery_attempts.c.daemon).distinct()).all())


def mails(relay: relays.Relay) -> list[float]:
    """When each MAIL FROM was heard, by the boot clock."""
    return [one.at for one in list(relay.heard) if one.step == "MAIL"]


def test_both_daemons_stop_within_a_second_and_go_on_without_loss_or_doubling(
    house: House, relay: relays.Relay
) -> None:
    queue_campaign(house, "spring", *PEOPLE)
    daemons = [house.start(), house.start()]
    wait_until(lambda: len(relay.taken) > 100 and at_work(house) == 2, 60, "both send")

    with lateness() as late:
        stopped = house.run("stop-marketing", "--because", "wrong price")
        stopped_at = boot_seconds()
        assert stopped.returncode == 0, stopped.stderr
        wait_until(
            lambda: not {State.CLAIMED, State.SENDING} & set(+offers(house)), 60, "none is held"
        )
    allowed_until = stopped_at + LONGEST_LOOK_AGE + late.longest
    beyond = [at - allowed_until for at in mails(relay) if at > allowed_until]
    assert not beyond, f"{len(beyond)} MAIL FROM too late, the last by {max(beyond):.3f} s"

    # What waits is queued again, and nothing but order status moves.
    standing, heard = offers(house), len(mails(relay))
    assert set(standing) == {State.QUEUED, State.SENT}, f"lost or in doubt: {standing}"
    assert standing.total() == len(PEOPLE)
    assert standing[State.SENT] == len(relay.taken)
    for number in range(4):
        hand_over(house, CUSTOMER, f"order-{number}")
    wait_until(lambda: len(relay.to(CUSTOMER)) == 4, 30, "order status goes on")
    assert len(mails(relay)) == heard + 4
    assert offers(house) == standing

    assert house.run("start-marketing").returncode == 0
    wait_until(lambda: offers(house) == {State.SENT: len(PEOPLE)}, 120, "it goes on to its end")
    assert [house.end(daemon) for daemon in daemons] == [0, 0]
    copies = Counter(taken.recipient for taken in relay.taken)
    assert copies == Counter({CUSTOMER: 4, **dict.fromkeys(PEOPLE, 1)})
    assert "Traceback" not in house.log
