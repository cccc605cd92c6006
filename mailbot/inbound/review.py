"""Review items decided: by a person, or by the clock where nobody did.

A decision is one transaction: the item closed, the event it means, and the list. Closing it is a
compare-and-set, so of a person, another one and the clock only the first acts. It needs neither
the mail nor the person key: the item has the hashes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.person import Person
from mailbot.store import consent, outbox, reviews, suppressions
from mailbot.store.engine import Connection, Database, now
from mailbot.store.reviews import ReviewItem
from mailbot.store.tables import ReviewState

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, by which way, and what they say of it."""

    by: str
    source: Source
    policy_version: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision did. `sequence` is its event's, None where nobody was held.

    `reasons` are why the person is on the list now. `also_held_by` are the numbers of the other
    open items that hold them. `withheld` counts offers: after accepting those that are withheld by
    it, after dismissing those that the hold had withheld, which are not sent any more.
    """

    item: ReviewItem
    state: ReviewState
    sequence: int | None
    reasons: frozenset[Reason] = frozenset()
    also_held_by: tuple[int, ...] = ()
    withheld: int = 0


def find_item(conn: Connection, item_id: int) -> ReviewItem:
    """The review of this number. Raises NotFoundError."""
    item = reviews.get(conn, item_id)
    if item is None:
        raise NotFoundError(
            f"there is no review {item_id}.", next_step="Look at `mailbot review list --all`."
        )
    return item


def accept(database: Database, item_id: int, decider: Decider) -> Decided:
    """It was a request: the person is opted out, and their waiting offers are withheld.

    Raises NotFoundError, or RefusedError where it is decided already or names nobody.
    """
    with database.write() as conn:
        item = find_item(conn, item_id)
        if item.person is None and item.state is ReviewState.OPEN:
            raise RefusedError(
                f"review {item_id} holds nobody, for its mail could not be read: there is nobody "
                "to opt out.",
                next_step="Look at the mail. If it asks, run `mailbot suppress add ADDRESS`, and "
                f"then `mailbot review dismiss {item_id}`.",
            )
        decided = _decide(conn, item, ReviewState.ACCEPTED, Kind.OPT_OUT, decider)
    return replace(decided, withheld=_withhold(database, item))


def dismiss(database: Database, item_id: int, decider: Decider) -> Decided:
    """It was no request: the hold ends, unless another open item holds the same person.

    Ends no opt-out. Raises NotFoundError, or RefusedError where it is decided already.
    """
    with database.write() as conn:
        item = find_item(conn, item_id)
        decided = _decide(conn, item, ReviewState.DISMISSED, Kind.RELEASED, decider)
        return replace(decided, withheld=reviews.count_withheld(conn, item))


def expire_overdue(database: Database, policy_version: str) -> int:
    """Turn the holds that nobody decided within 24 h into opt-outs; returns how many.

    Doubt is resolved for the customer: a wrong suppression is undone in one step, a missed one
    breaks the law.
    """
    with database.read() as conn:
        items = reviews.overdue(conn)
    count = 0
    for item in items:
        with database.write() as conn:
            is_ours = _expire(conn, item, policy_version)
        if not is_ours or item.person is None:
            continue
        _withhold(database, item)
        log.warning("review_expired", item=item.id, rule=item.rule,
                    person=item.person.person_hash[:12])  # fmt: skip
        count += 1
    return count


def _expire(conn: Connection, item: ReviewItem, policy_version: str) -> bool:
    if item.person is None or not reviews.decide(conn, item.id, ReviewState.EXPIRED, "clock"):
        return False
    clock = Decider("clock", Source.CLOCK, policy_version)
    evidence = {"because": item.because, "decided": "nobody did within 24 hours"}
    _record(conn, item, item.person, ReviewState.EXPIRED, Kind.OPT_OUT, clock, evidence)
    return True


def _decide(
    conn: Connection, item: ReviewItem, state: ReviewState, kind: Kind, decider: Decider
) -> Decided:
    if not reviews.decide(conn, item.id, state, decider.by):
        before = find_item(conn, item.id)
        raise RefusedError(
            f"review {item.id} is decided already: {before.state} by {before.decided_by} at "
            f"{before.decided_at:%Y-%m-%d %H:%M} UTC.",
            next_step="To change it, use `mailbot suppress add` or `mailbot suppress lift`.",
        )
    if item.person is None:
        return Decided(item, state, None)
    evidence = {"because": item.because, "review": str(item.id), "by": decider.by}
    evidence |= {"reason": decider.reason} if decider.reason else {}
    sequence = _record(conn, item, item.person, state, kind, decider, evidence)
    others = tuple(other.id for other in reviews.waiting_for(conn, item.person))
    return Decided(item, state, sequence, suppressions.reasons(conn, item.person), others)


def _record(
    conn: Connection,
    item: ReviewItem,
    person: Person,
    state: ReviewState,
    kind: Kind,
    decider: Decider,
    evidence: dict[str, str],
) -> int:
    """Append the event of a decision; returns its number.

    A wish counts from when its mail was received, not from when somebody understood it: an opt-in
    that came in between is newer.
    """
    received_at = now(conn)
    if kind is Kind.OPT_OUT:
        asked = reviews.asked(conn, item)
        received_at = asked.received_at if asked else item.opened_at
    recorded = consent.record(conn, ConsentEvent(
        kind=kind,
        source=decider.source,
        person=person,
        key=f"review:{item.id}:{state}",
        received_at=received_at,
        rule=item.rule,
        policy_version=decider.policy_version,
        address=item.address,
        evidence=evidence,
    ))  # fmt: skip
    return recorded.sequence


def _withhold(database: Database, item: ReviewItem) -> int:
    """In a transaction of its own: outbox rows are locked before the ledger's head."""
    if item.person is None:
        return 0
    with database.write() as conn:
        return outbox.withhold_marketing_of(conn, item.person, Reason.OPT_OUT)
