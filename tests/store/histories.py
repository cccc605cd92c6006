"""Lives by chance: what people, staff and other systems do to the list, by the store's functions.

Beside each stands a model of the policy's rules that shares no line with mailbot's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Source, batch_digest
from mailbot.core.person import Person
from mailbot.lists.importing import Order, import_list
from mailbot.lists.rows import Wanted
from mailbot.store import (
    consent,
    erasure,
    policies,
    restoring,
    retention,
    reviews,
    switches,
)
from mailbot.store.consent import Entry
from mailbot.store.engine import Database
from mailbot.store.policies import PolicyVersion
from mailbot.store.reviews import Place
from mailbot.store.tables import ReviewState, consent_events
from tests.people import NOON, PERSON_KEY, event, person
from tests.store.filling import queue_order_status

PEOPLE = (
    "ann@example.org", "ann+tea@example.org", "ann+x@example.org", "bob@example.org",
    "cleo+a@example.org", "cleo+b@example.org", "dan@example.org", "eve@example.org",
)  # fmt: skip
OTHERS = tuple(f"other{number}@example.net" for number in range(40))  # whom only lists name
Listed = tuple[str, str, str, datetime]  # person hash, untagged hash, reason, since


@dataclass
class Model:
    """The rules as privacy.md and the manual say them, in a set of what must be on the list."""

    listed: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    came_back: list[tuple[Person, datetime]] = field(default_factory=list)  # from when on it wins

    def hear(self, one: ConsentEvent, *, is_waiting: bool = False) -> None:
        """`is_waiting`: another mail still holds the person of this event."""
        who, kind, at = one.person, str(one.kind), one.received_at
        may_come_back = kind in {"opt_out", "held", "complaint", "imported"}
        if may_come_back and any(same(who, his) and at <= when for his, when in self.came_back):
            return
        ends = {"opt_in": "opt_out complaint imported held", "opt_out": "held",
                "released": "" if is_waiting else "held", "reachable": "undeliverable"}  # fmt: skip
        wins = at - timedelta(minutes=10) if one.source == "mail" else at
        if kind == "opt_in":
            self.came_back.append((who, wins))
        for (exact, reason), (mailbox, since) in list(self.listed.items()):
            is_his = same(who, Person(exact, mailbox)) and reason in ends.get(kind, "").split()
            if is_his and (kind != "opt_in" or since <= wins):
                del self.listed[exact, reason]
        if kind not in {"opt_in", "released", "reachable"}:
            self.add(who, kind, at)
            for (exact, reason), (mailbox, since) in list(self.listed.items()):
                if exact == who.person_hash == mailbox:  # only a token had named it
                    self.listed[exact, reason] = (who.untagged_hash, since)

    def add(self, who: Person, reason: str, at: datetime, *, is_batch: bool = False) -> None:
        mailbox, since = self.listed.get((who.person_hash, reason), (who.untagged_hash, at))
        if is_batch and since < at:
            mailbox = who.untagged_hash
        self.listed[who.person_hash, reason] = (mailbox, max(since, at))


def same(one: Person, other: Person) -> bool:
    return bool({one.person_hash, one.untagged_hash} & {other.person_hash, other.untagged_hash})


@dataclass
class History:
    """One life of a database."""

    database: Database
    chance: random.Random
    folder: Path
    model: Model = field(default_factory=Model)
    heard: list[ConsentEvent] = field(default_factory=list)
    number: int = 0

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.number += 1
            self.chance.choice(STEPS)(self)

    def hear(self, one: ConsentEvent) -> None:
        """A new event, by mailbot and by the model."""
        with self.database.write() as conn:
            is_waiting = bool(reviews.waiting_for(conn, one.person))
            assert consent.record(conn, one).is_new
        self.model.hear(one, is_waiting=is_waiting)
        self.heard.append(one)

    def somebody(self, kind: Kind, source: Source = Source.MAIL) -> ConsentEvent:
        minutes = self.chance.randrange(120)
        key = f"{kind}:{self.number}"
        return event(
            kind, self.chance.choice(PEOPLE), minutes=minutes, source=source, key=key
        )  # fmt: skip

    def places(self) -> Place:
        return Place("help", "INBOX", 1, self.number)


def hear_mail(history: History) -> None:
    kind = history.chance.choice([Kind.OPT_OUT, Kind.OPT_OUT, Kind.OPT_IN, Kind.COMPLAINT])
    history.hear(history.somebody(kind))


def hear_staff(history: History) -> None:
    kind = history.chance.choice([Kind.OPT_OUT, Kind.OPT_IN, Kind.REACHABLE])
    history.hear(history.somebody(kind, Source.COMMAND_LINE))


def hear_a_report(history: History) -> None:
    history.hear(history.somebody(Kind.UNDELIVERABLE, Source.DELIVERY_REPORT))


def press_one_click(history: History) -> None:
    """A token names the exact hash alone."""
    one = history.somebody(Kind.OPT_OUT, Source.ONE_CLICK)
    exact = one.person.person_hash
    history.hear(replace(one, person=Person(exact, exact), address=None))


def hold(history: History) -> None:
    one = history.somebody(Kind.HELD)
    with history.database.write() as conn:
        reviews.open_item(
            conn, key=one.key, person=one.person, place=history.places(), rule="negation",
            because="the subject says not to",
        )  # fmt: skip
    history.hear(one)


def decide(history: History) -> None:
    """A person looks at one of those who are held; the item is closed before the event."""
    with history.database.read() as conn:
        waiting = reviews.waiting(conn)
    if not waiting:
        hold(history)
        return
    item = history.chance.choice(waiting)
    is_request = history.chance.random() < 0.5
    state = ReviewState.ACCEPTED if is_request else ReviewState.DISMISSED
    with history.database.write() as conn:
        assert reviews.decide(conn, item.id, state, "a colleague")
    assert item.person is not None
    one = history.somebody(Kind.OPT_OUT if is_request else Kind.RELEASED, Source.CONSOLE)
    history.hear(replace(one, person=item.person))


def hear_again(history: History) -> None:
    """A replay: the same key changes nothing."""
    if history.heard:
        with history.database.write() as conn:
            assert not consent.record(conn, history.chance.choice(history.heard)).is_new


def take_a_list(history: History) -> None:
    """An event about many that was received at any time, for any of the reasons that lists give."""
    kind = history.chance.choice([Kind.IMPORTED, Kind.IMPORTED, Kind.OPT_OUT, Kind.UNDELIVERABLE])
    named = history.chance.sample([*PEOPLE, *OTHERS], 8)
    hashes = [person(who).person_hash for who in named]
    at = NOON + timedelta(minutes=history.chance.randrange(120))
    with history.database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(
                kind, Source.IMPORT, f"list:{history.number}", at, "import", "1", len(hashes),
                batch_digest(hashes), {"by": "a colleague"},
            ),
            [Entry(person(who), who) for who in named],
        )  # fmt: skip
    for who in named:
        history.model.add(person(who), kind, at, is_batch=True)


class _NoBadLines:
    def add(self, number: int, wrong: str, text: str) -> None:
        raise AssertionError((number, wrong, text))


def import_a_file(history: History) -> None:
    path = history.folder / f"list-{history.number}.csv"
    named = history.chance.sample([*PEOPLE, *OTHERS], 6)
    path.write_text("\n".join(["email", *named, f"new{history.number}@example.net"]))
    done = import_list(
        history.database, PERSON_KEY, Order(path, Wanted(), by="a colleague", policy_version="1"),
        sort_in=history.folder, bad_lines=_NoBadLines(), progress=lambda _what, _done: None,
    )  # fmt: skip
    assert done.row is not None
    with history.database.read() as conn:
        key = consent_events.c.key == f"import:{done.row.key}:imported:0"
        at = conn.execute(select(consent_events.c.received_at).where(key)).scalar_one()
    for who in [*named, f"new{history.number}@example.net"]:
        history.model.add(person(who), "imported", at, is_batch=True)


def erase(history: History) -> None:
    one = history.somebody(Kind.ERASED, Source.COMMAND_LINE)
    with history.database.write() as conn:
        erasure.erase(
            conn, one.person, key=one.key, source=one.source, received_at=one.received_at,
            policy_version="1", evidence={"by": "admin"},
        )  # fmt: skip
    history.model.hear(one)


def forget_old_addresses(history: History) -> None:
    queue_order_status(history.database, history.chance.choice(PEOPLE), key=str(history.number))
    retention.forget(history.database, NOON + timedelta(days=9999))


def note(history: History, kind: Kind, evidence: dict[str, str]) -> int:
    with history.database.write() as conn:
        return consent.note(conn, BatchEvent(
            kind, Source.COMMAND_LINE, f"{kind}:{history.number}", NOON, "noted", "1", 0,
            batch_digest([]), evidence,
        ))  # fmt: skip


def give_out(history: History) -> None:
    note(history, Kind.EXPORTED, {"by": "a colleague", "reason": "audit"})


def change_policy(history: History) -> None:
    version, at = f"2027-{history.number}", NOON + timedelta(days=history.number)
    sequence = note(history, Kind.POLICY, {
        "version": version, "in_force_at": at.isoformat(), "text_sha256": "ab" * 32,
        "url": "https://shop.example/privacy",
    })  # fmt: skip
    with history.database.write() as conn:
        policies.add(
            conn, PolicyVersion(version, at, "ab" * 32, "https://shop.example/privacy", sequence)
        )


def accept_restored(history: History) -> None:
    with history.database.write() as conn:
        switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because="behind its journal")
    with history.database.write() as conn:
        restoring.accept(conn, who="admin", note="looked", policy_version="1")


Step = Callable[[History], None]
STEPS: tuple[Step, ...] = (
    hear_mail, hear_mail, hear_mail, hear_staff, hear_staff, hear_a_report, press_one_click,
    hold, decide, decide, hear_again, take_a_list, take_a_list, import_a_file, erase,
    forget_old_addresses, give_out, change_policy, accept_restored,
)  # fmt: skip
