"""Clocks that jump: the database's by a day, the machine's boot clock by a sleep, and twice a year.

Leases and order go by the database's clock; how sure a lease is, and how old a look, by
CLOCK_BOOTTIME, which nobody sets and which goes on while the machine sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from mailbot.cli.campaign.sending_time import read_sending_time
from mailbot.core.errors import StoreUnavailable
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, outbox
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Connection, Database
from mailbot.store.engine import now as database_now
from mailbot.store.tables import CampaignState, delivery_attempts
from mailbot.store.tables import campaigns as campaign_rows
from mailbot.store.tables import outbox as rows
from tests.clock import DatabaseClock
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, is_over, opt_out, order_status, states, states_of_all
from tests.outbound.steps import Step, happens
from tests.servers.scripted_smtp import ScriptedSmtp
from tests.store.filling import begin, campaign_under_way, claim, state_of

pytestmark = pytest.mark.on_both_engines

DAY = timedelta(days=1)
each_step = pytest.mark.parametrize("step", [
    pytest.param(step, id=step.value)
    for step in (Step.CLAIMED, Step.BEGUN, Step.LOOKED, Step.ACCEPTED, Step.DOT, Step.ANSWERED)
])  # fmt: skip


@pytest.fixture
def server() -> Iterator[ScriptedSmtp]:
    with ScriptedSmtp() as running:
        yield running


@pytest.fixture
def clock(database: Database) -> DatabaseClock:
    return DatabaseClock(database)


class BootClock:
    """CLOCK_BOOTTIME as after a sleep of the machine; every other clock goes on as it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._slept = 0.0
        read = time.clock_gettime
        monkeypatch.setattr(
            time, "clock_gettime",
            lambda clock: read(clock) + (self._slept if clock == time.CLOCK_BOOTTIME else 0),
        )  # fmt: skip

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@pytest.fixture
def boot_clock(monkeypatch: pytest.MonkeyPatch) -> BootClock:
    return BootClock(monkeypatch)


def sweep(database: Database) -> None:
    """What every daemon does every few seconds."""
    with database.write() as conn:
        outbox.recover_expired(conn, resend_after_seconds=600)


def say_it_goes_on(database: Database) -> None:
    """A day ahead is a day too late, and mailbot asks: the answer that a person gives."""
    with database.write() as conn:
        conn.execute(campaign_rows.update().values(attended_at=DatabaseTime()))


def test_the_clock_of_a_test_is_the_databases(database: Database, clock: DatabaseClock) -> None:
    clock.set(datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC))
    with database.read() as conn:
        assert timedelta() <= database_now(conn) - datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC) < DAY


