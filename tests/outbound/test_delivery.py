"""One message's way: what commits before the look withholds, and no lost lease begins DATA."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Reply
from mailbot.outbound import delivery
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.line import RelayClient
from mailbot.outbound.sender import Composer
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import campaigns, ledger, suppressions, switches
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import ledger_head
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, attempts, is_over, opt_out, order_status, states
from tests.people import person
from tests.store.filling import campaign_under_way, let_leases_run_out

pytestmark = pytest.mark.on_both_engines


class During:
    """Does something at one step of a message's way, and then lets the step happen."""

    def __init__(self, inner: RelayConnection, step: str, action: Callable[[], None]) -> None:
        self._inner, self._step, self._action = inner, step, action

    def _at(self, step: str) -> None:
        if step == self._step:
            self._action()

    async def connect(self) -> None:
        self._at("connect")
        await self._inner.connect()

    async def mail(self, sender: str, *, size: int, smtputf8: bool, recipient: str) -> Reply:
        self._at("mail")
        return await self._inner.mail(sender, size=size, smtputf8=smtputf8, recipient=recipient)

    async def rcpt(self, recipient: str) -> Reply:
        self._at("rcpt")
        return await self._inner.rcpt(recipient)

    async def data(self, message: bytes) -> Reply:
        self._at("data")
        return await self._inner.data(message)

    async def reset(self) -> None:
        await self._inner.reset()

    async def close(self) -> None:
        await self._inner.close()

    def abort(self) -> None:
        self._inner.abort()


class ComposeThen:
    """Composes, and does something before the attempt begins: between claim and look."""

    def __init__(self, inner: Composer, action: Callable[[], None]) -> None:
        self._inner, self._action = inner, action

    async def compose(self, row: ClaimedRow) -> Outgoing:
        outgoing = await self._inner.compose(row)
        self._action()
        return outgoing


def at_step(house: House, step: str, action: Callable[[], None]) -> None:
    if step == "compose":
        inner = house.composers[MessageKind.CAMPAIGN]
        house.composers[MessageKind.CAMPAIGN] = ComposeThen(inner, action)
        return

    def wrap(connection: RelayConnection) -> RelayClient:
        return During(connection, step, action)

    house.wrap = wrap


@pytest.mark.parametrize(("step", "is_sent"), [
    ("connect", False),  # after the claim
    ("compose", False),  # after the claim, before the attempt
    ("mail", True),  # after the look: the message was on its way
    ("data", True),
])  # fmt: skip
async def test_an_opt_out_that_commits_before_the_look_withholds(
    house: House, step: str, is_sent: bool
) -> None:
    at_step(house, step, lambda: opt_out(house.database))
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    assert bool(house.relay.to(ANN)) is is_sent
    with house.database.read() as conn:
        row = conn.execute(select(rows)).one()
    # The proof by numbers: who was sent something was sent it by a list without the opt-out.
    assert row.state == (State.SENT if is_sent else State.WITHHELD)
    assert row.list_sequence == (0 if is_sent else 1)


async def test_opt_outs_that_race_a_campaign_never_lose(house: House) -> None:
    people = [f"c{number}@example.org" for number in range(120)]
    campaign_under_way(house.database, *people)
    house.connections = 4

    async def leave() -> None:
        for who in people[::3]:
            await asyncio.to_thread(opt_out, house.database, who)

    async with house.sending():
        await leave()
        await until(is_over(house.database), 30)
    with house.database.read() as conn:
        left_at = {
            one.person_hash: story.sequence
            for one in suppressions.newest(conn, 1000)
            for story in ledger.story(conn, person(one.address or ""))
        }
        for row in conn.execute(select(rows)):
            is_listed = left_at.get(row.person_hash, 10**9) <= row.list_sequence
            assert is_listed is (row.state == State.WITHHELD), "sequence numbers must agree"
    assert len(house.relay.taken) + len([s for s in states(house.database).values()
                                         if s is State.WITHHELD]) == 120  # fmt: skip


async def test_stop_marketing_stops_what_is_claimed_already(house: House) -> None:
    def stop() -> None:
        with house.database.write() as conn:
            switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong list")

    at_step(house, "compose", stop)
    campaign_under_way(house.database, ANN)
    order_status(house.database)
    async with house.sending():
        await until(lambda: attempts(house.database) == 2)
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.QUEUED)
    assert len(house.relay.taken) == 1


async def test_a_ledger_that_is_shorter_than_it_was_stops_marketing(house: House) -> None:
    """A failover to a server that lagged behind, or a backup put in place under the daemon."""

    def swap() -> None:
        if order_is_sent():
            with house.database.write() as conn:
                conn.execute(update(ledger_head).values(sequence=1))

    def order_is_sent() -> bool:
        return states(house.database).get(f"order_status:{ANN}") is State.SENT

    for who in ("x@example.org", "y@example.org", "z@example.org"):
        opt_out(house.database, who)
    at_step(house, "compose", swap)
    order_status(house.database)
    async with house.sending():
        await until(order_is_sent)
        campaign_under_way(house.database, "bob@example.org")
        await until(lambda: switch(house).is_on)
        order_status(house.database, key="o2")
        await until(lambda: len(house.relay.taken) == 2)
    assert "this daemon has seen 3" in switch(house).because
    assert states(house.database)["campaign:bob@example.org"] is State.QUEUED
    assert house.relay.to("bob@example.org") == []


def switch(house: House) -> switches.Switch:
    with house.database.read() as conn:
        return switches.get(conn, switches.LIST_DISTRUSTED)


async def test_a_campaign_cancelled_in_flight_ends_unsent(house: House) -> None:
    def cancel() -> None:
        with house.database.write() as conn:
            campaigns.cancel(conn, "spring", "wrong price")

    at_step(house, "compose", cancel)
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {f"campaign:{ANN}": State.CANCELLED}
    assert house.relay.taken == []


async def test_a_lease_lost_before_data_sends_nothing(house: House) -> None:
    """Frozen between RCPT and DATA for longer than the lease: the row is somebody else's by now."""
    house.plan = type(house.plan)(lease_seconds=1.0)

    def freeze() -> None:
        let_leases_run_out(house.database)
        import time

        time.sleep(1.1)  # blocks the whole event loop, heartbeats included, as SIGSTOP would

    at_step(house, "rcpt", freeze)
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: attempts(house.database) > 0)
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is not State.SENDING)
    assert house.relay.taken == []
    assert states(house.database)[f"campaign:{ANN}"] is not State.SENT


async def test_a_look_that_is_too_old_sends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine so slow that the list's answer is a second old when it arrives."""
    monkeypatch.setattr(delivery, "LONGEST_LOOK_AGE", 0.0)
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: attempts(house.database) > 0)
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.QUEUED)
    assert house.relay.taken == []


async def test_the_attempt_is_on_disk_before_mail_from(house: House) -> None:
    seen: list[int] = []
    at_step(house, "mail", lambda: seen.append(attempts(house.database)))
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    assert seen == [1]
