"""The proof of a campaign: each message that left is held against the ledger, and counted.

One walk over the campaign's rows in the order of the persons' hashes, a page at a time; the events
of a page's persons are fetched together, so that the ledger's index is walked in its own order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select

from mailbot.core.audit import Finding, Thinned, judge_message
from mailbot.core.consent import ADDS, Kind, Reason, Source
from mailbot.core.outbox_states import State
from mailbot.core.standing import PastEvent
from mailbot.store.campaigns import Campaign
from mailbot.store.columns import OneOf
from mailbot.store.ledger import head_sequence
from mailbot.store.tables import (
    IS_TAGGED,
    consent_events,
    delivery_attempts,
    outbox,
    suppressions,
)

_PAGE: Final = 2000
# What left, or may have left. A rejected row without a number never came to the relay: what cannot
# be composed is refused before the list is looked at.
_JUDGED: Final = frozenset({State.SENT, State.UNCERTAIN, State.BOUNCED, State.REJECTED})


@dataclass(slots=True)
class Audit:
    """A campaign in numbers, and what is proved of it: never a person."""

    ledger_length: int  # of the snapshot that was judged
    by_state: Counter[State] = field(default_factory=Counter)
    withheld: Counter[Reason] = field(default_factory=Counter)
    findings: Counter[Finding] = field(default_factory=Counter)
    bounced_later: int = 0  # of the bounced: taken by the relay, and reported undeliverable after
    lost_attempts: int = 0  # judged as well: a person then had the message sent again, or dropped

    @property
    def judged(self) -> int:
        """Messages, and lost attempts at messages, that were held against the ledger."""
        return self.findings.total()

    @property
    def is_proved(self) -> bool:
        """Whether each of them is proved to have been allowed."""
        return self.judged == self.findings[Finding.PROVED]

    def count(self, findings: Collection[Finding]) -> int:
        """How many were found to be one of these."""
        return sum(self.findings[one] for one in findings)

    @property
    def on_the_way(self) -> int:
        """Rows that are in a daemon's hands in this moment: judged once they are over."""
        return self.by_state[State.CLAIMED] + self.by_state[State.SENDING]


def audit(
    conn: Connection, campaign: Campaign, progress: Callable[[int], None] | None = None
) -> Audit:
    """Judge every row of `campaign`. `conn` is one snapshot; memory stays flat.

    `progress` is told after each page how many rows there were.
    """
    made = Audit(head_sequence(conn))
    judge = partial(
        judge_message,
        ledger_length=made.ledger_length,
        thinned=cache(lambda: _thinned(conn)),
    )
    done = 0
    for page in _pages(conn, campaign.id):
        _count(made, page)
        judged = [row for row in page if _is_judged(row)]
        pasts = _pasts(conn, judged)
        for row in judged:
            made.findings[judge(pasts(row), row.list_sequence)] += 1
        lost = _lost_attempts(conn, page)
        pasts = _pasts(conn, [row for row, _ in lost])
        for row, number in lost:
            made.findings[judge(pasts(row), number)] += 1
        made.lost_attempts += len(lost)
        made.bounced_later += _bounced_later(conn, page)
        done += len(page)
        if progress is not None:
            progress(done)
    return made


def _is_judged(row: Row[Any]) -> bool:
    if row.state not in _JUDGED:
        return False
    return row.state != State.REJECTED or row.list_sequence is not None


def _count(made: Audit, page: Sequence[Row[Any]]) -> None:
    for row in page:
        made.by_state[State(row.state)] += 1
        if row.state == State.WITHHELD and row.withheld_reason is not None:
            made.withheld[Reason(row.withheld_reason)] += 1


_ROWS: Final = (
    select(
        outbox.c.id, outbox.c.person_hash, outbox.c.untagged_hash, outbox.c.state,
        outbox.c.list_sequence, outbox.c.withheld_reason, outbox.c.resends, outbox.c.attempt_id,
    )
    .where(outbox.c.campaign_id == bindparam("of"))
    .order_by(outbox.c.person_hash)
    .execution_options(yield_per=_PAGE)
)  # fmt: skip


def _pages(conn: Connection, campaign_id: int) -> Iterator[Sequence[Row[Any]]]:
    with conn.execute(_ROWS, {"of": campaign_id}) as rows:
        yield from map(list, rows.partitions(_PAGE))


