"""Waiting offers of whoever stands on the list: withheld at once, for the console's truth.

The guarantee is the look before sending. After a change of many, asking for each person would cost
more than the change; so the waiting offers are walked, some at a time, each time in a transaction
of its own: rows by id first, then nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, select, update

from mailbot.core.eligibility import MessageKind, Withheld, decide
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.person import Person
from mailbot.store import suppressions
from mailbot.store.columns import DatabaseTime, locked_in_order
from mailbot.store.ledger import head_sequence
from mailbot.store.persons import is_named, is_person
from mailbot.store.tables import outbox
from mailbot.store.tables import suppressions as entries

_WAITING = sorted(sources_of(State.WITHHELD) - {State.SENDING})
_AT_ONCE = 500


def waiting_of_listed(conn: Connection, after: int = 0) -> list[int]:
    """Ids of waiting offers, above `after` and sorted, of whoever is on the list; at most 500."""
    is_listed = select(entries.c.reason).where(
        is_named(entries, outbox.c.person_hash, outbox.c.untagged_hash)
    )
    chosen = (
        select(outbox.c.id)
        .where(
            outbox.c.id > after,
            outbox.c.kind == MessageKind.CAMPAIGN,
            outbox.c.state.in_(_WAITING),
            is_listed.correlate(outbox).exists(),
        )
        .order_by(outbox.c.id)
        .limit(_AT_ONCE)
    )
    return list(conn.execute(chosen).scalars())


def waiting_of(conn: Connection, persons: Iterable[Person]) -> list[int]:
    """Ids of the waiting offers to these persons, sorted."""
    found: set[int] = set()
    for person in persons:
        chosen = select(outbox.c.id).where(
            is_person(outbox, person),
            outbox.c.kind == MessageKind.CAMPAIGN,
            outbox.c.state.in_(_WAITING),
        )
        found.update(conn.execute(chosen).scalars())
    return sorted(found)


def withhold(conn: Connection, ids: list[int]) -> int:
    """Withhold those of `ids` that still wait and whose person is still listed; how many."""
    still = locked_in_order(conn, outbox, outbox.c.id.in_(ids), outbox.c.state.in_(_WAITING))
    rows = conn.execute(
        select(outbox.c.id, outbox.c.person_hash, outbox.c.untagged_hash).where(still)
    ).all()
    by_reason: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        person = Person(row.person_hash, row.untagged_hash)
        verdict = decide(MessageKind.CAMPAIGN, suppressions.reasons(conn, person))
        if isinstance(verdict, Withheld):
            by_reason[verdict.reason].append(row.id)
    for reason, chosen in sorted(by_reason.items()):
        conn.execute(
            update(outbox)
            .where(outbox.c.id.in_(chosen))
            .values(
                state=State.WITHHELD,
                withheld_reason=reason,
                list_sequence=head_sequence(conn),
                claimed_by=None,
                lease_until=None,
                finished_at=DatabaseTime(),
            )
        )
    return sum(map(len, by_reason.values()))
