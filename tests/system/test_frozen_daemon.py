"""A daemon is frozen while another takes over; when it wakes it sends nothing that is not its own.

The frost falls at an exact step: the relay freezes the daemon when it hears a command, and answers
only then; or the daemon stops itself (tests/system/freezing.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.outbound.delivery import LONGEST_LOOK_AGE, boot_seconds
from mailbot.store.tables import delivery_attempts, outbox
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.outbound.sending import opt_out
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.system.freezing import is_frozen
from tests.test_story import hand_over, queue_campaign

pytestmark = pytest.mark.on_both_engines

PEOPLE = [f"c{number}@example.org" for number in range(8)]
SOMEBODY = "somebody@example.org"
_OF_RELAY = ("RCPT", "DATA", ".")
LEASE_SECONDS = 4  # as short as the relay's time-out allows


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, databases: Databases, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=free_port(), relay_port=relay.port, username="help", password="none",
        lease_seconds=LEASE_SECONDS, url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


@dataclass(frozen=True)
class Message:
    """What the outbox says of one message."""

    id: int
    who: str
    kind: MessageKind
    state: State
    claimed_by: str | None
    list_sequence: int | None
    resends: int


def messages(house: House) -> list[Message]:
    with house.database.read() as conn:
        rows = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    return [
        Message(
            row.id, row.address, MessageKind(row.kind), State(row.state), row.claimed_by,
            row.list_sequence, row.resends,
        )
        for row in rows
    ]  # fmt: skip


def outcomes(house: House, message: Message) -> list[str | None]:
    """What each attempt at this message ended with, in their order; None where it did not."""
    with house.database.read() as conn:
        chosen = select(delivery_attempts.c.outcome).where(
            delivery_attempts.c.outbox_id == message.id
        )
        return list(conn.execute(chosen.order_by(delivery_attempts.c.id)).scalars())


class Frost:
    """Freezes the first daemon once: at a step the relay hears, or at one of its own."""

    def __init__(self, house: House, relay: relays.Relay, step: str) -> None:
        self._house, self._relay, self._step = house, relay, step
        self.met: list[str] = []  # the recipient whose message was frozen
        self.daemon: subprocess.Popen[bytes] | None = None

    def falls(self) -> subprocess.Popen[bytes]:
        """Start the daemon, and wait until it is frozen."""
        is_of_relay = self._step in _OF_RELAY
        if is_of_relay:
            self._relay.on_step = self._hear
        own_step = "signal" if is_of_relay else self._step
        # Told of the start before the frost, which may fall at once.
        started = self._house.start(by=("tests.system.freezing", own_step))
        self.daemon = started
        wait_until(lambda: is_frozen(started.pid), 30, "the daemon is frozen")
        return started

    def _hear(self, step: str, recipient: str) -> None:
        if step != self._step or self.met:
            return
        self.met.append(recipient)
        wait_until(lambda: self.daemon is not None, 20, "the daemon has started")
        assert self.daemon is not None
        os.kill(self.daemon.pid, signal.SIGUSR1)
        wait_until(lambda: self.daemon is not None and is_frozen(self.daemon.pid), 20, "frozen")


def is_settled(house: House, *, frozen_by: str) -> Callable[[], bool]:
    """Whether the frozen daemon holds nothing any more, and nothing waits that would be sent."""
    busy = {State.QUEUED, State.CLAIMED, State.SENDING, State.DEFERRED}
    return lambda: all(
        message.state not in busy and message.claimed_by != frozen_by for message in messages(house)
    )


def held_by(house: House) -> tuple[str, list[Message]]:
    """The one daemon that holds rows, and those rows."""
    held = [message for message in messages(house) if message.claimed_by is not None]
    [name] = {message.claimed_by for message in held}
    assert name is not None
    return name, held


def wake(house: House, frozen: subprocess.Popen[bytes], relay: relays.Relay) -> list[str]:
    """SIGCONT, one more message through the woken daemon alone, and an orderly end of it.

    Returns the steps from DATA on that the relay heard meanwhile.
    """
    heard = len(relay.heard)
    frozen.send_signal(signal.SIGCONT)
    hand_over(house, SOMEBODY, "after-the-frost")
    wait_until(lambda: bool(relay.to(SOMEBODY)), 60, "the woken daemon works again")
    assert house.end(frozen) == 0
    assert "Traceback" not in house.log
    return [one.step for one in relay.heard[heard:] if one.step in ("DATA", ".")]


@pytest.mark.parametrize("step", ["claimed", "begun", "mail", "RCPT"])
def test_frozen_before_data_it_sends_nothing_of_that_when_it_wakes(
    house: House, relay: relays.Relay, step: str
) -> None:
    """What was claimed is sent by the other daemon; what was begun waits for a person."""
    queue_campaign(house, "spring", *PEOPLE)
    frozen = Frost(house, relay, step).falls()
    name, held = held_by(house)
    begun = {message.who for message in held if message.state is State.SENDING}
    assert bool(begun) is (step != "claimed")
    other = house.start()
    wait_until(is_settled(house, frozen_by=name), 90, "the other daemon has taken over")
    taken_before = Counter(taken.recipient for taken in relay.taken)
    assert house.end(other) == 0
    assert wake(house, frozen, relay) == ["DATA", "."], "of the one message that came afterwards"
    assert Counter(taken.recipient for taken in relay.taken) - Counter([SOMEBODY]) == taken_before
    assert set(taken_before.values()) == {1}, "nobody is written to twice"
    for message in messages(house)[: len(PEOPLE)]:
        if message.who in begun and not relay.to(message.who):
            assert message.state is State.UNCERTAIN, "MAIL FROM may have gone out"
        else:
            assert (message.state, len(relay.to(message.who))) == (State.SENT, 1)


@pytest.mark.parametrize("step", ["DATA", "body", "."])
def test_frozen_from_data_on_its_late_answer_turns_uncertain_into_sent(
    house: House, relay: relays.Relay, step: str
) -> None:
    queue_campaign(house, "spring", PEOPLE[0])
    frozen = Frost(house, relay, step).falls()
    name, [held] = held_by(house)
    assert held.state is State.SENDING
    other = house.start()
    wait_until(is_settled(house, frozen_by=name), 90, "the other daemon has taken over")
    [uncertain] = messages(house)
    assert (uncertain.state, uncertain.list_sequence) == (State.UNCERTAIN, None)
    assert house.end(other) == 0
    wake(house, frozen, relay)
    message = messages(house)[0]
    if step == "DATA" and not relay.to(PEOPLE[0]):
        # The 354 came too late for its time-out: nothing was said after DATA, and it is told.
        assert message.state is State.UNCERTAIN
        assert outcomes(house, message) == [State.DEFERRED]
        return
    assert len(relay.to(PEOPLE[0])) == 1
    assert (message.state, message.list_sequence) == (State.SENT, 0)
    assert outcomes(house, message) == [State.SENT]


def test_an_opt_out_in_the_frost_before_mail_from_withholds_though_the_lease_is_good(
    house: House, relay: relays.Relay
) -> None:
    """It had looked, and was to say MAIL FROM in the next instant; its lease outlives the frost."""
    config = house.config.read_text(encoding="utf-8")
    config = config.replace(f"lease_seconds = {LEASE_SECONDS}", "lease_seconds = 600")
    house.config.write_text(config, encoding="utf-8")
    queue_campaign(house, "spring", PEOPLE[0])
    frozen = Frost(house, relay, "mail").falls()
    looked_before = boot_seconds()
    opt_out(house.database, PEOPLE[0])
    wait_until(lambda: boot_seconds() > looked_before + LONGEST_LOOK_AGE, 20, "the look is old")
    frozen.send_signal(signal.SIGCONT)
    wait_until(lambda: messages(house)[0].state is not State.SENDING, 60, "it has ended")
    assert house.end(frozen) == 0
    [message] = messages(house)
    assert (message.state, message.list_sequence) == (State.WITHHELD, 1)
    assert [one.step for one in relay.heard] == ["MAIL", "RCPT"]


@pytest.mark.parametrize(("step", "most"), [("mail", 1), (".", 2)])
def test_order_status_of_a_frozen_daemon_is_sent_by_the_other_under_its_message_id(
    house: House, relay: relays.Relay, step: str, most: int
) -> None:
    hand_over(house, PEOPLE[0], "order-1001")
    frozen = Frost(house, relay, step).falls()
    name, _ = held_by(house)
    other = house.start()
    # It was uncertain for five leases: a late answer would have come by then.
    wait_until(is_settled(house, frozen_by=name), 90, "the other daemon has taken over")
    wait_until(lambda: messages(house)[0].state is State.SENT, 90, "it was sent again")
    assert messages(house)[0].resends == 1
    assert house.end(other) == 0
    wake(house, frozen, relay)
    copies = relay.to(PEOPLE[0])
    assert len(copies) == most, "the relay had the first one already, if it heard its dot"
    assert len({str(copy.message["Message-ID"]) for copy in copies}) == 1
    assert messages(house)[0].state is State.SENT
