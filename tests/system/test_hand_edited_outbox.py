"""Somebody edited the outbox by hand: nothing goes out that should not, nothing is stuck for ever.

A daemon as a process over rows whose leases, holders, states and attempts make no sense. Each goes
where its state says, as after a crash, and the log tells how many were taken over.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from mailbot.core.outbox_states import State
from mailbot.store.tables import outbox
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.outbound.sending import order_status
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

PAST, FAR = "2001-01-01 00:00:00.000000", "2999-01-01 00:00:00.000000"
NOBODY = "nobody:1:00000000"

# What is set by hand → where the row ends. A row of a campaign; an order status where it says so.
CLAIMED: Mapping[str, Mapping[str, object]] = {
    "claimed-long-ago": {"state": "claimed", "claimed_by": NOBODY, "lease_until": PAST},
    "claimed-for-ever": {"state": "claimed", "claimed_by": NOBODY, "lease_until": FAR},
    "claimed-without-lease": {"state": "claimed", "claimed_by": NOBODY},
    "claimed-by-nobody": {"state": "claimed", "lease_until": PAST},
    "claimed-by-nobody-for-ever": {"state": "claimed", "lease_until": FAR},
    "claimed-and-nothing-else": {"state": "claimed"},
    "claimed-and-finished": {
        "state": "claimed", "claimed_by": NOBODY, "lease_until": PAST, "finished_at": PAST,
        "last_reply": "250 taken", "list_sequence": 0,
    },
    "claimed-with-an-attempt-that-is-not": {
        "state": "claimed", "claimed_by": NOBODY, "lease_until": PAST, "attempt_id": 987_654,
    },
    "queued-with-an-attempt-that-is-not": {"attempt_id": 987_654},
    "queued-with-a-lease": {"claimed_by": NOBODY, "lease_until": FAR},
    "queued-and-finished": {"finished_at": PAST, "withheld_reason": "opt_out"},
}  # fmt: skip
SENDING: Mapping[str, Mapping[str, object]] = {
    "sending-without-attempt": {"state": "sending", "claimed_by": NOBODY, "lease_until": PAST},
    "sending-for-ever": {"state": "sending", "claimed_by": NOBODY, "lease_until": FAR},
    "sending-and-nothing-else": {"state": "sending"},
    "sending-an-attempt-that-is-not": {
        "state": "sending", "claimed_by": NOBODY, "lease_until": PAST, "attempt_id": 987_654,
    },
}  # fmt: skip
OVER: Mapping[str, Mapping[str, object]] = {
    f"{state}-with-a-lease": {"state": state, "claimed_by": NOBODY, "lease_until": lease}
    for state, lease in (
        ("sent", PAST), ("withheld", PAST), ("cancelled", FAR), ("bounced", PAST),
        ("uncertain", PAST), ("rejected", None),
    )
}  # fmt: skip


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, databases: Databases, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=free_port(), relay_port=relay.port, username="help", password="none",
        lease_seconds=4, url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


def garbled(house: House) -> Mapping[str, Mapping[str, object]]:
    """What only one engine takes: a column of SQLite holds any text, PostgreSQL knows infinity."""
    if house.database.is_sqlite:
        return {
            "claimed-until-someday": {"state": "claimed", "lease_until": "someday"},
            "claimed-until-nothing": {"state": "claimed", "lease_until": ""},
            "claimed-until-zero": {"state": "claimed", "lease_until": 0},
        }
    return {
        "claimed-until-infinity": {"state": "claimed", "lease_until": "infinity"},
        "claimed-until-minus-infinity": {"state": "claimed", "lease_until": "-infinity"},
    }


def edit(house: House, edits: Mapping[str, Mapping[str, object]]) -> None:
    """By SQL, as in a shell of the database's own."""
    with house.database.write() as conn:
        for who, columns in edits.items():
            said = ", ".join(f"{name} = :{name}" for name in columns)
            statement = text(f"UPDATE outbox SET {said} WHERE address = :who")
            changed = conn.execute(statement, {**columns, "who": f"{who}@example.org"})
            assert changed.rowcount >= 1


def states(house: House) -> dict[str, State]:
    with house.database.read() as conn:
        rows = conn.execute(select(outbox.c.address, outbox.c.state))
        return {row.address.partition("@")[0]: State(row.state) for row in rows}


def addresses(edits: Mapping[str, object]) -> list[str]:
    return [f"{who}@example.org" for who in edits]


def told(house: House, what: str) -> list[dict[str, Any]]:
    """The log's events of that name."""
    lines = [json.loads(line) for line in house.log.splitlines()]
    return [line for line in lines if line["event"] == what]


