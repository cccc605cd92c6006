"""A real Postfix as the relay: who gets what, what it makes of a dot, whom it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.core.consent import Reason
from mailbot.core.outbox_states import State
from mailbot.store import suppressions
from mailbot.store.tables import outbox
from tests.databases import Databases
from tests.house import House, installed, wait_until
from tests.servers import postfix as postfixes
from tests.servers.postfix import Postfix

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not postfixes.is_installed(), reason="needs Postfix, and root to run it"),
]

NOBODY_LISTENS = 9  # the discard port
ANN, BOB, GONE = "ann@example.org", "bob@example.org", "gone@example.org"
AUDIENCE = f"address,name\n{ANN},Ann\n{BOB},Bob\n{GONE},Gil\n"


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    with Postfix() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, databases: Databases, postfix: Postfix) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=NOBODY_LISTENS, relay_port=postfix.port, username="help", password="x",
        url=databases.empty(),
    ) as made:  # fmt: skip
        yield made


def states(house: House) -> dict[tuple[str, str], State]:
    with house.database.read() as conn:
        rows = conn.execute(select(outbox.c.kind, outbox.c.address, outbox.c.state))
        return {(row.kind, row.address): State(row.state) for row in rows}


def run(house: House, *arguments: str, given: str = "") -> str:
    done = house.run(*arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.on_both_engines
def test_who_left_gets_the_order_and_not_the_offer_and_who_is_gone_is_noted(
    house: House, postfix: Postfix, tmp_path: Path
) -> None:
    (tmp_path / "audience.csv").write_text(AUDIENCE)
    (tmp_path / "spring.txt").write_text("Subject: Spring teas\n\nDear {{ name }},\n.\nTea!\n")
    run(house, "suppress", "add", BOB, "--note", "on the telephone")
    run(house, "campaign", "create", "spring", "--text", str(tmp_path / "spring.txt"),
        "--audience", str(tmp_path / "audience.csv"))  # fmt: skip
    run(house, "campaign", "schedule", "spring", "--now")
    run(house, "order-status", "send", given=(
        f'{{"type": "shipped", "to": "{BOB}", "idempotency_key": "o1", "fields": '
        '{"order_number": "1001", "tracking_number": "T1", "carrier": "Post"}}\n'
    ))  # fmt: skip
    daemon = house.start()
    wanted = {
        ("campaign", ANN): State.SENT,
        ("campaign", BOB): State.WITHHELD,
        ("campaign", GONE): State.BOUNCED,
        ("order_status", BOB): State.SENT,
    }
    wait_until(lambda: states(house) == wanted, 40, f"all is over\n{house.log}")
    wait_until(lambda: len(postfix.mail_of("bob")) == 1, 20, "the order is delivered")
    wait_until(lambda: len(postfix.mail_of("ann")) == 1, 20, "the offer is delivered")
    assert house.end(daemon) == 0
    [offer], [order] = postfix.mail_of("ann"), postfix.mail_of("bob")
    assert offer["Subject"] == "Spring teas"
    assert offer["Return-Path"].startswith("<help+b-")
    assert "\n.\nTea!" in str(offer.get_payload()), "the dot that SMTP doubles is single again"
    assert "=?" not in offer["List-Unsubscribe"]
    assert order["From"] == "Lindenhof Orders <orders@shop.example>"
    assert order["List-Unsubscribe"] is None
    with house.database.read() as conn:
        [gone] = [one for one in suppressions.newest(conn, 9) if one.address == GONE]
    assert gone.reason is Reason.UNDELIVERABLE