# Two statements, so that each has its own index: of all hashes, and of the few with a +tag.
_EVENT = (
    consent_events.c.sequence, consent_events.c.kind, consent_events.c.source,
    consent_events.c.received_at,
)  # fmt: skip
_EVENTS: Final = (
    select(*_EVENT, consent_events.c.person_hash, consent_events.c.untagged_hash)
    .where(OneOf(consent_events.c.person_hash, "hashes", texts=True)),
    select(*_EVENT, consent_events.c.person_hash, consent_events.c.untagged_hash)
    .where(IS_TAGGED, OneOf(consent_events.c.untagged_hash, "hashes", texts=True)),
)  # fmt: skip
_IMPORTED: Final = select(
    *_EVENT, suppressions.c.person_hash, suppressions.c.untagged_hash
).select_from(
    suppressions.join(consent_events, consent_events.c.sequence == suppressions.c.sequence)
).where(consent_events.c.batch_digest.is_not(None))  # fmt: skip
_ENTRIES: Final = (
    _IMPORTED.where(OneOf(suppressions.c.person_hash, "hashes", texts=True)),
    _IMPORTED.where(
        suppressions.c.untagged_hash != suppressions.c.person_hash,
        OneOf(suppressions.c.untagged_hash, "hashes", texts=True),
    ),
)


def _pasts(conn: Connection, page: Sequence[Row[Any]]) -> Callable[[Row[Any]], Sequence[PastEvent]]:
    """What finds the past of each of the page's persons: events about them, and imports.

    By store.persons.is_named: either hash is the same.
    """
    hashes = {row.person_hash for row in page} | {row.untagged_hash for row in page}
    known: dict[str, dict[tuple[int, str], PastEvent]] = defaultdict(dict)
    if hashes:
        for statement in (*_EVENTS, *_ENTRIES):
            _find(conn, statement, hashes, known)

    def past_of(row: Row[Any]) -> Sequence[PastEvent]:
        if row.person_hash not in known and row.untagged_hash not in known:
            return ()
        theirs = known.get(row.person_hash, {}) | known.get(row.untagged_hash, {})
        return sorted(theirs.values(), key=lambda event: event.sequence)

    return past_of


def _find(
    conn: Connection,
    statement: Select[Any],
    hashes: Collection[str],
    known: dict[str, dict[tuple[int, str], PastEvent]],
) -> None:
    for row in conn.execute(statement, {"hashes": hashes}):
        event = PastEvent(
            row.sequence, Kind(row.kind), Source(row.source), row.person_hash, row.received_at
        )
        for named in {row.person_hash, row.untagged_hash}:
            known[named][row.sequence, row.person_hash] = event


def _thinned(conn: Connection) -> Thinned:
    """The first event about many, of each reason, not all of whose entries stand as it left them.

    Ended or renewed since: `mailbot ledger verify` finds those that were taken away.
    """
    entries = (
        select(func.count())
        .where(suppressions.c.sequence == consent_events.c.sequence)
        .scalar_subquery()
    )
    rows = conn.execute(
        select(consent_events.c.kind, func.min(consent_events.c.sequence).label("first"))
        .where(
            consent_events.c.batch_digest.is_not(None),
            consent_events.c.kind.in_(sorted(ADDS)),
            consent_events.c.batch_count > entries,
        )
        .group_by(consent_events.c.kind)
    )
    return {ADDS[Kind(row.kind)]: row.first for row in rows}


_LOST: Final = select(delivery_attempts.c.outbox_id, delivery_attempts.c.id,
                          delivery_attempts.c.list_sequence).where(
    OneOf(delivery_attempts.c.outbox_id, "rows"),
    or_(
        delivery_attempts.c.outcome.is_(None),
        delivery_attempts.c.outcome == State.UNCERTAIN,
    ),
)  # fmt: skip


def _lost_attempts(conn: Connection, page: Sequence[Row[Any]]) -> list[tuple[Row[Any], int | None]]:
    """Attempts that were lost and are not told by their row any more, with the numbers they saw.

    A person had the message sent again or dropped, or it was cancelled by an erasure.
    """
    moved_on = {
        row.id: row
        for row in page
        if row.attempt_id is not None and (row.resends or row.state == State.CANCELLED)
    }
    if not moved_on:
        return []
    lost = []
    for attempt in conn.execute(_LOST, {"rows": list(moved_on)}):
        row = moved_on[attempt.outbox_id]
        is_told = attempt.id == row.attempt_id and row.state in _JUDGED | {State.SENDING}
        if not is_told:
            lost.append((row, attempt.list_sequence))
    return lost


_TAKEN_BEFORE: Final = select(func.count()).where(
    OneOf(delivery_attempts.c.id, "attempts"), delivery_attempts.c.outcome == State.SENT
)


def _bounced_later(conn: Connection, page: Sequence[Row[Any]]) -> int:
    attempts = [row.attempt_id for row in page if row.state == State.BOUNCED and row.attempt_id]
    if not attempts:
        return 0
    return conn.execute(_TAKEN_BEFORE, {"attempts": attempts}).scalar_one()
