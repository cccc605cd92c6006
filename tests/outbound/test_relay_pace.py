"""A relay that says "too many", of one domain or of us, through the whole sender."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from mailbot.core.outbox_states import State
from tests.outbound.conftest import House, Plan, until
from tests.outbound.peer import at_peer, commands, in_order
from tests.outbound.sending import order_status, states
from tests.servers.scripted_smtp import Answer, Peer, ScriptedSmtp
from tests.store.filling import campaign_under_way

SLOW = [f"c{number}@slow.example" for number in range(30)]
QUICK = [f"c{number}@quick.example" for number in range(30)]
OK = b"250 2.1.5 ok\r\n"


def of_domain(relay: list[ScriptedSmtp], domain: str, answer: Answer) -> Answer:
    """`answer` where the last command names this domain, else 250."""

    def say(peer: Peer) -> None:
        chosen = answer if f"@{domain}>" in relay[0].heard[-1] else OK
        if callable(chosen):
            chosen(peer)
        else:
            peer.say(chosen)

    return say


def said_to(peer: ScriptedSmtp, domain: str) -> int:
    return sum(f"@{domain}>" in line for line in commands(peer, "RCPT"))


def count(house: House, domain: str, state: State) -> int:
    found = states(house.database).items()
    return sum(one is state for message, one in found if f"@{domain}." in message)


@pytest.mark.parametrize("reply", [
    b"451 4.7.650 The mail server has been temporarily rate limited\r\n",
    b"421 4.7.28 unusual rate of unsolicited mail\r\n",
    b"450 4.2.1 The user is receiving mail too quickly\r\n",
])  # fmt: skip
async def test_a_domain_that_takes_no_more_is_left_alone_and_holds_nobody_up(
    house: House, reply: bytes
) -> None:
    relay = list[ScriptedSmtp]()
    with ScriptedSmtp({"RCPT": of_domain(relay, "slow.example", reply)}) as peer:
        relay.append(peer)
        campaign_under_way(house.database, *SLOW, *QUICK)
        with capture_logs() as logs:
            async with at_peer(house, peer).sending():
                await until(lambda: count(house, "quick", State.SENT) == len(QUICK), 60)
    asked = said_to(peer, "slow.example")
    # 1, 2, 4 … 60 seconds lie between two questions: however slow this machine is, they are few.
    assert 1 <= asked <= 10
    assert count(house, "slow", State.DEFERRED) == asked
    assert count(house, "slow", State.QUEUED) == len(SLOW) - asked, "not put off: never asked"
    slowed = [event for event in logs if event["event"] == "domain_slowed"]
    assert [event["domain"] for event in slowed] == ["slow.example"] * asked


async def test_a_domain_that_takes_mail_again_gets_all_of_it(house: House) -> None:
    relay = list[ScriptedSmtp]()
    once = in_order(b"451 4.7.1 too many messages\r\n", OK)
    with ScriptedSmtp({"RCPT": of_domain(relay, "slow.example", once)}) as peer:
        relay.append(peer)
        campaign_under_way(house.database, *SLOW[:6])
        async with at_peer(house, peer).sending():
            await until(lambda: count(house, "slow", State.SENT) == 5, 60)
    assert count(house, "slow", State.DEFERRED) == 1
    assert said_to(peer, "slow.example") == 6


async def test_what_a_service_says_of_our_own_account_slows_everything(house: House) -> None:
    """Amazon SES beyond the account's rate: not one message after the other is put off."""
    throttled = b"454 Throttling failure: Maximum sending rate exceeded.\r\n"
    with ScriptedSmtp({".": throttled}) as peer:
        campaign_under_way(house.database, *SLOW, *QUICK)
        async with at_peer(house, peer).sending():
            await until(lambda: len(peer.bodies) >= 3, 30)
    everywhere = list(states(house.database).values())
    assert everywhere.count(State.DEFERRED) == len(peer.bodies) <= 8, "each second, each two, four"
    assert everywhere.count(State.QUEUED) == len(SLOW + QUICK) - len(peer.bodies)


async def test_order_status_to_a_slow_domain_goes_before_its_offers(house: House) -> None:
    relay = list[ScriptedSmtp]()
    twice = in_order(b"451 4.7.1 too many\r\n", b"451 4.7.1 too many\r\n", OK)
    house.plan = Plan(batch_size=100)
    with ScriptedSmtp({"RCPT": of_domain(relay, "slow.example", twice)}) as peer:
        relay.append(peer)
        campaign_under_way(house.database, *SLOW)
        async with at_peer(house, peer).sending() as sender:
            await until(lambda: said_to(peer, "slow.example") == 2, 30)
            order_status(house.database, "ann@slow.example")
            sender.wake()
            await until(lambda: said_to(peer, "slow.example") == 3, 30)
    asked = commands(peer, "RCPT")
    assert asked[2] == "RCPT TO:<ann@slow.example>"