def test_every_row_goes_where_its_state_says_and_no_other_goes_out(
    house: House, relay: relays.Relay
) -> None:
    waiting = {**CLAIMED, **garbled(house)}
    campaign_under_way(house.database, *addresses({**waiting, **SENDING, **OVER}))
    edit(house, {**waiting, **SENDING, **OVER})
    daemon = house.start()
    ends = {
        **dict.fromkeys(waiting, State.SENT),
        **dict.fromkeys(SENDING, State.UNCERTAIN),
        **{who: State(str(columns["state"])) for who, columns in OVER.items()},
    }
    wait_until(lambda: states(house) == ends, 60, "every row has gone where its state says")
    assert sorted(taken.recipient for taken in relay.taken) == sorted(addresses(waiting))

    # It goes on: a row put back under the running daemon, in its own name, is taken over as well.
    [started] = told(house, "daemon_started")
    order_status(house.database, "mine@example.org")
    wait_until(lambda: states(house)["mine"] is State.SENT, 20, "order status is sent")
    edit(house, {"mine": {
        "state": "claimed", "claimed_by": started["claimed_by"], "lease_until": FAR,
    }})  # fmt: skip
    wait_until(lambda: states(house)["mine"] is State.SENT, 30, "it is taken over")
    assert len(relay.to("mine@example.org")) == 2, "as whoever put it back wanted"
    recovered = told(house, "leases_recovered")
    queued = [who for who in waiting if who.startswith("claimed")]
    assert sum(line["queued"] for line in recovered) == len(queued) + 1
    assert sum(line["uncertain"] for line in recovered) == len(SENDING)
    assert house.end(daemon) == 0
    assert "Traceback" not in house.log


@pytest.mark.only_on("sqlite", "PostgreSQL keeps what is no JSON and no time out of its columns")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fields", "{broken"), ("fields", "[]"), ("fields", ""), ("fields", 7),
        ("created_at", "yesterday"), ("created_at", ""), ("attempts", "many"),
    ],
)  # fmt: skip
def test_a_damaged_row_is_refused_and_told_and_stops_nobody_else(
    house: House, relay: relays.Relay, column: str, value: object
) -> None:
    """Read with all the others in one statement, it would end the daemon again and again."""
    order_status(house.database, "bad@example.org", "o1")
    order_status(house.database, "good@example.org", "o2")
    edit(house, {"bad": {column: value}})
    daemon = house.start()
    wait_until(lambda: len(relay.to("good@example.org")) == 1, 20, "the others are sent")
    wait_until(lambda: states(house)["bad"] is State.REJECTED, 20, "it is refused")
    [refused] = told(house, "message_rejected")
    assert refused["why"] == f"row 1 of the outbox is damaged: {column}"
    assert relay.to("bad@example.org") == []
    assert daemon.poll() is None
    assert house.end(daemon) == 0


def test_a_row_that_vanishes_on_its_way_stops_nobody_else(
    house: House, relay: relays.Relay
) -> None:
    """Deleted in a shell that minds no foreign key, after MAIL FROM was heard."""
    campaign_under_way(house.database, "gone@example.org")
    deleted: list[str] = []

    def delete(step: str, recipient: str) -> None:
        if step == "RCPT" and recipient == "gone@example.org" and not deleted:
            deleted.append(recipient)
            with house.database.write() as conn:
                for table, column in (("delivery_attempts", "outbox_id"), ("outbox", "id")):
                    conn.execute(text(f"DELETE FROM {table} WHERE {column} = 1"))

    relay.on_step = delete
    daemon = house.start()
    wait_until(lambda: len(relay.to("gone@example.org")) == 1, 20, "it was on its way")
    order_status(house.database, "ann@example.org")
    wait_until(lambda: states(house) == {"ann": State.SENT}, 20, "order status goes on")
    assert daemon.poll() is None
    assert "outcome_came_late" in house.log
    assert house.end(daemon) == 0


def test_two_daemons_of_one_name_share_the_work_and_double_nothing(
    house: House, relay: relays.Relay
) -> None:
    """Copied with its configuration to a second machine: each start has an identity of its own."""
    config = house.config.read_text(encoding="utf-8")
    house.config.write_text(config + '[daemon]\nname = "mailbot-1"\n', encoding="utf-8")
    people = [f"c{number}@example.org" for number in range(400)]
    campaign_under_way(house.database, *people)
    relay.script.dot_seconds = 0.01
    daemons: list[subprocess.Popen[bytes]] = [house.start(), house.start()]
    names = {str(line["claimed_by"]) for line in told(house, "daemon_started")}
    assert len(names) == 2
    assert all(name.startswith("mailbot-1:") for name in names)
    wait_until(lambda: set(states(house).values()) == {State.SENT}, 60, "all of it is sent")
    assert sorted(taken.recipient for taken in relay.taken) == sorted(people)
    assert [house.end(daemon) for daemon in daemons] == [0, 0]