@each_step
async def test_a_clock_that_jumps_ahead_ends_every_lease_and_doubles_nothing(
    house: House, server: ScriptedSmtp, clock: DatabaseClock, step: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And in that very moment somebody sweeps: the worst that can happen."""

    def jump() -> None:
        clock.jump(DAY)
        sweep(house.database)
        say_it_goes_on(house.database)

    campaign_under_way(house.database, ANN)
    happened = happens(house, server, step, jump, monkeypatch)
    async with house.sending():
        await until(lambda: happened.is_done)
        await until(is_over(house.database))
        order_status(house.database)
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
    offers = [body for body in server.bodies if b"List-Unsubscribe:" in body]
    # Swept between attempt and look, it is in doubt for whoever swept it.
    end = State.UNCERTAIN if step is Step.BEGUN else State.SENT
    assert states(house.database)[f"campaign:{ANN}"] is end
    assert len(offers) == (end is State.SENT)


@each_step
async def test_a_clock_that_jumps_back_doubles_nothing_and_holds_nothing_up(
    house: House, server: ScriptedSmtp, clock: DatabaseClock, step: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clock.jump(DAY)
    campaign_under_way(house.database, ANN)
    with house.database.write() as conn:  # it was due before the jump, and stays so
        conn.execute(rows.update().values(not_before=database_now(conn) - 2 * DAY))
    happened = happens(house, server, step, lambda: clock.jump(-DAY), monkeypatch)
    async with house.sending():
        await until(lambda: happened.is_done)
        await until(is_over(house.database))
    assert states(house.database) == {f"campaign:{ANN}": State.SENT}
    assert len(server.bodies) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_a_dead_daemons_lease_from_before_the_clock_went_back_is_taken_over(
    database: Database, clock: DatabaseClock, begun: bool
) -> None:
    """Or its rows would wait for as long as the clock had been ahead."""
    campaign_under_way(database, ANN)
    clock.jump(DAY)
    say_it_goes_on(database)
    [row] = claim(database, by="dead")
    if begun:
        begin(database, row, by="dead")
    clock.jump(-DAY)
    sweep(database)
    assert state_of(database, row.id) is (State.UNCERTAIN if begun else State.QUEUED)


async def test_a_machine_that_slept_before_data_sends_nothing(
    house: House, server: ScriptedSmtp, boot_clock: BootClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLOCK_MONOTONIC stood still meanwhile, and would have been sure of the lease."""
    campaign_under_way(house.database, ANN)
    happened = happens(
        house, server, Step.RCPT, lambda: boot_clock.sleep(house.plan.lease_seconds), monkeypatch
    )
    async with house.sending():
        await until(lambda: happened.is_done)
        await until(lambda: states_of_all(house.database) == [State.SENT])
    words = [line.split()[0] for line in server.heard]
    assert words[words.index("RCPT") + 1] == "EHLO", "it hung up, and sent under another lease"
    assert len(server.bodies) == 1
    with house.database.read() as conn:
        chosen = select(delivery_attempts.c.reply).order_by(delivery_attempts.c.id)
        assert conn.execute(chosen).scalars().first() == "the lease ran out before DATA"


@pytest.mark.parametrize(
    "step", [pytest.param(step, id=step.value) for step in (Step.BEGUN, Step.LOOKED, Step.MAIL)]
)
async def test_a_look_that_grew_old_before_mail_from_was_answered_is_made_again(
    house: House, server: ScriptedSmtp, boot_clock: BootClock, step: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A daemon held up between its look and MAIL FROM, while its lease is good for long."""

    def hold_up() -> None:
        boot_clock.sleep(5)
        opt_out(house.database)

    campaign_under_way(house.database, ANN)
    happened = happens(house, server, step, hold_up, monkeypatch)
    async with house.sending():
        await until(lambda: happened.is_done)
        await until(is_over(house.database))
    assert server.bodies == []
    assert "DATA" not in server.heard
    with house.database.read() as conn:
        row = conn.execute(select(rows)).one()
    assert (row.state, row.list_sequence) == (State.WITHHELD, 1)


async def test_a_second_look_that_fails_sends_nothing_and_leaves_a_clean_line(
    house: House, server: ScriptedSmtp, boot_clock: BootClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away in the middle of a transaction that the relay has half accepted."""
    look = house.database.look_quickly
    failures: list[StoreUnavailable] = []

    async def fail_once(function: Callable[[Connection], Any]) -> Any:
        if happened.is_done and not failures:
            failures.append(StoreUnavailable("nobody answers there", where="the database"))
            raise failures[0]
        return await look(function)

    campaign_under_way(house.database, ANN)
    happened = happens(house, server, Step.MAIL, lambda: boot_clock.sleep(5), monkeypatch)
    monkeypatch.setattr(house.database, "look_quickly", fail_once)
    async with house.sending():
        await until(is_over(house.database))
    words = [line.split()[0] for line in server.heard]
    first = ["EHLO", "MAIL", "RCPT", "RSET"]
    assert words[: len(first) + 3] == [*first, "MAIL", "RCPT", "DATA"]
    assert states(house.database) == {f"campaign:{ANN}": State.SENT}
    assert len(server.bodies) == 1


async def test_a_look_made_for_several_is_not_kept_while_the_first_goes_out(
    house: House, server: ScriptedSmtp, boot_clock: BootClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = "bob@example.org"

    def take_long() -> None:
        boot_clock.sleep(1.1)
        opt_out(house.database, bob)

    campaign_under_way(house.database, ANN, bob)
    happened = happens(house, server, Step.DOT, take_long, monkeypatch)
    async with house.sending():
        await until(lambda: happened.is_done)
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": State.SENT, f"campaign:{bob}": State.WITHHELD
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns"])
@pytest.mark.parametrize(
    ("written", "in_zone", "moment"),
    [
        ("2027-03-28 03:00", "Europe/Berlin", "2027-03-28T01:00+00:00"),  # after the skipped hour
        ("2027-03-28 01:59", "Europe/Berlin", "2027-03-28T00:59+00:00"),
        ("2027-10-31 02:30+02:00", None, "2027-10-31T00:30+00:00"),  # the first of two
        ("2027-10-31 02:30+01:00", None, "2027-10-31T01:30+00:00"),
        ("2027-10-31 03:00", "Europe/Berlin", "2027-10-31T02:00+00:00"),
        ("2027-04-04 02:00", "Australia/Lord_Howe", "2027-04-03T15:30+00:00"),  # by half an hour
    ],
)
def test_a_campaign_starts_at_its_moment_where_clocks_are_put_forward_or_back(
    database: Database, clock: DatabaseClock, monkeypatch: pytest.MonkeyPatch,
    zone: str, written: str, in_zone: str | None, moment: str,
) -> None:  # fmt: skip
    """By the zone that was named, whatever the zone of the machine is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        meant = datetime.fromisoformat(moment)
        clock.set(meant - timedelta(hours=3))
        with database.write() as conn:
            campaigns.create(conn, name="spring", subject="T", text_source="T", html_source=None)
            campaigns.finish_loading(conn, "spring")
            at = read_sending_time(written, in_zone, database_now(conn))
            campaigns.schedule(conn, "spring", at)
        assert at == meant
        clock.set(meant - timedelta(seconds=30))
        with database.write() as conn:
            assert campaigns.start_due(conn) == []
        clock.jump(timedelta(seconds=30))
        with database.write() as conn:
            [started] = campaigns.start_due(conn)
        assert started.state is CampaignState.SENDING
    finally:
        monkeypatch.undo()
        time.tzset()
