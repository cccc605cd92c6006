"""Review items: mail that a person decides about, and what the clock does where nobody decides."""

from __future__ import annotations

import structlog

from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.store import consent, outbox, reviews
from mailbot.store.engine import Connection, Database
from mailbot.store.reviews import ReviewItem
from mailbot.store.tables import ReviewState

log = structlog.get_logger()


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
        with database.write() as conn:
            outbox.withhold_marketing_of(conn, item.person, "opt_out")
        log.warning("review_expired", item=item.id, rule=item.rule,
                    person=item.person.person_hash[:12])  # fmt: skip
        count += 1
    return count


def _expire(conn: Connection, item: ReviewItem, policy_version: str) -> bool:
    if item.person is None or not reviews.decide(conn, item.id, ReviewState.EXPIRED, "clock"):
        return False
    consent.record(conn, ConsentEvent(
        kind=Kind.OPT_OUT,
        source=Source.CLOCK,
        person=item.person,
        key=f"review:{item.id}:expired",
        received_at=item.opened_at,
        rule=item.rule,
        policy_version=policy_version,
        evidence={"because": item.because, "decided": "nobody did within 24 hours"},
    ))  # fmt: skip
    return True
