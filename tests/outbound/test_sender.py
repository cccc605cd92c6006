"""The sender over a real relay: who gets what, once, and what a stop leaves."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import StoreError
from mailbot.core.outbox_states import State
from mailbot.core.tokens import verify_opt_out
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.claims import Claims
from mailbot.outbound.delivery import Outgoing
from mailbot.store import outbox
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import outbox as rows
from tests.outbound.conftest import LETTERHEAD, House, until
from tests.outbound.sending import (
    ANN,
    attempts,
    is_over,
    opt_out,
    order_status,
    states,
    states_of_all,
)
from tests.people import address, person
from tests.servers import smtp_sink
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

BOB = "bob@example.org"


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


async def test_without_the_right_person_key_only_order_status_goes_on(house: House) -> None:
    house.sends_marketing = False
    campaign_under_way(house.database, ANN)
    order_status(house.database)
    async with house.sending():
        await until(lambda: states(house.database)[f"order_status:{ANN}"] is State.SENT)
        await asyncio.sleep(1.2)  # one more look for rows
    assert states(house.database)[f"campaign:{ANN}"] is State.QUEUED


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


class Broken:
    """A composer with a fault of its own."""

    async def compose(self, row: ClaimedRow) -> Outgoing:
        raise ZeroDivisionError


async def test_a_fault_of_ours_in_composing_is_told_once_and_not_for_ever(house: House) -> None:
    campaign_under_way(house.database, ANN)
    house.composers[MessageKind.CAMPAIGN] = Broken()
    order_status(house.database)
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": State.REJECTED,
        f"order_status:{ANN}": State.SENT,
    }


async def test_a_sender_whose_heart_stops_ends_and_says_why(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Claims) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Claims, "beat", fail)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(house.sender().run(asyncio.Event()), 10)


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
    assert "List-Unsubscribe-Post" not in offer.message


async def test_with_a_public_page_the_way_out_is_one_click_and_stands_in_the_letter(
    house: House,
) -> None:
    """RFC 8058 §3.1: an https URL that names the person, and the Post field beside it."""
    letterhead = replace(LETTERHEAD, public_url="https://mail.shop.example/out")
    house.composers[MessageKind.CAMPAIGN] = CampaignLetters(house.database, letterhead)
    campaign_under_way(house.database, ANN)
    async with house.sending():
        await until(is_over(house.database))
    [offer] = house.relay.to(ANN)
    [url, mailto] = re.findall(r"<([^>]+)>", offer.message["List-Unsubscribe"])
    assert offer.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = url.removeprefix("https://mail.shop.example/out/u/")
    assert mailto == f"mailto:help+u-{token}@shop.example?subject=unsubscribe"
    verified = verify_opt_out(LETTERHEAD.token_keys, token)
    assert verified.person_hash == person(ANN).person_hash
    body = offer.message.get_body(("plain",))
    assert body is not None and url in body.get_content()


@pytest.mark.skipif(not smtp_sink.is_installed(), reason="Debian's postfix is not installed")
async def test_a_campaign_goes_through_postfixes_own_sink(house: House) -> None:
    """A server that nobody here wrote, and that takes mail as fast as it is given."""
    campaign_under_way(house.database, *(f"c{number}@example.org" for number in range(60)))
    with smtp_sink.SmtpSink() as sink:
        house.relay.port = sink.port
        async with house.sending():
            await until(is_over(house.database))
    assert set(states(house.database).values()) == {State.SENT}
    assert attempts(house.database) == 60


async def test_who_left_by_the_page_is_on_the_list_before_offers_are_claimed(house: House) -> None:
    """What stood at the door before the claim withholds, although nobody took it in yet."""
    campaign_under_way(house.database, ANN, BOB)
    waiting = [ANN]

    async def take_in() -> None:
        for who in [waiting.pop()] if waiting else []:
            opt_out(house.database, who)

    house.before_offers = take_in
    async with house.sending():
        await until(is_over(house.database))
    assert states(house.database) == {
        f"campaign:{ANN}": State.WITHHELD, f"campaign:{BOB}": State.SENT
    }  # fmt: skip


async def test_where_wishes_cannot_be_taken_in_order_status_goes_on_alone(house: House) -> None:
    campaign_under_way(house.database, ANN)
    order_status(house.database, BOB)

    async def take_in() -> None:
        raise StoreError("the wishes cannot be recorded")

    house.before_offers = take_in
    async with house.sending():
        await until(lambda: State.SENT in states(house.database).values())
        await asyncio.sleep(0.3)
    assert states(house.database)[f"campaign:{ANN}"] is State.QUEUED
