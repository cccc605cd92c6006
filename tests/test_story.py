"""The whole house on real protocols: a real Dovecot, the daemon as a process, a recording relay.

One story over everything, and a race between a campaign in flight and the opt-outs it meets.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store import ledger, suppressions
from mailbot.store.tables import outbox
from mailbot.store.tables import suppressions as listed
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.inbound.letters import delivery_report, letter
from tests.people import person
from tests.servers import dovecot
from tests.servers import relay as relays

pytestmark = [
    pytest.mark.on_both_engines,
    pytest.mark.skipif(
        not dovecot.is_installed(), reason="Debian's dovecot-imapd and openssl are not installed"
    ),
]

ANN, BOB, CLEO = "ann@example.org", "bob@example.org", "cleo@example.org"


@pytest.fixture
def server() -> Iterator[dovecot.Dovecot]:
    with dovecot.Dovecot() as running:
        yield running


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(
    tmp_path: Path, databases: Databases, server: dovecot.Dovecot, relay: relays.Relay
) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=server.plain_port, relay_port=relay.port,
        username="help", password=dovecot.PASSWORD, url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


def queue_campaign(house: House, name: str, *people: str) -> None:
    audience = house.folder / f"{name}.csv"
    audience.write_text("email,first_name\n" + "".join(f"{who},You\n" for who in people))
    text = house.folder / f"{name}.txt"
    text.write_text("Dear {{ first_name }},\n\nnew teas are in.\n")
    made = house.run(
        "campaign", "create", name, "--subject", "New teas are in",
        "--text", str(text), "--audience", str(audience),
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    scheduled = house.run("campaign", "schedule", name, "--now")
    assert scheduled.returncode == 0, scheduled.stdout + scheduled.stderr


def hand_over(house: House, who: str, key: str) -> None:
    message = {
        "type": "shipped", "to": who, "idempotency_key": key, "fields": {"order_number": "1001"}
    }  # fmt: skip
    sent = house.run("order-status", "send", given=json.dumps(message) + "\n")
    assert sent.returncode == 0, sent.stdout + sent.stderr


def is_listed(house: House, who: str, reason: Reason) -> bool:
    with house.database.read() as conn:
        return reason in suppressions.reasons(conn, person(who))


def all_is_over(house: House, *, offers: int) -> bool:
    with house.database.read() as conn:
        states = conn.execute(select(outbox.c.state).where(outbox.c.kind == "campaign"))
        found = [State(state) for state in states.scalars()]
    return len(found) == offers and not set(found) & {State.QUEUED, State.CLAIMED, State.SENDING}


def is_offer(taken: relays.Taken) -> bool:
    return "List-Unsubscribe" in taken.message


def offers(relay: relays.Relay, who: str) -> list[relays.Taken]:
    return [taken for taken in relay.to(who) if is_offer(taken)]


@pytest.mark.timeout(120)
def test_from_a_mail_in_help_to_the_offer_that_is_not_sent(
    house: House, server: dovecot.Dovecot, relay: relays.Relay
) -> None:
    """Opt-outs of three kinds, two campaigns, order status, a bounce, and what a regulator sees."""
    daemon = house.start()
    # What stands there before is history: heard, and not answered.
    wait_until(lambda: "first_scan_finished" in house.log, 20, "the empty mailbox was read")

    # Ann writes the word, encoded as her client does; Dan asks about his order.
    server.deliver("help", letter("=?utf-8?B?UGxlYXNlIFVuc3Vic2NyaWJlIG1l?=", f"Ann <{ANN}>"))
    question = server.deliver("help", letter("Where is my order 1001?", "dan@example.org"))
    wait_until(lambda: is_listed(house, ANN, Reason.OPT_OUT), 20, "Ann is on the list")

    queue_campaign(house, "spring", ANN, BOB, CLEO)
    hand_over(house, ANN, "order-1001-shipped")
    wait_until(lambda: len(offers(relay, BOB) + offers(relay, CLEO)) == 2, 20, "offers go out")
    wait_until(lambda: len(relay.to(ANN)) == 2, 20, "Ann is answered, and told of her order")
    assert offers(relay, ANN) == []
    assert {taken.message["Auto-Submitted"] for taken in relay.to(ANN)} == {
        "auto-replied", "auto-generated"
    }  # fmt: skip

    # Cleo's mail client writes to the address in List-Unsubscribe, with an empty subject, from
    # another address of hers; Bob's offer comes back.
    [to_cleo], [to_bob] = offers(relay, CLEO), offers(relay, BOB)
    token_address = re.search(r"<mailto:([^?>]+)", str(to_cleo.message["List-Unsubscribe"]))
    assert token_address is not None
    server.deliver("help", letter("", "cleo@home.example", to=token_address[1]))
    server.deliver("help", delivery_report(str(to_bob.message["Message-ID"]), recipient=BOB))
    wait_until(lambda: is_listed(house, CLEO, Reason.OPT_OUT), 20, "Cleo's token is honoured")
    wait_until(lambda: is_listed(house, BOB, Reason.UNDELIVERABLE), 20, "Bob is undeliverable")

    queue_campaign(house, "summer", ANN, BOB, CLEO, "eve@example.org")
    wait_until(lambda: len(offers(relay, "eve@example.org")) == 1, 20, "Eve gets the second offer")
    wait_until(lambda: all_is_over(house, offers=7), 20, "the others' are withheld")
    with house.database.read() as conn:
        rows = conn.execute(select(outbox).where(outbox.c.kind == "campaign")).all()
        assert ledger.verify(conn) is None
    withheld = {row.address: row.withheld_reason for row in rows if row.state == State.WITHHELD}
    assert withheld == {ANN: "opt_out", BOB: "undeliverable", CLEO: "opt_out"}
    assert len(offers(relay, CLEO)) == len(offers(relay, BOB)) == 1, "one offer, before they left"

    why = house.run("why", "ANN@example.org", "--json")
    assert why.returncode == 0
    assert "opt_out" in why.stdout
    assert "Please Unsubscribe me" in why.stdout

    # help@ is untouched: nothing was marked as read, or moved.
    assert set(server.flags("help")) == {1, question, 3, 4}
    assert all(flags == frozenset() for flags in server.flags("help").values())
    assert house.end(daemon) == 0
    assert ANN not in house.log, "no full address in the log"


@pytest.mark.timeout(120)
def test_opt_outs_by_mail_that_race_a_campaign_in_flight(
    house: House, server: dovecot.Dovecot, relay: relays.Relay
) -> None:
    """Whoever is on the list when the look is made gets nothing; the sequence numbers prove it."""
    people = [f"c{number}@example.org" for number in range(60)]
    relay.script.dot_seconds = 0.1  # so that the campaign is in flight for two seconds
    daemon = house.start()
    queue_campaign(house, "spring", *people)
    wait_until(lambda: len(relay.taken) > 3, 20, "the campaign is in flight")
    leaving = people[::2]
    server.drop("help", *(letter("unsubscribe", who) for who in leaving))
    wait_until(
        lambda: all(is_listed(house, who, Reason.OPT_OUT) for who in leaving), 30, "all are heard"
    )

    def is_done() -> bool:
        with house.database.read() as conn:
            states = set(conn.execute(
                select(outbox.c.state).where(outbox.c.kind == "campaign")
            ).scalars())  # fmt: skip
        return not states & {State.QUEUED, State.CLAIMED, State.SENDING}

    wait_until(is_done, 30, "the campaign ends")
    with house.database.read() as conn:
        rows = conn.execute(
            select(outbox.c.address, outbox.c.state, outbox.c.list_sequence, listed.c.sequence)
            .select_from(
                outbox.outerjoin(listed, listed.c.person_hash == outbox.c.person_hash)
            )
            .where(outbox.c.kind == "campaign")
        ).all()  # fmt: skip
    assert len(rows) == 60
    for row in rows:
        left_before_the_look = row.sequence is not None and row.sequence <= row.list_sequence
        if left_before_the_look:
            assert row.state == State.WITHHELD
            assert offers(relay, row.address) == []
        elif row.state == State.SENT:
            assert len(offers(relay, row.address)) == 1
        else:  # withheld by the sweep after its opt-out
            assert (row.state, row.address in leaving) == (State.WITHHELD, True)
    assert sum(row.state == State.WITHHELD for row in rows) > 0, "the race was not run"
    assert house.end(daemon, signal.SIGINT) == 0
