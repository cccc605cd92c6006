"""The ledger: consent events appended, hash-chained, never changed; read, and proved whole.

An event is about one person, or about many at once (an import, an export: how many, and a digest
over their hashes). The head is locked from before an event is appended until its transaction ends:
sequence numbers commit in order and without a gap.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, update

from mailbot.core.consent import (
    GENESIS,
    BatchEvent,
    ChainedEvent,
    ConsentEvent,
    Kind,
    Source,
    evidence_digest,
    link_hash,
)
from mailbot.core.list_sum import CHANGED, ListSum
from mailbot.core.person import Person
from mailbot.store import policies
from mailbot.store.engine import LEDGER_GREW, now
from mailbot.store.persons import is_person
from mailbot.store.tables import consent_events, consent_evidence, ledger_head

_NOBODY = Person("", "")  # whom an event about many names

# Made once: in a storm of opt-outs, building a statement takes longer than running it.
_HEAD = select(ledger_head.c.sequence, ledger_head.c.hash)  # of older schemas as well
_LOCKED_HEAD = select(ledger_head).with_for_update()
_KNOWN = select(consent_events.c.sequence).where(consent_events.c.key == bindparam("named"))
_LEFT = select(consent_events.c.list_digest).where(consent_events.c.sequence == bindparam("last"))
_ADD_EVENT = insert(consent_events)
_ADD_EVIDENCE = insert(consent_evidence)
_MOVE_HEAD = update(ledger_head)


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's last link: how many events there are, and the hash over all of them."""

    sequence: int
    hash: str


def head(conn: Connection) -> Head:
    """The ledger's length, which is the list's sequence number, and its last hash."""
    row = conn.execute(_HEAD).one()
    return Head(row.sequence, row.hash)


@dataclass(frozen=True, slots=True)
class Tip:
    """What the next event goes on from: the last link, and the sum of the list as it left it.

    `is_as_left` is False where somebody changed the sum since: see `append`.
    """

    head: Head
    listed: ListSum
    is_as_left: bool


def head_sequence(conn: Connection) -> int:
    """The ledger's length: the list's sequence number."""
    return head(conn).sequence


def locked_head(conn: Connection) -> Head:
    """The head, locked until the transaction ends: the list changes for nobody else meanwhile."""
    row = conn.execute(_LOCKED_HEAD).one()
    return Head(row.sequence, row.hash)


def locked_tip(conn: Connection) -> Tip:
    """What `append` goes on from, locked as by `locked_head`."""
    row = conn.execute(_LOCKED_HEAD).one()
    kept = ListSum.of_text(row.list_sum)
    return Tip(
        Head(row.sequence, row.hash),
        kept or ListSum(),
        is_as_left=kept is not None and _is_as_left(conn, row.sequence, kept),
    )


def _is_as_left(conn: Connection, last: int, kept: ListSum) -> bool:
    if last == 0:
        return kept == ListSum()
    left = conn.execute(_LEFT, {"last": last}).scalar_one_or_none()
    return left is None or left == kept.digest  # None: before the list was summed


def sequence_of(conn: Connection, key: str) -> int | None:
    """The number of the event with this key, None where there is none."""
    return conn.execute(_KNOWN, {"named": key}).scalar_one_or_none()


