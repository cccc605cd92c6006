"""A restored backup under a real daemon: nobody who left is mailed, order status goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbot.core.consent import Reason
from mailbot.store import suppressions, switches
from mailbot.store.engine import Database
from tests.house import House, installed, wait_until
from tests.people import person
from tests.servers import relay as relays
from tests.test_daemon import NOBODY_LISTENS, hand_over
from tests.test_story import is_offer, queue_campaign

ANN, BOB, CLEO, DAN = (f"{name}@example.org" for name in ("ann", "bob", "cleo", "dan"))


@pytest.fixture
def relay() -> Iterator[relays.Relay]:
    with relays.running() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, relay: relays.Relay) -> Iterator[House]:
    with installed(
        tmp_path, imap_port=NOBODY_LISTENS, relay_port=relay.port, username="help", password="x"
    ) as made:
        yield made


def typed(house: House, *arguments: str, code: int = 0) -> str:
    done = house.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def offers(relay: relays.Relay, who: str) -> int:
    return sum(map(is_offer, relay.to(who)))


@pytest.mark.timeout(120)
def test_who_opted_out_after_the_backup_gets_no_offer_and_marketing_waits_for_a_person(
    house: House, relay: relays.Relay
) -> None:
    backup = str(house.folder / "backup.db")
    typed(house, "suppress", "add", ANN)
    queue_campaign(house, "spring", ANN, BOB, CLEO)  # under way in the backup
    typed(house, "db", "backup", backup)

    for who in (BOB, DAN):  # by phone: no mail in help@ will tell of it again
        typed(house, "suppress", "add", who)
    daemon = house.start()
    wait_until(lambda: offers(relay, CLEO) == 1, 20, "the offer goes out")
    assert "mailbot runs" in house.run("db", "restore", backup).stderr
    daemon.send_signal(signal.SIGKILL)
    daemon.wait(10)
    house.database.close()
    typed(house, "db", "restore", backup)
    house.database = Database.open(house.settings.store.url)

    house.start()
    assert "database_behind_journal" in house.log
    with house.database.read() as conn:
        assert suppressions.reasons(conn, person(BOB)) == {Reason.OPT_OUT}
        assert suppressions.reasons(conn, person(DAN)) == {Reason.OPT_OUT}
        assert switches.is_marketing_stopped(conn)
    queue_campaign(house, "summer", BOB, CLEO, DAN)
    hand_over(house, BOB)
    wait_until(lambda: len(relay.to(BOB)) == 1, 20, "order status goes on")
    typed(house, "start-marketing")  # is no acceptance
    hand_over(house, DAN)
    wait_until(lambda: len(relay.to(DAN)) == 1, 20, "the sender has looked again")
    assert offers(relay, CLEO) == 1

    assert "spring" in typed(house, "restore", "show", code=1)
    typed(house, "restore", "accept", "--note", "spring was sent by then")
    wait_until(lambda: offers(relay, CLEO) == 2, 20, "summer goes out")
    for who in (ANN, BOB, DAN):
        assert offers(relay, who) == 0
    assert "paused" in typed(house, "campaign", "status", "spring")
    typed(house, "ledger", "verify")
