"""Everybody who writes to the store, at once: each worker takes the locks that its story takes."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Source, batch_digest
from mailbot.core.eligibility import Withheld, decide
from mailbot.core.outbox_states import State
from mailbot.core.person import Person
from mailbot.lists.importing import Order, import_list
from mailbot.lists.rows import Wanted
from mailbot.store import (
    campaigns,
    consent,
    deliveries,
    outbox,
    reviews,
    sent_messages,
    suppressions,
)
from mailbot.store.consent import Entry
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Connection, Database
from mailbot.store.outbox import ClaimedRow
from mailbot.store.reviews import Place
from mailbot.store.tables import ReviewState
from tests.people import PERSON_KEY, event, person

LEAVERS = tuple(f"leaver{number}@example.org" for number in range(8))  # who never come back
OTHERS = tuple(f"other{number}@example.org" for number in range(4))  # who come and go
CAMPAIGNS = ("spring", "summer", "autumn")
ROUNDS = 12  # of each worker
SECONDS = 12.0  # and no longer


@dataclass
class Crowd:
    """What the workers share. `keys` are of every event whose transaction was committed."""

    database: Database
    keys: set[str] = field(default_factory=set)
    faults: list[BaseException] = field(default_factory=list)
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def rounds(self) -> range:
        """How often a worker acts: fewer times on a machine that is slow."""
        return range(ROUNDS if time.monotonic() < self.until else 0)

    def is_late(self) -> bool:
        return time.monotonic() > self.until

    def record(self, one: ConsentEvent) -> None:
        with self.database.write() as conn:
            consent.record(conn, one)
        self.keys.add(one.key)

    def leave(self, one: ConsentEvent) -> None:
        """As intake does: the event, and then, by itself, what waits for this person."""
        self.record(one)
        with self.database.write() as conn:
            for reason in suppressions.reasons(conn, one.person):
                outbox.withhold_marketing_of(conn, one.person, reason)
                return


Worker = Callable[[Crowd, random.Random], None]


def hear_mail(crowd: Crowd, chance: random.Random) -> None:
    """Opt-outs by mail, half of them heard twice, and people who come back."""
    for number in crowd.rounds():
        crowd.leave(event(Kind.OPT_OUT, chance.choice(LEAVERS), key=f"mail:{chance.random()}"))
        crowd.leave(event(Kind.OPT_OUT, chance.choice(LEAVERS), key=f"twice:{number // 2}"))
        who = chance.choice(OTHERS)
        crowd.leave(event(Kind.OPT_OUT, who, minutes=number, key=f"left:{chance.random()}"))
        crowd.record(event(
            Kind.OPT_IN, who, minutes=number + 20, key=f"back:{chance.random()}"
        ))  # fmt: skip


def press_one_click(crowd: Crowd, chance: random.Random) -> None:
    """Opt-outs by token, which names the exact hash alone."""
    for _ in crowd.rounds():
        one = event(Kind.OPT_OUT, chance.choice(LEAVERS), key=f"click:{chance.random()}")
        exact = one.person.person_hash
        crowd.leave(replace(
            one, source=Source.ONE_CLICK, person=Person(exact, exact), address=None
        ))  # fmt: skip


def decide_reviews(crowd: Crowd, chance: random.Random) -> None:
    """People held for a doubtful mail, and decided about: the item is locked before the head."""
    for _ in crowd.rounds():
        who, mark = chance.choice([*LEAVERS, *OTHERS]), str(chance.random())
        held = event(Kind.HELD, who, key=f"mail:{mark}:held:{person(who).person_hash}")
        item_key = f"mail:{mark}:{person(who).person_hash}"
        with crowd.database.write() as conn:
            reviews.open_item(
                conn, key=item_key, person=person(who), place=Place("help", "INBOX", 1, 1),
                rule="negation", because="the subject says not to",
            )  # fmt: skip
            consent.record(conn, held)
        crowd.keys.add(held.key)
        with crowd.database.write() as conn:
            [item] = [each for each in reviews.waiting(conn) if each.key == item_key]
            is_request = chance.random() < 0.5
            state = ReviewState.ACCEPTED if is_request else ReviewState.DISMISSED
            kind = Kind.OPT_OUT if is_request else Kind.RELEASED
            decided = event(kind, who, minutes=1, key=f"review:{item.id}:{state}")
            assert reviews.decide(conn, item.id, state, "a colleague")
            consent.record(conn, decided)
        crowd.keys.add(decided.key)
        if is_request:
            with crowd.database.write() as conn:
                outbox.withhold_marketing_of(conn, person(who), "opt_out")


def hear_bounces(crowd: Crowd, chance: random.Random) -> None:
    """Delivery reports about what was sent: outbox rows are locked before the head."""
    for _ in crowd.rounds():
        with crowd.database.write() as conn:
            who = chance.choice(OTHERS)
            theirs = [told.outbox_id for told in deliveries.messages_to(conn, person(who))]
            chance.shuffle(theirs)
            one = event(Kind.UNDELIVERABLE, who, key=f"bounce:{chance.random()}")
            sent_messages.mark_bounced(conn, theirs[:2], "5.1.1")
            consent.record(conn, one)
        crowd.keys.add(one.key)


def add_many(crowd: Crowd, chance: random.Random) -> None:
    """Batches of another system's list."""
    for _ in crowd.rounds():
        named = chance.sample(OTHERS, 3)
        key = f"batch:{chance.random()}"
        hashes = [person(who).person_hash for who in named]
        model = event(Kind.OPT_OUT)
        batch = BatchEvent(
            kind=Kind.IMPORTED, source=Source.COMMAND_LINE, key=key,
            received_at=model.received_at, rule="import", policy_version="1",
            count=len(hashes), digest=batch_digest(hashes),
        )  # fmt: skip
        with crowd.database.write() as conn:
            consent.record_many(conn, batch, [Entry(person(who), who) for who in named])
        crowd.keys.add(key)


