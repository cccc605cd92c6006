"""Erasure: a person's readable data goes, the keyed hashes stay, so that nobody writes again.

Each place where an address, a name or words about a person may stand is emptied here; a test fails
when a table gets a new text column that is not judged there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, null, or_, select, update

from mailbot.core.address import Address
from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.person import Person
from mailbot.store import consent
from mailbot.store.columns import DatabaseTime
from mailbot.store.copying import may_forget
from mailbot.store.persons import is_person
from mailbot.store.tables import (
    audience_members,
    campaigns,
    consent_events,
    consent_evidence,
    delivery_attempts,
    outbox,
    reviews,
    suppressions,
)

_GONE = "(erased)"
_QUERY_GONE = "(erased: it named a person)"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did, in numbers. `is_new` is False for a replay, which erases again."""

    sequence: int
    is_new: bool
    events: int  # whose evidence is gone
    messages: int  # whose address and fields are gone
    cancelled: int  # of these: waited, and will not be sent
    audiences: int


def erase(
    conn: Connection,
    person: Person,
    *,
    key: str,
    source: Source,
    received_at: datetime,
    policy_version: str,
    evidence: Mapping[str, str],
) -> Erased:
    """Forget whatever is readable of `person`, by the exact and the untagged hash.

    Needs no address: what the journal plays back after a restored backup knows only hashes.
    `evidence` says who erased, and why; it must not name the person. Locks in the order of
    store.consent. A message that is on the wire right now is not called back, but is never tried
    again (see `cancel_erased`).
    """
    may_forget(conn)
    messages, cancelled = _forget_messages(conn, person)
    audiences = conn.execute(
        update(audience_members)
        .where(is_person(audience_members, person), audience_members.c.address.is_not(None))
        .values(address=None, fields={})
    ).rowcount
    conn.execute(update(reviews).where(is_person(reviews, person)).values(because=_GONE))
    recorded = consent.record(conn, ConsentEvent(
        kind=Kind.ERASED, source=source, person=person, key=key, received_at=received_at,
        rule="erasure", policy_version=policy_version, evidence=evidence,
    ))  # fmt: skip
    # What a person said after they were erased is a new fact: a replay must leave it alone.
    theirs = select(consent_events.c.sequence).where(
        is_person(consent_events, person),
        consent_events.c.kind != Kind.ERASED,
        consent_events.c.sequence < recorded.sequence,
    )
    events = conn.execute(
        delete(consent_evidence).where(consent_evidence.c.sequence.in_(theirs))
    ).rowcount
    conn.execute(
        update(suppressions)
        .where(is_person(suppressions, person), suppressions.c.sequence <= recorded.sequence)
        .values(address=None)
    )
    return Erased(recorded.sequence, recorded.is_new, events, messages, cancelled, audiences)


def _forget_messages(conn: Connection, person: Person) -> tuple[int, int]:
    theirs = conn.execute(
        select(outbox.c.id).where(is_person(outbox, person)).order_by(outbox.c.id).with_for_update()
    ).scalars().all()  # fmt: skip
    waiting = sources_of(State.CANCELLED) - {State.SENDING}
    cancelled = conn.execute(
        update(outbox)
        .where(is_person(outbox, person), outbox.c.state.in_(sorted(waiting)))
        .values(
            state=State.CANCELLED, claimed_by=None, lease_until=None, finished_at=DatabaseTime()
        )
    ).rowcount
    forget_rows(conn, theirs)
    return len(theirs), cancelled


def forget_rows(conn: Connection, outbox_ids: Sequence[int]) -> None:
    """Empty what is readable in these rows and their attempts; hashes, states and keys stay."""
    for start in range(0, len(outbox_ids), 10_000):
        some = outbox_ids[start : start + 10_000]
        conn.execute(
            update(delivery_attempts)
            .where(delivery_attempts.c.outbox_id.in_(some))
            .values(reply=null())
        )
        conn.execute(
            update(outbox).where(outbox.c.id.in_(some))
            .values(address=None, fields={}, last_reply=None)
        )  # fmt: skip


def forget_in_queries(conn: Connection, address: Address) -> list[str]:
    """Empty the audience queries that name the address, in any of its forms; of which campaigns.

    A query has no person beside it by which it could be found. Its SHA-256 stays with the campaign.
    """
    query = func.lower(campaigns.c.audience_query)
    forms = {address.text.lower(), address.match_key, address.untagged_key}
    named = or_(*(query.contains(form, autoescape=True) for form in sorted(forms)))
    found = conn.execute(
        select(campaigns.c.id, campaigns.c.name).where(named).order_by(campaigns.c.id)
    ).all()
    if found:
        ids = [row.id for row in found]
        conn.execute(
            update(campaigns).where(campaigns.c.id.in_(ids)).values(audience_query=_QUERY_GONE)
        )
    return [row.name for row in found]


def cancel_erased(conn: Connection, outbox_ids: Sequence[int]) -> int:
    """Cancel those of these rows that came back from the wire and have no address any more."""
    if not outbox_ids:
        return 0
    waiting = sources_of(State.CANCELLED) - {State.SENDING}
    return conn.execute(
        update(outbox)
        .where(
            outbox.c.id.in_(outbox_ids),
            outbox.c.address.is_(None),
            outbox.c.state.in_(sorted(waiting)),
        )
        .values(
            state=State.CANCELLED, claimed_by=None, lease_until=None,
            last_reply=None, finished_at=DatabaseTime(),
        )
    ).rowcount  # fmt: skip
