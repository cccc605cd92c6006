"""Whatever stops a message is committed between every two steps of its way: the look divides.

What commits before the look withholds, pauses or cancels; what commits after it came too late, and
the row says by its list sequence number that it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from mailbot.cli.why.answer import Judged
from mailbot.cli.why.story import Story, tell
from mailbot.core.consent import Reason, Source
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, erasure, ledger, switches
from mailbot.store.engine import Database, now
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, opt_out, order_status
from tests.outbound.steps import BEFORE_LOOK, STEPS, Step, happens
from tests.people import address, person
from tests.servers.scripted_smtp import ScriptedSmtp
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

ZOE = "zoe@example.org"  # somebody else

each_step = pytest.mark.parametrize("step", [pytest.param(step, id=step.value) for step in STEPS])


@pytest.fixture
def server() -> Iterator[ScriptedSmtp]:
    with ScriptedSmtp() as running:
        yield running


@dataclass(frozen=True)
class Row:
    """What the outbox says of the message to Ann."""

    state: State
    address: str | None
    list_sequence: int | None
    reason: str | None
    reply: str | None
    claimed_by: str | None


def row_of(database: Database) -> Row:
    with database.read() as conn:
        row = conn.execute(select(rows).where(rows.c.person_hash == person(ANN).person_hash)).one()
    return Row(
        State(row.state), row.address, row.list_sequence, row.withheld_reason, row.last_reply,
        row.claimed_by,
    )  # fmt: skip


def attempts_saw(database: Database) -> list[int | None]:
    with database.read() as conn:
        chosen = select(delivery_attempts.c.list_sequence).order_by(delivery_attempts.c.id)
        return list(conn.execute(chosen).scalars())


def length_of_ledger(database: Database) -> int:
    with database.read() as conn:
        return ledger.head_sequence(conn)


def story(database: Database) -> tuple[Story, Judged]:
    """What `mailbot why ann@example.org --campaign spring` knows."""
    with database.read() as conn:
        told = tell(conn, address(ANN), person(ANN), "spring")
    return told, told.messages[-1]


def pause(database: Database) -> None:
    with database.write() as conn:
        campaigns.pause(conn, "spring", "wrong price")


def cancel(database: Database) -> None:
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")


def stop_marketing(database: Database) -> None:
    with database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong price")


def erase(database: Database) -> None:
    with database.write() as conn:
        erasure.erase(
            conn, person(ANN), key="erase-1", source=Source.COMMAND_LINE, received_at=now(conn),
            policy_version="1", evidence={"by": "admin"},
        )  # fmt: skip


async def meet(
    house: House,
    server: ScriptedSmtp,
    step: Step,
    action: Callable[[Database], None],
    end: State,
    monkeypatch: pytest.MonkeyPatch,
) -> Row:
    """One offer to Ann, which `action` meets at `step`; the row when it has come to its `end`.

    Where that is to wait, two order messages are sent after each other: between them the sender
    asked for what is due, offers included, and left this one alone.
    """
    opt_out(house.database, ZOE)  # so that the ledger is not empty
    campaign_under_way(house.database, ANN)
    done = happens(house, server, step, lambda: action(house.database), monkeypatch)
    async with house.sending():
        await until(lambda: done.is_done)
        await until(lambda: has_ended(row_of(house.database), end))
        for key in ("o1", "o2") if end is State.QUEUED else ():
            before = len(server.bodies)
            order_status(house.database, ZOE, key)
            await until(lambda before=before: len(server.bodies) > before)  # type: ignore[misc]
    row = row_of(house.database)
    assert has_ended(row, end), f"it went on to {row}"
    assert server.heard.count("DATA") == len(server.bodies)
    return row


def has_ended(row: Row, end: State) -> bool:
    return row.state is end and row.claimed_by is None


def offers(server: ScriptedSmtp) -> int:
    return sum(b"List-Unsubscribe:" in body for body in server.bodies)


@each_step
async def test_an_opt_out_divides_at_the_look(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = step not in BEFORE_LOOK
    end = State.SENT if is_sent else State.WITHHELD
    row = await meet(house, server, step, opt_out, end, monkeypatch)
    left_at = length_of_ledger(house.database)
    told, judged = story(house.database)
    assert told.answer is not None
    assert offers(server) == is_sent
    if is_sent:
        assert (row.reason, row.list_sequence) == (None, left_at - 1)
        assert judged.is_right is True
        assert f"before event #{left_at} (opt out), not on the list then" in told.answer
        assert f"(seen up to #{left_at - 1})" in told.answer
    else:
        assert (row.reason, row.list_sequence) == (Reason.OPT_OUT, left_at)
        assert (judged.is_right, judged.event) == (True, left_at)
        assert told.answer.startswith("did not get spring: withheld at ")
        assert f"because of event #{left_at} (opt out)" in told.answer
    assert attempts_saw(house.database) == [row.list_sequence]


@each_step
async def test_an_opt_out_never_stops_order_status(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_status(house.database)
    done = happens(house, server, step, lambda: opt_out(house.database), monkeypatch)
    async with house.sending():
        await until(lambda: done.is_done)
        await until(lambda: row_of(house.database).state is State.SENT)
    assert row_of(house.database).list_sequence == (1 if step in BEFORE_LOOK else 0)
    assert len(server.bodies) == 1


@each_step
async def test_a_pause_divides_at_the_look_and_keeps_the_row(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = step not in BEFORE_LOOK
    end = State.SENT if is_sent else State.QUEUED
    row = await meet(house, server, step, pause, end, monkeypatch)
    told, judged = story(house.database)
    assert told.answer is not None
    assert offers(server) == is_sent
    if is_sent:
        assert (row.list_sequence, judged.is_right) == (1, True)
        assert told.answer.startswith("got spring at ")
    else:
        assert told.answer == "did not get spring yet: it waits (the campaign is paused)."
        assert judged.is_right is None
    if step is Step.BEGUN:
        assert row.reply == "the campaign is paused"


@each_step
async def test_a_cancellation_divides_at_the_look(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = step not in BEFORE_LOOK
    end = State.SENT if is_sent else State.CANCELLED
    row = await meet(house, server, step, cancel, end, monkeypatch)
    told, judged = story(house.database)
    assert told.answer is not None
    assert offers(server) == is_sent
    if is_sent:
        assert (row.list_sequence, judged.is_right) == (1, True)
        assert told.answer.startswith("got spring at ")
    else:
        assert told.answer == "did not get spring: it was cancelled: wrong price."


@each_step
async def test_stop_marketing_divides_at_the_look_and_keeps_the_row(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = step not in BEFORE_LOOK
    end = State.SENT if is_sent else State.QUEUED
    row = await meet(house, server, step, stop_marketing, end, monkeypatch)
    told, judged = story(house.database)
    assert told.answer is not None
    assert offers(server) == is_sent
    if is_sent:
        assert (row.list_sequence, judged.is_right) == (1, True)
        assert told.answer.startswith("got spring at ")
    else:
        assert told.answer == (
            "did not get spring yet: it waits "
            "(the campaign is sending, and all marketing is stopped)."
        )
        assert judged.is_right is None
    if step is Step.BEGUN:
        assert row.reply == "marketing is stopped"


@each_step
async def test_an_erasure_divides_at_the_look_and_leaves_no_address(
    house: House, server: ScriptedSmtp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = step not in BEFORE_LOOK
    # A row that waits is cancelled by the erasure itself, one that was begun meets the list.
    end = State.SENT if is_sent else State.WITHHELD if step is Step.BEGUN else State.CANCELLED
    row = await meet(house, server, step, erase, end, monkeypatch)
    _, judged = story(house.database)
    assert offers(server) == is_sent
    assert (row.address, row.reply) == (None, None)
    if is_sent:
        assert row.list_sequence == length_of_ledger(house.database) - 1
        assert judged.is_right is True
    if step is Step.BEGUN:
        assert (row.reason, row.list_sequence) == (Reason.ERASED, length_of_ledger(house.database))
