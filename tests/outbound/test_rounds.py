"""Rounds: outcomes and beginnings share a transaction, and none is lost when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mailbot.core.errors import StoreError, StoreUnavailable
from mailbot.core.outbox_states import State
from mailbot.outbound import rounds as rounds_module
from mailbot.outbound.claims import Claims
from mailbot.outbound.rounds import Rounds
from mailbot.outbound.settlement import Ended, Settlement
from mailbot.store import deliveries
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Connection, Database
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import until
from tests.outbound.sending import opt_out, states_of_all
from tests.store.filling import ME, campaign_under_way, let_leases_run_out

pytestmark = pytest.mark.on_both_engines


@dataclass
class Desk:
    """Rounds over a real database, and what they told."""

    database: Database
    claims: Claims
    told: list[tuple[int, State | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settlement = Settlement(timedelta(hours=72), "1")
        self.rounds = Rounds(self.database, self.claims, settlement, self._tell)

    def _tell(self, ended: Ended, state: State | None) -> None:
        self.told.append((ended.attempt.row.id, state))

    async def claimed(self, *people: str) -> list[ClaimedRow]:
        campaign_under_way(self.database, *people)
        return await self.claims.take(100, with_campaigns=True)

    def state(self, row: ClaimedRow) -> State:
        with self.database.read() as conn:
            return State(conn.execute(select(rows.c.state).where(rows.c.id == row.id)).scalar_one())


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    made = Desk(database, Claims(database, ME, 60))
    running = asyncio.create_task(made.rounds.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


PEOPLE = [f"c{number}@example.org" for number in range(6)]


async def begin_all(desk: Desk, claimed: Sequence[ClaimedRow]) -> list[rounds_module.Begun]:
    begun = await asyncio.gather(*(desk.rounds.begin(row) for row in claimed))
    assert None not in begun
    return [one for one in begun if one is not None]


async def test_an_attempt_is_durable_when_the_line_goes_on(desk: Desk) -> None:
    [row] = await desk.claimed("ann@example.org")
    [begun] = await begin_all(desk, [row])
    assert desk.state(row) is State.SENDING
    with desk.database.read() as conn:
        attempt = conn.execute(select(delivery_attempts)).one()
    assert (attempt.id, attempt.outbox_id) == (begun.attempt.attempt_id, row.id)


async def test_the_look_sees_what_was_committed_before_it_was_asked_for(desk: Desk) -> None:
    [row] = await desk.claimed("ann@example.org")
    [begun] = await begin_all(desk, [row])
    first = await begun()
    opt_out(desk.database, "ann@example.org")
    second = await begun()
    assert (first.look.list_sequence, second.look.list_sequence) == (0, 1)
    assert not first.look.reasons and second.look.reasons
    assert second.asked_at > first.asked_at


async def test_a_row_whose_lease_ran_out_is_not_begun(desk: Desk) -> None:
    lost, kept = await desk.claimed("ann@example.org", "bob@example.org")
    with desk.database.write() as conn:
        conn.execute(update(rows).where(rows.c.id == lost.id).values(lease_until=DatabaseTime(-1)))
    begun = await asyncio.gather(desk.rounds.begin(lost), desk.rounds.begin(kept))
    assert begun[0] is None and begun[1] is not None
    assert (desk.state(lost), desk.state(kept)) == (State.CLAIMED, State.SENDING)


async def test_no_line_ever_has_two_rows_on_their_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled inside each transaction, right after its last statement."""
    most = 0
    begin = deliveries.begin_attempts

    def counting(conn: Connection, ids: Any, **how: Any) -> dict[int, int]:
        nonlocal most
        begun = begin(conn, ids, **how)
        on_their_way = select(func.count()).where(rows.c.state == State.SENDING)
        most = max(most, conn.execute(on_their_way).scalar_one())
        return begun

    monkeypatch.setattr(deliveries, "begin_attempts", counting)
    waiting = list(await desk.claimed(*(f"c{number}@example.org" for number in range(40))))

    async def line() -> None:
        while waiting:
            begun = await desk.rounds.begin(waiting.pop())
            assert begun is not None
            seen = await begun()
            desk.rounds.settle(Ended(begun.attempt, begun.attempt.ends(
                State.SENT, "250 ok", seen.look
            )))  # fmt: skip

    await asyncio.gather(*(line() for _ in range(4)))
    await desk.rounds.finish(20)
    assert set(states_of_all(desk.database)) == {State.SENT}
    assert 1 <= most <= 4


