"""Big campaigns in a real daemon: killed while they expand, stopped under load, overtaken."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mailbot.core.outbox_states import State
from mailbot.store.tables import campaigns, outbox
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.servers import relay as relays
from tests.system.many import (
    addresses_in,
    expanded,
    queue_campaign_of,
    start_campaign,
    states,
)

pytestmark = pytest.mark.system

NOBODY_LISTENS = 9  # the discard port
STOP_SECONDS = 5  # of tests.house
BATCH = 100  # sender.batch_size as it is shipped
KILLS = 5


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, databases: Databases, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x",
        url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


def taken_by(relay: relays.Relay) -> Counter[str]:
    return Counter(taken.recipient for taken in relay.taken)


@pytest.mark.on_both_engines
def test_an_expansion_killed_at_random_moments_queues_everybody_once_and_sends_meanwhile(
    house: House, relay: relays.Relay
) -> None:
    seed = int(os.environ.get("MAILBOT_KILL_SEED", time.time_ns() % 1_000_000))
    print(f"MAILBOT_KILL_SEED={seed}")  # noqa: T201  # to run the same kills again
    chance = random.Random(seed)
    count = 40_000
    start_campaign(house.database, count)
    reached = [0]
    for _ in range(KILLS):
        goal = reached[-1] + chance.randint(1, count // (KILLS + 2))
        daemon = house.start()
        deadline = time.monotonic() + 60
        while expanded(house.database) < goal:
            assert time.monotonic() < deadline, "the expansion goes on after each kill"
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(10)
        reached.append(expanded(house.database))
    assert reached == sorted(reached), "nothing that was put in is lost"
    assert sum(0 < one < count for one in reached) >= 2, "the kills met no expansion"
    daemon = house.start()
    wait_until(lambda: "campaign_expanded" in house.log, 90, "the whole audience is in")
    wait_until(lambda: len(relay.taken) > 50, 60, "offers go out")
    assert house.end(daemon) == 0
    with house.database.read() as conn:
        rows, persons, message_ids = conn.execute(
            select(
                func.count(),
                func.count(outbox.c.person_hash.distinct()),
                func.count(outbox.c.message_id.distinct()),
            )
        ).one()
        campaign = conn.execute(select(campaigns)).one()
    assert (rows, persons, message_ids) == (count, count, count)
    assert (campaign.expanded_count, campaign.audience_count) == (count, count)
    assert relay.taken[0].at < campaign.expanded_at.timestamp(), "sending waited for the expansion"
    assert set(taken_by(relay).values()) == {1}, "nobody got it twice"


def test_a_stop_under_load_finishes_what_is_in_data_and_leaves_the_rest_queued(
    house: House, relay: relays.Relay
) -> None:
    relay.script.dot_seconds = 0.02
    queue_campaign_of(house.database, 10_000)
    for already in (0, 1):  # stopped, started anew, stopped again
        before = len(relay.taken)
        daemon = house.start()
        wait_until(partial(has_taken, relay, before + 101), 60, "offers go out")
        assert house.end(daemon) == 0, already
        assert set(states(house.database)) == {State.SENT, State.QUEUED}
        taken = taken_by(relay)
        assert set(taken.values()) == {1}, "nobody got it twice"
        assert set(taken) == addresses_in(house.database, State.SENT), "none is lost"
        assert states(house.database).total() == 10_000


def test_a_stop_while_the_relay_is_silent_ends_in_time_and_says_what_is_uncertain(
    house: House, relay: relays.Relay
) -> None:
    """The relay has three messages whole and says nothing: nobody can know what becomes of them."""
    queue_campaign_of(house.database, 10_000)
    relay.script.dot_seconds = 0.01
    daemon = house.start()
    wait_until(lambda: len(relay.taken) > 100, 60, "offers go out")
    relay.script.dot_seconds = 3600
    stand_still(relay)
    began = time.monotonic()
    assert house.end(daemon) == 0
    assert time.monotonic() - began < STOP_SECONDS + 10, "not as long as the relay is silent"
    found = states(house.database)
    assert set(found) == {State.SENT, State.QUEUED, State.UNCERTAIN}
    assert 1 <= found[State.UNCERTAIN] <= 3, "one for each connection at most"
    assert found.total() == 10_000
    assert house.log.count('"message_uncertain"') == found[State.UNCERTAIN]
    assert set(taken_by(relay)) == addresses_in(house.database, State.SENT)
    unsure = addresses_in(house.database, State.UNCERTAIN)

    relay.script.dot_seconds = 0
    before = len(relay.taken)
    daemon = house.start()
    wait_until(lambda: len(relay.taken) > before + 100, 60, "the rest goes on")
    assert house.end(daemon) == 0
    taken = taken_by(relay)
    assert set(taken.values()) == {1}, "nobody got it twice"
    assert not unsure & set(taken), "marketing that is uncertain waits for a person"


def has_taken(relay: relays.Relay, count: int) -> bool:
    return len(relay.taken) >= count


def has_mail(relay: relays.Relay, who: str) -> bool:
    return relay.to(who) != []


def stand_still(relay: relays.Relay) -> None:
    """Wait until nothing more is taken: each connection waits for an answer."""
    last = -1
    while last != len(relay.taken):
        last = len(relay.taken)
        time.sleep(1)


def hand_over(house: House, key: str) -> float:
    """An order's mail; returns when it was safely stored."""
    line = json.dumps({
        "type": "shipped", "to": f"{key}@orders.example", "idempotency_key": key,
        "fields": {"order_number": "1001"},
    })  # fmt: skip
    sent = house.run("order-status", "send", given=line + "\n")
    assert sent.returncode == 0, sent.stderr
    return time.time()


def test_order_status_overtakes_a_hundred_thousand_offers_that_wait(
    house: House, relay: relays.Relay
) -> None:
    """However slow the relay, an order's mail waits at most for one claimed batch of offers."""
    relay.script.dot_seconds = 0.25  # some ten offers a second: hours of work
    queue_campaign_of(house.database, 100_000)
    daemon = house.start()
    wait_until(lambda: len(relay.taken) > 10, 60, "offers go out")
    overtaken = []
    for number in range(5):
        key = f"order{number}"
        at = hand_over(house, key)
        wait_until(partial(has_mail, relay, f"{key}@orders.example"), 60, "it is sent")
        [mail] = relay.to(f"{key}@orders.example")
        overtaken.append(sum(at < offer.at < mail.at for offer in relay.taken))
    assert max(overtaken) <= BATCH, "it waited for more than what was claimed before it"
    assert house.end(daemon) == 0
    assert states(house.database)[State.QUEUED] > 90_000, "there was no queue to overtake"
