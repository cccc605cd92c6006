"""`stop-marketing` at full speed: once it is answered, no claim and no look passes it by."""

from __future__ import annotations

import threading
import time

import pytest

from mailbot.core.eligibility import MessageKind
from mailbot.store import deliveries, outbox, switches
from mailbot.store.engine import Database
from mailbot.store.switches import LIST_DISTRUSTED, MARKETING_STOPPED
from tests.databases import Databases
from tests.store.filling import campaign_under_way
from tests.store.locks import deadlocks

PEOPLE = tuple(f"c{number}@example.org" for number in range(400))


def turn(database: Database, name: str, *, is_on: bool) -> None:
    with database.write() as conn:
        switches.turn(conn, name, is_on=is_on, because="a wrong price")


class _Sender(threading.Thread):
    """Claims offers, begins them and looks; notes when it asked, and what it was told."""

    def __init__(self, database: Database, name: str, is_over: threading.Event) -> None:
        super().__init__(name=name)
        self._database, self._is_over = database, is_over
        self.claims: list[tuple[float, int]] = []
        self.looks: list[tuple[float, bool]] = []
        self.faults: list[BaseException] = []

    def run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._round()
        except BaseException as fault:
            self.faults.append(fault)

    def _round(self) -> None:
        asked = time.monotonic()
        with self._database.write() as conn:
            rows = outbox.claim(
                conn, claimed_by=self.name, lease_seconds=60, limit=3, with_campaigns=True
            )
            ids = [row.id for row in rows]
        self.claims.append((asked, sum(row.kind is MessageKind.CAMPAIGN for row in rows)))
        with self._database.write() as conn:
            deliveries.begin_attempts(conn, ids, claimed_by=self.name, lease_seconds=60)
        for row_id in ids:
            asked = time.monotonic()
            with self._database.read() as conn:
                found = deliveries.look_before_sending(conn, [row_id], claimed_by=self.name)
            self.looks.append((asked, found[row_id].is_marketing_stopped))


@pytest.mark.parametrize("name", [MARKETING_STOPPED, LIST_DISTRUSTED])
def test_nothing_that_begins_after_the_stop_is_answered_takes_an_offer(
    database: Database, name: str
) -> None:
    campaign_under_way(database, *PEOPLE)
    is_over = threading.Event()
    senders = [_Sender(database, f"daemon-{number}", is_over) for number in range(3)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while not all(len(sender.looks) > 3 for sender in senders):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    turn(database, name, is_on=True)
    answered = time.monotonic()
    seen = [len(sender.claims) for sender in senders]
    while any(len(one.claims) < before + 4 for one, before in zip(senders, seen, strict=True)):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    is_over.set()
    for sender in senders:
        sender.join(30)
        assert sender.faults == []
        assert [count for asked, count in sender.claims if asked > answered and count] == []
        assert [asked for asked, is_on in sender.looks if asked > answered and not is_on] == []
        assert any(not is_on for _, is_on in sender.looks), "it was at work before"


def test_many_who_stop_and_start_at_once_hinder_nobody(databases: Databases) -> None:
    url = databases.migrated()
    database = Database.open(url)
    faults: list[BaseException] = []

    def turn_often(is_on: bool) -> None:
        try:
            for _ in range(10):
                for name in (MARKETING_STOPPED, LIST_DISTRUSTED):
                    turn(database, name, is_on=is_on)
        except BaseException as fault:
            faults.append(fault)

    both = [threading.Thread(target=turn_often, args=(bool(number % 2),)) for number in range(6)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert faults == []
    turn(database, MARKETING_STOPPED, is_on=True)
    with database.read() as conn:
        assert switches.is_marketing_stopped(conn)
    database.close()
    if not database.is_sqlite:
        again = Database.open(url)
        assert deadlocks(again) == 0
        again.close()
