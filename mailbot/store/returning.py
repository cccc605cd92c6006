"""Who left through the public page lately, and who may come back: undo, and confirmation codes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from mailbot.core.address import parse_address
from mailbot.core.consent import ENDED_BY_OPT_IN, Reason
from mailbot.core.errors import AddressError
from mailbot.core.person import Person
from mailbot.core.wishes import WishKind
from mailbot.store import outbox
from mailbot.store.engine import now
from mailbot.store.persons import is_person
from mailbot.store.tables import audience_members, return_codes, suppressions, wishes_taken
from mailbot.store.tables import outbox as messages

CODE_IS_GOOD_FOR: Final = timedelta(days=7)
_ONE_A: Final = timedelta(days=1)
_LEAVES: Final = (WishKind.LEAVE.value,)


@dataclass(frozen=True, slots=True)
class Left:
    """One wish to leave that was taken in; both times UTC, `taken_at` the database's."""

    received_at: datetime
    taken_at: datetime
    outcome: str


def not_taken_yet(conn: Connection, wish_ids: Collection[str]) -> set[str]:
    """Those of the wishes that were not taken in before."""
    chosen = select(wishes_taken.c.wish_id).where(wishes_taken.c.wish_id.in_(list(wish_ids)))
    return set(wish_ids) - set(conn.execute(chosen).scalars())


def remember(
    conn: Connection,
    *,
    wish_id: str,
    kind: str,
    person_hash: str | None,
    received_at: datetime,
    outcome: str,
    sequence: int | None,
) -> None:
    """The wish is taken in; its time is the database's."""
    conn.execute(insert(wishes_taken).values(
        wish_id=wish_id, kind=kind, person_hash=person_hash, received_at=received_at,
        taken_at=now(conn), outcome=outcome, sequence=sequence,
    ))  # fmt: skip


def left_by(conn: Connection, wish_id: str, person: Person) -> Left | None:
    """The wish to leave of that id and person."""
    row = conn.execute(
        select(wishes_taken).where(
            wishes_taken.c.wish_id == wish_id,
            wishes_taken.c.kind.in_(_LEAVES),
            wishes_taken.c.person_hash == person.person_hash,
        )
    ).first()
    return Left(row.received_at, row.taken_at, row.outcome) if row else None


def is_listed_otherwise(conn: Connection, person: Person, *, since: datetime) -> bool:
    """Whether the person is on the list by more than wishes of this door after `since`."""
    listed = _listed(conn, person)
    return any(reason is not Reason.OPT_OUT for reason, _ in listed) or not _are_by_door(
        conn, person, [sequence for _, sequence in listed], since
    )


def is_listed_by_door_alone(conn: Connection, person: Person, *, since: datetime) -> bool:
    """Whether the person is on the list, and by nothing but wishes of this door after `since`."""
    listed = _listed(conn, person)
    return bool(listed) and not is_listed_otherwise(conn, person, since=since)


def _listed(conn: Connection, person: Person) -> list[tuple[Reason, int]]:
    """What an opt-in would end, each with the number of its event."""
    rows = conn.execute(
        select(suppressions.c.reason, suppressions.c.sequence).where(
            is_person(suppressions, person), suppressions.c.reason.in_(sorted(ENDED_BY_OPT_IN))
        )
    )
    return [(Reason(reason), sequence) for reason, sequence in rows]


def _are_by_door(conn: Connection, person: Person, sequences: list[int], since: datetime) -> bool:
    chosen = select(wishes_taken.c.sequence).where(
        wishes_taken.c.person_hash == person.person_hash,
        wishes_taken.c.kind.in_(_LEAVES),
        wishes_taken.c.outcome == "left",
        wishes_taken.c.taken_at >= since,
    )
    return set(sequences) <= set(conn.execute(chosen).scalars())


def queue_confirmation(
    conn: Connection, *, person: Person, wish_id: str, code: str, at: datetime, our_domain: str
) -> bool:
    """Queue the mail whose link brings the person back; False where there is none to queue.

    At most one a day a person, to an address that still stands in a message or an audience.
    """
    asked_lately = select(return_codes.c.code_digest).where(
        return_codes.c.person_hash == person.person_hash, return_codes.c.made_at > at - _ONE_A
    )
    if conn.execute(asked_lately.limit(1)).first() is not None:
        return False
    address = _readable_address(conn, person.person_hash)
    if address is None:
        return False
    try:
        parsed = parse_address(address)
    except AddressError:
        return False
    conn.execute(insert(return_codes).values(
        code_digest=_digest(code), person_hash=person.person_hash,
        untagged_hash=person.untagged_hash, made_at=at, expires_at=at + CODE_IS_GOOD_FOR,
    ))  # fmt: skip
    outbox.enqueue_confirmation(
        conn, address=parsed, person=person, wish_id=wish_id, our_domain=our_domain
    )
    return True


def _readable_address(conn: Connection, person_hash: str) -> str | None:
    for table, newest in (
        (messages, messages.c.id.desc()),
        (audience_members, audience_members.c.campaign_id.desc()),
    ):
        chosen = select(table.c.address).where(
            table.c.person_hash == person_hash, table.c.address.is_not(None)
        )
        found = conn.execute(chosen.order_by(newest).limit(1)).scalar()
        if found is not None:
            return str(found)
    return None


def use_code(conn: Connection, code: str, at: datetime) -> Person | None:
    """The person of a code that is good and was not used; it is used from then on."""
    good = (
        (return_codes.c.code_digest == _digest(code))
        & (return_codes.c.expires_at > at)
        & return_codes.c.used_at.is_(None)
    )
    row = conn.execute(
        select(return_codes.c.person_hash, return_codes.c.untagged_hash)
        .where(good)
        .with_for_update()
    ).first()
    if row is None:
        return None
    conn.execute(update(return_codes).where(good).values(used_at=at))
    return Person(row.person_hash, row.untagged_hash)


def forget(conn: Connection, before: datetime) -> int:
    """What nobody can undo or confirm any more, since `before`; how many rows went."""
    old = conn.execute(delete(wishes_taken).where(wishes_taken.c.taken_at < before)).rowcount
    return (
        old + conn.execute(delete(return_codes).where(return_codes.c.expires_at < before)).rowcount
    )


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