class _NoBadLines:
    def add(self, number: int, wrong: str, text: str) -> None:
        raise AssertionError(f"line {number} {wrong}: {text}")


def import_files(crowd: Crowd, chance: random.Random) -> None:
    """Whole files, as the command does it: its parts, and then the waiting offers of all listed."""
    with tempfile.TemporaryDirectory() as folder:
        for number in crowd.rounds():
            path = Path(folder) / f"{number}.csv"
            named = chance.sample([*LEAVERS, *OTHERS], 5)
            path.write_text("\n".join(["email", *named, f"{chance.random()}@example.org"]))
            done = import_list(
                crowd.database, PERSON_KEY,
                Order(path, Wanted(), by="a colleague", policy_version="1"),
                sort_in=Path(folder), bad_lines=_NoBadLines(), progress=lambda _what, _done: None,
            )  # fmt: skip
            assert done.row is not None
            assert done.counts.persons == 6
            crowd.keys.add(f"import:{done.row.key}:imported:0")


def steer(crowd: Crowd, chance: random.Random) -> None:
    """A colleague who pauses and resumes, and the sweep after a daemon that died."""
    for _ in crowd.rounds():
        name = chance.choice(CAMPAIGNS)
        with crowd.database.write() as conn:
            campaigns.pause(conn, name, "a look at the price")
        time.sleep(0.01)
        with crowd.database.write() as conn:
            campaigns.resume(conn, name)
        with crowd.database.write() as conn:
            outbox.recover_expired(conn, resend_after_seconds=0)


def first_daemon(crowd: Crowd, chance: random.Random) -> None:
    """Claims, attempts, looks and outcomes of many rows at once, as the sender commits them."""
    asyncio.run(_Daemon(crowd, chance, "daemon-1").run())


def second_daemon(crowd: Crowd, chance: random.Random) -> None:
    """Another one, on another host."""
    asyncio.run(_Daemon(crowd, chance, "daemon-2").run())


# Whoever writes to the store in a new way: add a worker.
WORKERS: tuple[Worker, ...] = (
    hear_mail, hear_mail, press_one_click, decide_reviews, hear_bounces, add_many,
    import_files, steer, first_daemon, second_daemon,
)  # fmt: skip


def work_together(crowd: Crowd, workers: tuple[Worker, ...], seed: int) -> None:
    """Let all of them work, each in a thread; what one raises stands in `crowd.faults`."""

    def guarded(worker: Worker, chance: random.Random) -> None:
        try:
            worker(crowd, chance)
        except BaseException as fault:
            crowd.faults.append(fault)

    threads = [
        threading.Thread(target=guarded, args=(worker, random.Random(seed * 100 + number)))
        for number, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Daemon:
    """A sender without its relay, which takes, defers or refuses by chance."""

    def __init__(self, crowd: Crowd, chance: random.Random, name: str) -> None:
        self._crowd, self._chance, self._name = crowd, chance, name
        self._database = crowd.database

    async def run(self) -> None:
        for _ in range(ROUNDS * 3):
            if self._crowd.is_late():
                return
            claimed = await self._database.commit(self._claim)
            self._chance.shuffle(claimed)
            ids = [row.id for row in claimed]
            await asyncio.gather(
                *(self._carry(row) for row in claimed), self._database.commit(self._beat(ids))
            )
            await asyncio.sleep(0.01)

    def _claim(self, conn: Connection) -> list[ClaimedRow]:
        return outbox.claim(
            conn, claimed_by=self._name, lease_seconds=60, limit=8, with_campaigns=True
        )

    def _beat(self, ids: list[int]) -> Callable[[Connection], list[int]]:
        return lambda conn: outbox.extend_leases(conn, ids, claimed_by=self._name, lease_seconds=60)

    async def _carry(self, row: ClaimedRow) -> None:
        if self._chance.random() < 0.2:
            await self._database.commit(
                lambda conn: outbox.give_back(conn, [row.id], claimed_by=self._name)
            )
            return
        begun = await self._database.commit(lambda conn: deliveries.begin_attempts(
            conn, [row.id], claimed_by=self._name, lease_seconds=60
        ))  # fmt: skip
        if row.id not in begun:
            return
        attempt_id = begun[row.id]
        looks = await self._database.look(lambda conn: deliveries.look_before_sending(
            conn, [row.id], claimed_by=self._name
        ))  # fmt: skip
        look = looks[row.id]
        decision = decide(row.kind, look.reasons)
        outcome = DeliveryOutcome(
            row.id, attempt_id, self._chance.choice([State.SENT, State.DEFERRED, State.BOUNCED]),
            "said", look.list_sequence,
        )  # fmt: skip
        if isinstance(decision, Withheld):
            outcome = replace(outcome, state=State.WITHHELD, withheld_reason=decision.reason)
        elif row.address in LEAVERS and outcome.state is State.BOUNCED:
            outcome = replace(outcome, state=State.SENT)  # they leave by their own word alone
        key = f"relay:{row.id}:{attempt_id}"
        if await self._database.commit(lambda conn: self._settle(conn, row, outcome, key)):
            self._crowd.keys.add(key)

    def _settle(
        self, conn: Connection, row: ClaimedRow, outcome: DeliveryOutcome, key: str
    ) -> bool:
        """Whether an event was recorded as well."""
        is_ours = row.id in deliveries.record_outcomes(conn, [outcome])
        if not is_ours or outcome.state is not State.BOUNCED or row.address is None:
            return False
        return consent.record(conn, event(Kind.UNDELIVERABLE, row.address, key=key)).is_new
