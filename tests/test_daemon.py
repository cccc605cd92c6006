"""The daemon as systemd and an admin see it: what it tells, when it stops, and with a wrong key."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import consent, ledger
from mailbot.store.tables import outbox
from tests.house import House, installed, wait_until
from tests.people import event
from tests.servers import relay as relays
from tests.store.filling import campaign_under_way

NOBODY_LISTENS = 9  # the discard port


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x"
    ) as made:
        yield made


def hand_over(house: House, who: str) -> None:
    line = (f'{{"type": "shipped", "to": "{who}", "idempotency_key": "{who}", '
            '"fields": {"order_number": "1"}}')  # fmt: skip
    sent = house.run("order-status", "send", given=line + "\n")
    assert sent.returncode == 0, sent.stderr


def test_systemd_hears_ready_a_heartbeat_and_stopping(house: House, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(address))
        listening.settimeout(15)
        daemon = house.start(NOTIFY_SOCKET=str(address))
        assert listening.recv(100) == b"READY=1"
        assert listening.recv(100) == b"WATCHDOG=1"
        assert house.end(daemon) == 0
        said = [listening.recv(100)]
        while said[-1] == b"WATCHDOG=1":
            said.append(listening.recv(100))
        assert said[-1] == b"STOPPING=1"


def test_a_mailbox_that_cannot_be_read_is_blind_and_stops_nothing_else(
    house: House, relay: relays.Relay
) -> None:
    daemon = house.start()
    hand_over(house, "ann@example.org")
    wait_until(lambda: len(relay.to("ann@example.org")) == 1, 15, "order status goes out")
    wait_until(lambda: "mailbox_blind" in house.log, 15, "the mailbox is told to be blind")
    status = house.run("status")
    assert status.returncode == 1
    assert "cannot be read since" in status.stdout
    assert house.end(daemon, signal.SIGINT) == 0


def test_with_a_wrong_person_key_nothing_but_order_status_goes_on(
    house: House, relay: relays.Relay
) -> None:
    """A wrong key would mail everyone who was erased, and hear opt-outs that nobody looks up."""
    assert house.run("db", "upgrade").returncode == 0  # remembers the right key
    with house.database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "zoe@example.org"))
    campaign_under_way(house.database, "ann@example.org")
    hand_over(house, "bob@example.org")
    (house.folder / "person-key").write_text("77" * 32 + "\n")
    daemon = house.start()
    wait_until(lambda: len(relay.to("bob@example.org")) == 1, 15, "order status goes out")
    assert "wrong_person_key" in house.log
    assert '"mailboxes": 0' in house.log
    assert house.end(daemon) == 78
    assert relay.to("ann@example.org") == []
    with house.database.read() as conn:
        states = conn.execute(select(outbox.c.state).where(outbox.c.kind == "campaign"))
        assert set(states.scalars()) == {State.QUEUED}


def test_in_shadow_mode_nothing_leaves(house: House, relay: relays.Relay) -> None:
    """Neither an offer nor order status: the shop's old system still does its work."""
    campaign_under_way(house.database, "ann@example.org")
    hand_over(house, "ben@example.org")
    with house.config.open("a", encoding="utf-8") as config:
        config.write('[recognition]\nmode = "shadow"\n')
    daemon = house.start()
    wait_until(lambda: "shadow_mode" in house.log, 10, "the daemon says that it only watches")
    time.sleep(2)  # longer than two ticks and a look for rows
    assert house.end(daemon) == 0
    assert relay.taken == []
    with house.database.read() as conn:
        states = conn.execute(select(outbox.c.state).distinct()).scalars().all()
    assert states == [State.QUEUED]


def test_the_log_witnesses_the_head_of_the_ledger_when_it_stops(house: House) -> None:
    daemon = house.start()
    with house.database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    assert house.end(daemon) == 0
    with house.database.read() as conn:
        head = ledger.head(conn)
    assert f'"head": "1:{head.hash}"' in house.log or f'"head":"1:{head.hash}"' in house.log
    checked = house.run("ledger", "verify", "--head", f"1:{head.hash}")
    assert checked.returncode == 0, checked


def test_a_stop_in_the_middle_of_a_tick_is_no_error(house: House) -> None:
    """Somebody else writes to the database for so long that ticks wait for it."""
    daemon = house.start()
    with house.database.write():
        time.sleep(2.5)  # longer than two ticks
        daemon.send_signal(signal.SIGTERM)
        wait_until(lambda: "daemon_stopping" in house.log, 15, "it stops")
    assert daemon.wait(timeout=40) == 0
    assert '"error"' not in house.log, house.log
