"""The policy table, each cell by the real last look: the list in a database, the relay's wire."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from sqlalchemy import select, text

from mailbot.core.consent import ADDS, Reason, Source
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import StoreError
from mailbot.core.outbox_states import State
from mailbot.store import consent, erasure, outbox
from mailbot.store.engine import Database, now
from mailbot.store.order_reports import changes_after
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, is_over, order_status
from tests.people import address, event, person
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

CAMPAIGN, ORDER, ANSWER = (
    MessageKind.CAMPAIGN, MessageKind.ORDER_STATUS, MessageKind.ACKNOWLEDGEMENT
)  # fmt: skip
WITHHELD, SENT = State.WITHHELD, State.SENT

# By hand, so that the code is not measured by itself. Nobody is answered for an import.
CELLS = [
    (None, CAMPAIGN, SENT), (None, ORDER, SENT), (None, ANSWER, SENT),
    (Reason.OPT_OUT, CAMPAIGN, WITHHELD), (Reason.OPT_OUT, ORDER, SENT),
    (Reason.OPT_OUT, ANSWER, SENT),
    (Reason.HELD, CAMPAIGN, WITHHELD), (Reason.HELD, ORDER, SENT),
    (Reason.HELD, ANSWER, WITHHELD),
    (Reason.COMPLAINT, CAMPAIGN, WITHHELD), (Reason.COMPLAINT, ORDER, SENT),
    (Reason.COMPLAINT, ANSWER, WITHHELD),
    (Reason.UNDELIVERABLE, CAMPAIGN, WITHHELD), (Reason.UNDELIVERABLE, ORDER, WITHHELD),
    (Reason.UNDELIVERABLE, ANSWER, WITHHELD),
    (Reason.IMPORTED, CAMPAIGN, WITHHELD), (Reason.IMPORTED, ORDER, SENT),
    (Reason.ERASED, CAMPAIGN, WITHHELD), (Reason.ERASED, ORDER, SENT),
    (Reason.ERASED, ANSWER, WITHHELD),
]  # fmt: skip

# The strictest of several is told, whichever came last.
SEVERAL = [
    (CAMPAIGN, [Reason.OPT_OUT, Reason.COMPLAINT], Reason.COMPLAINT),
    (CAMPAIGN, [Reason.COMPLAINT, Reason.OPT_OUT], Reason.COMPLAINT),
    (CAMPAIGN, [Reason.OPT_OUT, Reason.HELD], Reason.HELD),
    (CAMPAIGN, [Reason.IMPORTED, Reason.OPT_OUT], Reason.OPT_OUT),
    (CAMPAIGN, [Reason.ERASED, Reason.IMPORTED], Reason.IMPORTED),
    (CAMPAIGN, [Reason.UNDELIVERABLE, Reason.COMPLAINT], Reason.UNDELIVERABLE),
    (ORDER, [Reason.UNDELIVERABLE, Reason.OPT_OUT, Reason.COMPLAINT], Reason.UNDELIVERABLE),
    (ANSWER, [Reason.OPT_OUT, Reason.ERASED], Reason.ERASED),
    (ANSWER, [Reason.COMPLAINT, Reason.HELD, Reason.OPT_OUT], Reason.COMPLAINT),
]


def put_on_the_list(database: Database, reasons: Collection[Reason]) -> None:
    kind_of = {reason: kind for kind, reason in ADDS.items()}
    for reason in reasons:
        with database.write() as conn:
            assert consent.record(conn, event(kind_of[reason], ANN)).added == 1


def queue(database: Database, kind: MessageKind) -> None:
    if kind is CAMPAIGN:
        campaign_under_way(database, ANN)
    elif kind is ORDER:
        order_status(database)
    else:
        with database.write() as conn:
            outbox.enqueue_acknowledgement(
                conn, address=address(ANN), person=person(ANN), fields={}, every_days=30,
                our_domain="shop.example",
            )  # fmt: skip


async def what_became_of_it(house: House) -> tuple[State, str | None]:
    """The row's state and the reason it tells, once the sender has let go of it."""
    async with house.sending():
        await until(is_over(house.database))
    with house.database.read() as conn:
        row = conn.execute(select(rows.c.state, rows.c.withheld_reason)).one()
    assert len(house.relay.to(ANN)) == (row.state == State.SENT)
    return State(row.state), row.withheld_reason


@pytest.mark.parametrize(("reason", "kind", "state"), CELLS)
async def test_a_cell_of_the_policy_table(
    house: House, reason: Reason | None, kind: MessageKind, state: State
) -> None:
    queue(house.database, kind)
    put_on_the_list(house.database, [reason] if reason else [])
    told = reason if state is WITHHELD else None
    assert await what_became_of_it(house) == (state, told)


@pytest.mark.parametrize("reason", [one for one in Reason if one is not Reason.UNDELIVERABLE])
async def test_order_status_comes_from_its_own_sender_without_a_marketing_header(
    house: House, reason: Reason
) -> None:
    queue(house.database, ORDER)
    put_on_the_list(house.database, [reason])
    assert await what_became_of_it(house) == (SENT, None)
    (taken,) = house.relay.to(ANN)
    message = taken.message
    assert message["From"].addresses[0].addr_spec == "orders@shop.example"
    marketing = {
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "List-Id",
        "Feedback-ID",
        "Precedence",
    }
    assert marketing.isdisjoint(message.keys())
    [change] = changes_after(house.database, 0, 10).changes
    assert (change.state, change.withheld_reason) == (SENT, None)


async def test_the_shop_is_told_of_an_order_that_was_withheld_as_undeliverable(
    house: House,
) -> None:
    queue(house.database, ORDER)
    put_on_the_list(house.database, [Reason.OPT_OUT, Reason.UNDELIVERABLE])
    assert await what_became_of_it(house) == (WITHHELD, Reason.UNDELIVERABLE)
    [change] = changes_after(house.database, 0, 10).changes
    assert (change.idempotency_key, change.state) == ("o1", WITHHELD)
    assert change.withheld_reason is Reason.UNDELIVERABLE


async def test_an_order_that_is_handed_over_last_goes_before_a_campaign_that_waits(
    house: House,
) -> None:
    house.connections = 1
    customers = [f"customer-{number}@example.org" for number in range(30)]
    campaign_under_way(house.database, *customers)
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    assert house.relay.taken[0].recipient == ANN
    assert len(house.relay.taken) == 31


@pytest.mark.parametrize(("kind", "reasons", "told"), SEVERAL)
async def test_the_strictest_of_several_reasons_is_told(
    house: House, kind: MessageKind, reasons: list[Reason], told: Reason
) -> None:
    queue(house.database, kind)
    put_on_the_list(house.database, reasons)
    assert await what_became_of_it(house) == (WITHHELD, told)


async def test_what_was_queued_for_somebody_who_is_erased_since_is_cancelled(
    house: House,
) -> None:
    queue(house.database, CAMPAIGN)
    with house.database.write() as conn:
        erasure.erase(
            conn, person(ANN), key="erase", source=Source.COMMAND_LINE, received_at=now(conn),
            policy_version="1", evidence={"by": "admin"},
        )  # fmt: skip
    assert await what_became_of_it(house) == (State.CANCELLED, None)


def test_a_message_of_an_unknown_kind_cannot_be_queued(database: Database) -> None:
    queue(database, ORDER)
    with pytest.raises(StoreError, match="kind_is_known"), database.write() as conn:
        conn.execute(text("UPDATE outbox SET kind = 'newsletter'"))
