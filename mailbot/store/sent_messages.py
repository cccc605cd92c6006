"""Our own messages, as the world answers them: found by their names, bounced by a later report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, case, or_, select, update

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.person import Person
from mailbot.store.columns import DatabaseTime, locked_in_order
from mailbot.store.tables import audience_members, campaigns, outbox


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One of our own messages, as a reply or a delivery report may name it."""

    outbox_id: int
    message_id: str
    kind: MessageKind
    person: Person
    address: str | None


def messages_named(
    conn: Connection, message_ids: Collection[str], outbox_ids: Collection[int] = ()
) -> list[SentMessage]:
    """Our messages among these Message-IDs (with angle brackets) and outbox ids."""
    if not message_ids and not outbox_ids:
        return []
    rows = conn.execute(
        select(
            outbox.c.id, outbox.c.message_id, outbox.c.kind, outbox.c.person_hash,
            outbox.c.untagged_hash, outbox.c.address,
        ).where(or_(outbox.c.message_id.in_(list(message_ids)), outbox.c.id.in_(list(outbox_ids))))
    )  # fmt: skip
    return [
        SentMessage(row.id, row.message_id, MessageKind(row.kind),
                    Person(row.person_hash, row.untagged_hash), row.address)
        for row in rows
    ]  # fmt: skip


def known_hashes(conn: Connection, persons: Collection[Person]) -> frozenset[str]:
    """Which of these exact hashes stand in the outbox or in an audience."""
    hashes = [person.person_hash for person in persons]
    if not hashes:
        return frozenset()
    sent = select(outbox.c.person_hash).where(outbox.c.person_hash.in_(hashes))
    # By way of the campaigns: the index of audiences begins with them.
    planned = select(audience_members.c.person_hash).where(
        audience_members.c.campaign_id.in_(select(campaigns.c.id)),
        audience_members.c.person_hash.in_(hashes),
    )
    return frozenset(conn.execute(sent.union(planned)).scalars())


def person_of_hash(conn: Connection, person_hash: str) -> Person:
    """The person of an opt-out token, which carries the exact hash alone.

    The untagged hash is known from the mail that bore the token; where no row is left, the exact
    hash stands for both, and still matches every message to the very address.
    """
    untagged = conn.execute(
        select(outbox.c.untagged_hash).where(outbox.c.person_hash == person_hash).limit(1)
    ).scalar()
    return Person(person_hash, untagged or person_hash)


def mark_bounced(conn: Connection, outbox_ids: Collection[int], reply: str) -> int:
    """A delivery report came for messages the relay had taken; returns how many rows moved."""
    late = sources_of(State.BOUNCED) - {State.SENDING}
    chosen = locked_in_order(
        conn, outbox, outbox.c.id.in_(list(outbox_ids)), outbox.c.state.in_(sorted(late))
    )
    return conn.execute(
        update(outbox)
        .where(chosen)
        .values(
            state=State.BOUNCED,
            last_reply=case((outbox.c.address.is_not(None), reply)),  # not of an erased one
            finished_at=DatabaseTime(),
        )
    ).rowcount