def append(conn: Connection, tip: Tip, event: ConsentEvent | BatchEvent, listed: ListSum) -> Head:
    """Append `event` behind `tip`, which the caller locked; returns the new head.

    `listed` is the sum of the list as the event leaves it. Where somebody changed the sum before
    the event, this one and all that follow say so in its place, and the proof finds it for ever.
    """
    count, digest, person, address = None, None, _NOBODY, None
    if isinstance(event, BatchEvent):
        count, digest = event.count, event.digest
    else:
        person, address = event.person, event.address
    salt = secrets.token_bytes(16)
    chained = ChainedEvent(
        kind=event.kind,
        source=event.source,
        person_hash=person.person_hash,
        untagged_hash=person.untagged_hash,
        key=event.key,
        received_at=event.received_at,
        recorded_at=now(conn),
        rule=event.rule,
        policy_version=policies.in_force(conn, event.received_at) or event.policy_version,
        evidence_digest=evidence_digest(salt, address, event.evidence),
        batch_count=count,
        batch_digest=digest,
        list_digest=listed.digest if tip.is_as_left else CHANGED,
    )
    last, sequence = tip.head, tip.head.sequence + 1
    link = link_hash(last.hash, sequence, chained)
    columns = {name: getattr(chained, name) for name in ChainedEvent.__slots__}
    conn.execute(
        _ADD_EVENT, {"sequence": sequence, "previous_hash": last.hash, "hash": link, **columns}
    )
    conn.execute(_ADD_EVIDENCE, {
        "sequence": sequence, "salt": salt, "address": address, "evidence": dict(event.evidence)
    })  # fmt: skip
    conn.execute(_MOVE_HEAD, {"sequence": sequence, "hash": link, "list_sum": listed.text})
    conn.info[LEDGER_GREW] = True
    return Head(sequence, link)


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """The first place where the chain does not hold."""

    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk along the chain met, up to its end or to the first fault."""

    events: int
    batches: int  # of these: events about many, or about nobody
    without_evidence: int
    head: Head  # the last link that was reached
    left: str | None  # what that link says of the list: its digest, None before it was summed
    astray: int  # the first event that found the sum of the list changed; 0 where none did
    fault: LedgerFault | None


def verify(conn: Connection) -> LedgerFault | None:
    """Walk the whole chain; None where every link, every evidence and the head agree."""
    return walk(conn).fault


def walk(
    conn: Connection,
    witnesses: Iterable[Head] = (),
    progress: Callable[[int], None] | None = None,
) -> Walked:
    """Walk the chain link by link, in flat memory; the first fault ends it.

    `witnesses` are heads that somebody wrote down outside this database: the chain has to pass
    through each. `progress` is told after each thousand events how many there were.
    """
    wanted = {witness.sequence: witness.hash for witness in witnesses}
    last, batches, bare, left, astray, fault = Head(0, GENESIS), 0, 0, None, 0, None
    for row in with_evidence(conn):
        fault = _fault_of(row, last, wanted.get(row.sequence))
        if fault is not None:
            break
        last = Head(row.sequence, row.hash)
        batches += row.batch_digest is not None
        bare += row.salt is None
        left = row.list_digest
        if left == CHANGED and not astray:
            astray = row.sequence
        if progress is not None and row.sequence % 1000 == 0:
            progress(row.sequence)
    fault = fault or _fault_at_end(conn, last, wanted)
    return Walked(last.sequence, batches, bare, last, left, astray, fault)


def _fault_of(row: Row[Any], last: Head, written_down: str | None) -> LedgerFault | None:
    """What is wrong with the link that `row` should be: the one behind `last`."""
    number = row.sequence
    if number != last.sequence + 1:
        return LedgerFault(last.sequence + 1, f"event {last.sequence + 1} is missing")
    if row.previous_hash != last.hash:
        what = f"event {number} does not follow event {last.sequence}: "
        return LedgerFault(number, what + "one of the two was changed, put in or moved")
    if row.hash != link_hash(last.hash, number, _chained(row)):
        return LedgerFault(number, f"event {number} was changed, put in or moved")
    if row.salt is not None and row.evidence_digest != evidence_digest(
        row.salt, row.address, row.evidence
    ):
        return LedgerFault(number, f"the evidence of event {number} was changed")
    if written_down is not None and written_down != row.hash:
        what = f"event {number} is another one than when its hash was written down"
        return LedgerFault(number, f"{what}: the ledger was written anew, up to there at least")
    return None


def _fault_at_end(conn: Connection, last: Head, wanted: Mapping[int, str]) -> LedgerFault | None:
    kept = head(conn)
    if kept.sequence > last.sequence:
        return LedgerFault(
            last.sequence + 1,
            f"the ledger is cut off: its head counts {kept.sequence} events, {last.sequence} stand",
        )
    if kept.sequence < last.sequence:
        what = f"event {kept.sequence + 1} was put in behind the head"
        return LedgerFault(kept.sequence + 1, what)
    if kept.hash != last.hash:
        return LedgerFault(last.sequence, f"the head names another event than {last.sequence}")
    furthest = max(wanted, default=0)
    if furthest > last.sequence:
        what = f"the ledger is cut off: it had {furthest} events when its head was written down"
        return LedgerFault(last.sequence + 1, f"{what}, and {last.sequence} stand")
    return None


def with_evidence(conn: Connection, *conditions: ColumnElement[bool]) -> Iterator[Row[Any]]:
    """Events in their order with salt, address and evidence, None each where these are gone.

    Read by a cursor: memory stays flat. `conditions` are about `consent_events`.
    """
    joined = consent_events.outerjoin(
        consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
    )
    columns = [*consent_events.c, consent_evidence.c.salt, consent_evidence.c.address,
               consent_evidence.c.evidence]  # fmt: skip
    chosen = select(*columns).select_from(joined).order_by(consent_events.c.sequence)
    # On the statement: on the connection the option would stay, for whatever comes after.
    chosen = chosen.where(*conditions).execution_options(yield_per=1000)
    with conn.execute(chosen) as rows:
        yield from rows


def _chained(row: Row[Any]) -> ChainedEvent:
    return ChainedEvent(**{name: getattr(row, name) for name in ChainedEvent.__slots__})


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One event of one person, with its evidence; `address` is None once erased."""

    sequence: int
    kind: Kind
    source: Source
    received_at: datetime
    recorded_at: datetime
    rule: str
    policy_version: str
    address: str | None
    evidence: dict[str, str]


def story(conn: Connection, person: Person) -> list[StoryEvent]:
    """Every event of a person, in the order of the ledger."""
    joined = consent_events.outerjoin(
        consent_evidence, consent_evidence.c.sequence == consent_events.c.sequence
    )
    rows = conn.execute(
        select(consent_events, consent_evidence.c.address, consent_evidence.c.evidence)
        .select_from(joined)
        .where(is_person(consent_events, person))
        .order_by(consent_events.c.sequence)
    )
    return [
        StoryEvent(
            row.sequence, Kind(row.kind), Source(row.source), row.received_at, row.recorded_at,
            row.rule, row.policy_version, row.address, row.evidence or {},
        )
        for row in rows
    ]  # fmt: skip
