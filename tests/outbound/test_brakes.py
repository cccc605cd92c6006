"""What stops a campaign while it is being sent, seen from the relay."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, update

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, suppressions
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import CampaignState
from mailbot.store.tables import campaigns as campaign_rows
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import House, until
from tests.outbound.sending import ANN, is_over, order_status, states_of_all
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

PEOPLE = [f"c{number}@example.org" for number in range(40)]


def spring(database: Database) -> campaigns.Campaign:
    with database.read() as conn:
        return campaigns.get(conn, "spring")


def listed(database: Database) -> dict[Any, int]:
    with database.read() as conn:
        return dict(suppressions.count_by_reason(conn))


def in_state(database: Database, state: State) -> int:
    with database.read() as conn:
        counted = select(func.count()).where(
            rows.c.state == state, rows.c.kind == MessageKind.CAMPAIGN
        )
        return int(conn.execute(counted).scalar_one())


async def test_a_relay_that_knows_nobody_stops_the_campaign_before_it_empties_the_list(
    house: House,
) -> None:
    """Nine people are taken for gone at most; the tenth is doubted, and nobody else is tried."""
    house.relay.script.rcpt = dict.fromkeys(PEOPLE, "550 5.1.1 no such user")
    campaign_under_way(house.database, *PEOPLE)
    async with house.sending():
        await until(lambda: spring(house.database).state is CampaignState.PAUSED, 30)
        order_status(house.database)
        await until(lambda: len(house.relay.to(ANN)) == 1, 30)
        busy = {State.CLAIMED, State.SENDING}
        await until(lambda: not busy & set(states_of_all(house.database)), 30)
    stopped = spring(house.database)
    assert stopped.hold == "undeliverable"
    assert stopped.because == "10 of 10 cannot be delivered (100.0 %, at most 5 %)"
    assert listed(house.database) == {"undeliverable": 9}
    bounced = in_state(house.database, State.BOUNCED)
    assert 10 <= bounced <= 10 + house.connections
    assert in_state(house.database, State.QUEUED) == len(PEOPLE) - bounced


async def test_a_relay_that_knows_nobody_takes_ten_people_off_and_the_others_get_their_mail(
    house: House,
) -> None:
    """Order status waits until the relay is mended; ten that it took since make good for it."""
    refused = [f"o{number}@example.org" for number in range(30)]
    house.relay.script.rcpt = dict.fromkeys(refused, "550 5.1.1 no such user")
    for who in refused:
        order_status(house.database, who, f"{who}-shipped")
    async with house.sending():
        await until(lambda: states_of_all(house.database).count(State.DEFERRED) == 20, 30)
        assert states_of_all(house.database).count(State.BOUNCED) == 10
        assert listed(house.database) == {"undeliverable": 10}
        house.relay.script.rcpt = {}
        with house.database.write() as conn:
            conn.execute(update(rows).values(not_before=DatabaseTime(-1)))
        await until(lambda: len(house.relay.taken) == 20, 30)
        gone = ANN
        house.relay.script.rcpt = {gone: "550 5.1.1 no such user"}
        await until(is_over(house.database), 30)
        order_status(house.database, gone)
        await until(lambda: listed(house.database) == {"undeliverable": 11}, 30)


async def test_when_its_quiet_hours_begin_no_mail_from_goes_out_any_more(house: House) -> None:
    """Also for what was claimed by then; order status goes on."""
    campaign_under_way(house.database, *PEOPLE)

    def quiet_begins(step: str, recipient: str) -> None:
        if step == "MAIL" and not house.relay.taken:
            with house.database.write() as conn:
                conn.execute(update(campaign_rows).values(open_until=DatabaseTime(-1)))

    house.relay.on_step = quiet_begins
    async with house.sending():
        await until(lambda: len(house.relay.taken) == 1, 30)
        order_status(house.database)
        await until(lambda: len(house.relay.to(ANN)) == 1, 30)
        await until(lambda: in_state(house.database, State.CLAIMED) == 0, 30)
    from_us = [heard.sender for heard in house.relay.heard if heard.step == "MAIL"]
    assert len(from_us) == 2, "one offer, whose MAIL FROM it met, and the order"
    assert in_state(house.database, State.QUEUED) == len(PEOPLE) - 1


async def test_a_pace_holds_over_the_wire(house: House) -> None:
    campaign_under_way(house.database, *PEOPLE)
    with house.database.write() as conn:
        conn.execute(update(campaign_rows).values(per_hour=60))
    async with house.sending():
        await until(lambda: len(house.relay.taken) >= 1, 30)
        for number in range(3):
            order_status(house.database, ANN, f"o{number}")
        await until(lambda: len(house.relay.to(ANN)) == 3, 30)
    assert len(house.relay.taken) == 4
