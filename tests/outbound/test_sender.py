"""The sender over a real relay: who gets what, once, and what is withheld at which moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from mailbot.core.consent import Kind, Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Reply
from mailbot.outbound import delivery
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.line import RelayClient
from mailbot.outbound.sender import Composer
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import campaigns, consent, outbox, suppressions, switches
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.people import address, event, person
from tests.store.filling import campaign_under_way, let_leases_run_out

ANN = "ann@example.org"


def states(database: Database) -> dict[str, State]:
    with database.read() as conn:
        listed = conn.execute(select(rows.c.address, rows.c.kind, rows.c.state).order_by(rows.c.id))
        return {f"{row.kind}:{row.address}": State(row.state) for row in listed}


def is_over(database: Database) -> Callable[[], bool]:
    busy = {State.QUEUED, State.CLAIMED, State.SENDING}
    return lambda: not busy & set(states(database).values())


def order_status(database: Database, who: str = ANN, key: str = "o1") -> None:
    with database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(who), person=person(who),
            fields={"order_number": "1001"}, idempotency_key=key, our_domain="shop.example",
        )  # fmt: skip


def opt_out(database: Database, who: str = ANN) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, who))


async def test_everyone_in_a_campaign_gets_it_once(house: House) -> None:
    people = [f"c{number}@example.org" for number in range(25)]
    campaign_under_way(house.database, *people)
    async with house.sending():
        await until(is_over(house.database))
    assert sorted(taken.recipient for taken in house.relay.taken) == sorted(people)
    assert set(states(house.database).values()) == {State.SENT}


async def test_a_suppressed_customer_gets_order_status_and_nothing_else(house: House) -> None:
    opt_out(house.database)
    campaign_under_way(house.database, ANN, "bob@example.org")
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": State.WITHHELD,
        "campaign:bob@example.org": State.SENT,
        f"order_status:{ANN}": State.SENT,
    }
    [to_ann] = house.relay.to(ANN)
    assert to_ann.message["From"] == "Lindenhof Orders <orders@shop.example>"
    assert "List-Unsubscribe" not in to_ann.message


async def test_a_withheld_row_says_why_and_which_list_it_saw(house: House) -> None:
    opt_out(house.database)
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        row = conn.execute(select(rows)).one()
    assert (row.withheld_reason, row.list_sequence) == (Reason.OPT_OUT, 1)


async def test_a_sent_row_says_which_list_it_saw(house: House) -> None:
    opt_out(house.database, "zoe@example.org")
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        assert conn.execute(select(rows.c.list_sequence)).scalar_one() == 1


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

    async def mail(self, sender: str, *, size: int, smtputf8: bool) -> Reply:
        self._at("mail")
        return await self._inner.mail(sender, size=size, smtputf8=smtputf8)

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
            for story in consent.story(conn, person(one.address or ""))
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


async def test_without_the_right_person_key_only_order_status_goes_on(house: House) -> None:
    house.sends_marketing = False
    campaign_under_way(house.database, ANN)
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
        await asyncio.sleep(1.2)  # one more look for rows
    assert states(house.database)[f"campaign:{ANN}"] is State.QUEUED


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


@pytest.mark.parametrize(("reply", "state"), [
    ("450 4.2.0 greylisted", State.DEFERRED),
    ("550 5.1.1 no such user", State.BOUNCED),
    ("550 5.7.1 we do not like you", State.REJECTED),
    ("", State.DEFERRED),  # hangs up before 354
])  # fmt: skip
async def test_the_relays_word_about_a_recipient(house: House, reply: str, state: State) -> None:
    house.relay.script.rcpt[ANN] = reply
    campaign_under_way(house.database, ANN, "bob@example.org")
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": state,
        "campaign:bob@example.org": State.SENT,
    }


async def test_a_bounce_at_rcpt_suppresses_as_undeliverable(house: House) -> None:
    house.relay.script.rcpt[ANN] = "550 5.1.1 no such user"
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        assert suppressions.reasons(conn, person(ANN)) == {Reason.UNDELIVERABLE}


async def test_a_rejected_message_suppresses_nobody(house: House) -> None:
    house.relay.script.rcpt[ANN] = "554 5.7.1 spam"
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        assert suppressions.reasons(conn, person(ANN)) == frozenset()


async def test_marketing_whose_last_answer_was_lost_is_uncertain_and_not_sent_again(
    house: House,
) -> None:
    house.relay.script.hang_up_after_dot = True
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.UNCERTAIN)
        with house.database.write() as conn:
            outbox.recover_expired(conn)
        await asyncio.sleep(1.2)
    assert len(house.relay.taken) == 1


async def test_order_status_whose_answer_was_lost_is_sent_again_under_one_message_id(
    house: House,
) -> None:
    house.relay.script.hang_up_after_dot = True
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.UNCERTAIN)
        house.relay.script.hang_up_after_dot = False
        with house.database.write() as conn:
            assert len(outbox.recover_expired(conn).resent) == 1
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
    assert len(house.relay.taken) == 2
    assert len({taken.message["Message-ID"] for taken in house.relay.taken}) == 1


async def test_a_deferred_row_is_sent_when_its_time_has_come(house: House) -> None:
    house.relay.script.rcpt[ANN] = "450 4.2.0 greylisted"
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.DEFERRED)
        house.relay.script.rcpt.clear()
        with house.database.write() as conn:
            conn.execute(update(rows).values(not_before=DatabaseTime(-1)))
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)


async def test_a_row_that_was_deferred_for_too_long_expires(house: House) -> None:
    house.relay.script.rcpt[ANN] = "450 4.2.0 greylisted"
    order_status(house.database)
    with house.database.write() as conn:
        conn.execute(update(rows).values(created_at=DatabaseTime(-73 * 3600)))
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.EXPIRED)


async def test_a_relay_that_refuses_our_marketing_sender_does_not_hold_order_status_up(
    house: House,
) -> None:
    house.relay.script.mail = "550 5.7.1 sender not allowed"
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(lambda: len(house.relay.commands) > 0)
        house.relay.script.mail = None
        order_status(house.database)
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
        await until(lambda: states(house.database)[f"campaign:{ANN}"] is State.SENT, 15)


async def test_a_relay_that_is_down_costs_nothing_but_time(house: House) -> None:
    order_status(house.database)
    port = house.relay.port
    house.relay.stop()
    async with house.sending():
        await asyncio.sleep(0.5)
        assert states(house.database)[f"order_status:{ANN}"] is State.QUEUED
        revived = type(house.relay)(port=port).start()
        try:
            await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT, 15)
        finally:
            revived.stop()
    assert len(revived.taken) == 1
    with house.database.read() as conn:
        assert conn.execute(select(rows.c.attempts)).scalar_one() == 1


async def test_a_stop_lets_what_is_in_data_finish_and_gives_the_rest_back(house: House) -> None:
    house.relay.script.dot_seconds = 0.5
    house.connections = 1
    for number in range(6):
        order_status(house.database, key=f"o{number}")
    async with house.sending():
        await until(lambda: len(house.relay.commands) >= 2)
    counts = list(states_of_all(house.database))
    assert counts.count(State.SENT) == len(house.relay.taken) == 1
    assert counts.count(State.QUEUED) == 5


async def test_a_stop_that_runs_out_of_time_leaves_uncertain_and_says_so(house: House) -> None:
    house.relay.script.dot_seconds = 4
    house.plan = type(house.plan)(stop_seconds=0.3)
    order_status(house.database)
    async with house.sending():
        await until(lambda: any("RCPT" in command for command in house.relay.commands))
        await asyncio.sleep(0.3)
    assert states(house.database)[f"order_status:{ANN}"] is State.UNCERTAIN


async def test_a_template_that_fails_for_one_recipient_stops_nobody_else(house: House) -> None:
    with house.database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address("bad@example.org"),
            person=person("bad@example.org"), fields={}, idempotency_key="bad",
            our_domain="shop.example",
        )  # fmt: skip
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        "order_status:bad@example.org": State.REJECTED,
        f"order_status:{ANN}": State.SENT,
    }
    with house.database.read() as conn:
        why = conn.execute(select(rows.c.last_reply).where(rows.c.state == "rejected")).scalar_one()
    assert "order_number" in why


async def test_an_acknowledgement_has_a_null_sender_and_answers_the_request(house: House) -> None:
    opt_out(house.database)
    with house.database.write() as conn:
        outbox.enqueue_acknowledgement(
            conn, address=address(ANN), person=person(ANN),
            fields={"in_reply_to": "<wish@example.org>", "references": ["<wish@example.org>"]},
            every_days=30, our_domain="shop.example",
        )  # fmt: skip
    async with house.sending():
        await until(is_over(house.database))
    [told] = house.relay.to(ANN)
    assert told.sender == ""
    assert told.message["In-Reply-To"] == "<wish@example.org>"
    assert told.message["Auto-Submitted"] == "auto-replied"


async def test_marketing_carries_its_way_out(house: House) -> None:
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    [offer] = house.relay.to(ANN)
    assert offer.sender.startswith("help+b-")
    header = offer.content.split(b"List-Unsubscribe: ")[1].split(b"\r\n")[0]
    assert header.startswith(b"<mailto:help+u-")
    assert header.endswith(b"@shop.example?subject=unsubscribe>")
    assert offer.message["Precedence"] == "bulk"


def attempts(database: Database) -> int:
    with database.read() as conn:
        return len(conn.execute(select(delivery_attempts)).all())


def states_of_all(database: Database) -> list[State]:
    with database.read() as conn:
        return [State(state) for state in conn.execute(select(rows.c.state)).scalars()]