class Away:
    """The database refuses its next so many transactions."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self.error = 0, StoreUnavailable("nobody answers there.", where="store.url")
        self._write, self._quickly = database.commit, database.commit_quickly
        monkeypatch.setattr(database, "commit", self._through(self._write))
        monkeypatch.setattr(database, "commit_quickly", self._through(self._quickly))

    def _through(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def commit(function: Callable[[Connection], object]) -> object:
            if self.times:
                self.times -= 1
                raise self.error
            return await inner(function)

        return commit


@pytest.fixture
def away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(rounds_module, "_FIRST_PAUSE", 0.01)
    return Away(desk.database, monkeypatch)


async def test_an_outcome_outlives_a_database_that_is_away(desk: Desk, away: Away) -> None:
    claimed = await desk.claimed(*PEOPLE)
    begun = await begin_all(desk, claimed[:5])
    away.times = 3
    for one in begun:
        desk.rounds.settle(Ended(one.attempt, one.attempt.ends(State.SENT, "250 ok")))
    assert await desk.rounds.begin(claimed[5]) is None  # not begun: its lease runs out
    await desk.rounds.finish(20)
    assert away.times == 0
    assert [desk.state(row) for row in claimed] == [State.SENT] * 5 + [State.CLAIMED]
    assert sorted(desk.told) == [(row.id, State.SENT) for row in claimed[:5]]


async def test_one_that_cannot_be_written_keeps_no_other_from_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = await desk.claimed(*PEOPLE)
    begun = await begin_all(desk, claimed)
    record = deliveries.record_outcomes

    def refusing(conn: Connection, outcomes: Any) -> set[int]:
        if any(outcome.outbox_id == claimed[2].id for outcome in outcomes):
            raise StoreError("the database said: no", where="store.url")
        return record(conn, outcomes)

    monkeypatch.setattr(deliveries, "record_outcomes", refusing)
    for one in begun:
        desk.rounds.settle(Ended(one.attempt, one.attempt.ends(State.SENT, "250 ok")))
    await desk.rounds.finish(20)
    others = [row for row in claimed if row is not claimed[2]]
    assert {desk.state(row) for row in others} == {State.SENT}
    assert desk.state(claimed[2]) is State.SENDING  # its lease will tell


async def test_who_is_stopped_while_it_begins_leaves_nothing_uncertain(desk: Desk) -> None:
    [row] = await desk.claimed("ann@example.org")
    stopped = asyncio.create_task(desk.rounds.begin(row))
    await asyncio.sleep(0)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    await until(lambda: desk.state(row) is State.QUEUED)


async def test_a_look_that_fails_is_an_error_of_its_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(function: Callable[[Connection], object]) -> object:
        raise StoreUnavailable("nobody answers there.", where="store.url")

    [row] = await desk.claimed("ann@example.org")
    monkeypatch.setattr(desk.database, "look_quickly", failing)
    [begun] = await begin_all(desk, [row])
    with pytest.raises(StoreUnavailable):
        await begun()


async def test_a_bounce_suppresses_and_a_deferral_waits(desk: Desk) -> None:
    claimed = await desk.claimed("gone@example.org", "later@example.org")
    gone, later = await begin_all(desk, claimed)
    desk.rounds.settle(Ended(gone.attempt, gone.attempt.ends(State.BOUNCED, "550 5.1.1 unknown")))
    desk.rounds.settle(Ended(later.attempt, later.attempt.ends(State.DEFERRED, "451 not now")))
    await desk.rounds.finish(20)
    assert [desk.state(row) for row in claimed] == [State.BOUNCED, State.DEFERRED]
    with desk.database.read() as conn:
        look = deliveries.look_before_sending(conn, [claimed[0].id], claimed_by=ME)
        waits = conn.execute(
            select(rows.c.not_before > DatabaseTime()).where(rows.c.id == claimed[1].id)
        ).scalar_one()
    assert look[claimed[0].id].reasons == {"undeliverable"}
    assert waits


async def test_a_late_answer_of_a_row_that_was_taken_over_is_told_as_late(desk: Desk) -> None:
    [row] = await desk.claimed("ann@example.org")
    [begun] = await begin_all(desk, [row])
    let_leases_run_out(desk.database)
    with desk.database.write() as conn:
        conn.execute(update(rows).values(state=State.QUEUED, claimed_by=None, lease_until=None))
    desk.rounds.settle(Ended(begun.attempt, begun.attempt.ends(State.DEFERRED, "451 not now")))
    await desk.rounds.finish(20)
    assert desk.told == [(row.id, None)]
    assert desk.state(row) is State.QUEUED


async def test_a_line_that_failed_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each round from then on would wait for it in vain."""
    monkeypatch.setattr(rounds_module, "_GATHER_SECONDS", 3600.0)
    first, second, third = await desk.claimed(*PEOPLE[:3])
    [failed] = await begin_all(desk, [first])
    waiting = asyncio.create_task(desk.rounds.begin(second))
    await asyncio.sleep(0.05)
    assert not waiting.done(), "a round gathers while a line is under way"
    desk.rounds.let_go()
    begun = await asyncio.wait_for(waiting, 20)
    assert begun is not None and failed.attempt.attempt_id != begun.attempt.attempt_id
    desk.rounds.settle(Ended(begun.attempt, begun.attempt.ends(State.SENT, "250 ok")))
    assert await asyncio.wait_for(desk.rounds.begin(third), 20) is not None
