"""Changes of the list by hand: which event a change is, and what goes with it."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Final

from mailbot.core.address import Address, parse_address
from mailbot.core.consent import ADDS, ENDS, ConsentEvent, Kind, Reason
from mailbot.core.errors import InputError, RefusedError
from mailbot.core.person import Person
from mailbot.lists.hand import Hand
from mailbot.store import consent, outbox, reviews, suppressions
from mailbot.store.engine import Connection, now
from mailbot.store.recording import recorded
from mailbot.store.tables import ReviewState

_RULE: Final = "by-hand"

# What has to have happened for a reason to end: a wish, a second look, a sign of life.
LIFTED_BY: Final = {
    Reason.HELD: Kind.RELEASED,
    Reason.UNDELIVERABLE: Kind.REACHABLE,
    Reason.OPT_OUT: Kind.OPT_IN,
    Reason.COMPLAINT: Kind.OPT_IN,
    Reason.IMPORTED: Kind.OPT_IN,
}


@dataclass(frozen=True, slots=True)
class Change:
    """What was recorded, and the reasons that stand now."""

    address: Address
    kind: Kind
    sequence: int
    reasons: frozenset[Reason]
    withheld: int = 0


def put_on_list(
    hand: Hand, written: str, because: str, note: str, once: str | None = None
) -> Change:
    """Record the event, then withhold the waiting offers in a transaction of their own.

    `once` names the change: the same hand under the same name changes nothing a second time.
    """
    address = parse_address(written)
    person = hand.person_key.identify(address)
    reason = Reason(because)
    kind = next(kind for kind, added in ADDS.items() if added is reason)
    key = _new_key(hand) if once is None else _key_of(hand, once)

    def change(conn: Connection) -> tuple[int, frozenset[Reason]]:
        if Reason.HELD in ENDS.get(kind, ()):
            _decide_reviews(conn, hand, person, ReviewState.ACCEPTED)
        sequence = _record(conn, hand, kind, address, note, key)
        return sequence, suppressions.reasons(conn, person)

    sequence, reasons = recorded(hand.database, hand.person_key, key, change)
    with hand.database.write() as conn:
        withheld = outbox.withhold_marketing_of(conn, person, reason)
    return Change(address, kind, sequence, reasons, withheld)


def take_off_list(hand: Hand, written: str, because: str | None, note: str) -> Change:
    """Record what ends the reason.

    Raises InputError without a note, RefusedError where the person is not on the list (for that),
    where several reasons would need different events, or where it can never be lifted.
    """
    address = parse_address(written)
    person = hand.person_key.identify(address)
    if not note.strip():
        raise InputError("a note is needed.", where="--note", next_step="Say why this is right.")
    key = _new_key(hand)

    def change(conn: Connection) -> Change:
        standing = suppressions.reasons(conn, person)
        kind = _what_ends(address, standing, Reason(because) if because else None)
        if Reason.HELD in ENDS[kind]:
            _decide_reviews(conn, hand, person, ReviewState.DISMISSED)
        sequence = _record(conn, hand, kind, address, note.strip(), key)
        return Change(address, kind, sequence, suppressions.reasons(conn, person))

    return recorded(hand.database, hand.person_key, key, change)


def _what_ends(address: Address, standing: frozenset[Reason], because: Reason | None) -> Kind:
    if because is not None and because not in standing:
        listed = ", ".join(sorted(standing)) or "nothing"
        raise RefusedError(f"{address.text} is not on the list for {because}, but for {listed}.")
    if not standing:
        raise RefusedError(f"{address.text} is not on the list.")
    wanted = {because} if because else standing
    kinds = {LIFTED_BY[reason] for reason in wanted if reason in LIFTED_BY}
    if not kinds:
        raise RefusedError(
            f"{address.text} was erased: only a hash is kept, so that nobody writes again.",
            next_step="If this person wants offers, they have to sign up anew.",
        )
    if Kind.OPT_IN in kinds:
        kinds.discard(Kind.RELEASED)  # a wish for offers ends the hold as well
    if len(kinds) > 1:
        raise RefusedError(
            f"{address.text} is on the list for {', '.join(sorted(standing))}, which end for "
            "different causes.",
            next_step="Name one with --because; run it again for another.",
        )
    return kinds.pop()


def _key_of(hand: Hand, once: str) -> str:
    """Of any text one that the ledger's column takes."""
    digest = hashlib.sha256(f"{hand.who}\n{once}".encode()).hexdigest()
    return f"{hand.source}:{digest}"


def _new_key(hand: Hand) -> str:
    return f"{hand.source}:{uuid.uuid4()}"


def _record(
    conn: Connection,
    hand: Hand,
    kind: Kind,
    address: Address,
    note: str,
    key: str,
) -> int:
    evidence = {"by": hand.who} | ({"note": note} if note else {})
    return consent.record(
        conn,
        ConsentEvent(
            kind=kind,
            source=hand.source,
            person=hand.person_key.identify(address),
            key=key,
            received_at=now(conn),
            rule=_RULE,
            policy_version=hand.policy_version,
            address=address.text,
            evidence=evidence,
        ),
    ).sequence


def _decide_reviews(conn: Connection, hand: Hand, person: Person, state: ReviewState) -> None:
    """A hold that a person decided must not turn into an opt-out when its time is over.

    Before the event: while an item is open, the hold does not end.
    """
    for item in reviews.waiting_for(conn, person):
        reviews.decide(conn, item.id, state, hand.who)
