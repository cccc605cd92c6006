"""kill -9 at random moments: no opt-out lost, nobody mailed twice, no offer to who has left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store import ledger, suppressions
from mailbot.store.tables import consent_events, outbox
from mailbot.store.tables import suppressions as listed
from tests.house import House, installed, wait_until
from tests.inbound.letters import letter
from tests.people import person
from tests.servers import dovecot
from tests.servers import relay as relays
from tests.test_story import hand_over, is_offer, queue_campaign

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not dovecot.is_installed(), reason="dovecot-imapd is not installed"),
]

PEOPLE = [f"c{number}@example.org" for number in range(80)]
LEAVING = PEOPLE[::3]
ORDERS = PEOPLE[1::8]
KILLS = 12


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        running.script.dot_seconds = 0.05
        yield running


def busy(house: House) -> bool:
    """Whether rows wait that no person is asked about."""
    with house.database.read() as conn:
        rows = conn.execute(select(outbox.c.kind, outbox.c.state, outbox.c.resends)).all()
    waiting = {State.QUEUED, State.CLAIMED, State.SENDING}
    return any(
        row.state in waiting
        or (row.state == State.UNCERTAIN and row.kind == "order_status" and row.resends < 3)
        for row in rows
    )


def test_a_daemon_killed_at_random_moments_keeps_every_promise(
    tmp_path: Path, relay: relays.Relay
) -> None:
    seed = int(os.environ.get("MAILBOT_KILL_SEED", time.time_ns() % 1_000_000))
    print(f"MAILBOT_KILL_SEED={seed}")  # noqa: T201  # to run the same kills again
    chance = random.Random(seed)
    with (
        dovecot.Dovecot() as server,
        installed(
            tmp_path, imap_port=server.plain_port, relay_port=relay.port,
            username="help", password=dovecot.PASSWORD, lease_seconds=4,
        ) as house,
    ):  # fmt: skip
        queue_campaign(house, "spring", *PEOPLE)
        for who in ORDERS:
            hand_over(house, who, f"order-of-{who}")
        leaving = list(LEAVING)
        for _ in range(KILLS):
            daemon = house.start()
            for _ in range(3):
                if leaving:
                    server.drop("help", letter("unsubscribe", leaving.pop()))
                time.sleep(chance.uniform(0, 0.25))
            daemon.send_signal(signal.SIGKILL)
            daemon.wait(10)
        daemon = house.start()
        server.drop("help", *(letter("unsubscribe", who) for who in leaving))

        def is_heard(who: str) -> bool:
            with house.database.read() as conn:
                return Reason.OPT_OUT in suppressions.reasons(conn, person(who))

        wait_until(lambda: all(is_heard(who) for who in LEAVING), 60, "no opt-out is lost")
        wait_until(lambda: not busy(house), 90, "everything is sent, withheld or uncertain")
        assert house.end(daemon) == 0
        check_promises(house, relay)


def check_promises(house: House, relay: relays.Relay) -> None:
    with house.database.read() as conn:
        assert ledger.verify(conn) is None
        rows = conn.execute(
            select(outbox, listed.c.sequence.label("left_at"))
            .select_from(
                outbox.outerjoin(listed, listed.c.person_hash == outbox.c.person_hash)
            )
        ).all()  # fmt: skip
        events = Counter(
            conn.execute(select(consent_events.c.person_hash)).scalars()
        )  # fmt: skip
    assert set(events.values()) == {1}, "a replay adds no event"
    assert len(events) == len(LEAVING)
    offers = Counter(taken.recipient for taken in relay.taken if is_offer(taken))
    orders: dict[str, set[str]] = {}
    for taken in relay.taken:
        if str(taken.message["From"]).endswith("<orders@shop.example>"):
            orders.setdefault(taken.recipient, set()).add(str(taken.message["Message-ID"]))
    for row in rows:
        if row.kind == "campaign":
            # Taken by the relay at most once; where the row is not `sent`, it must say so.
            assert offers[row.address] <= 1, f"{row.address} was mailed twice"
            if offers[row.address]:
                assert row.state in (State.SENT, State.UNCERTAIN)
            if row.state == State.SENT:
                assert offers[row.address] == 1
                assert row.left_at is None or row.left_at > row.list_sequence
        elif row.kind == "order_status":
            assert row.state in (State.SENT, State.UNCERTAIN)
            assert len(orders[row.address]) == 1, "order status is lost, or has two Message-IDs"
