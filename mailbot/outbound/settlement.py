"""How outcomes are written down: when to try again, and who turned out undeliverable."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from mailbot.core.backoff import next_after_trouble_at, next_attempt_at
from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.outbound.delivery import Attempt
from mailbot.store import campaign_brakes, consent, deliveries, doubted_refusals
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Connection, now
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

_OF_RELAY = re.compile(r"[2-5]\d\d\b")  # a reply begins with its code, no reason of ours does


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt and what became of it."""

    attempt: Attempt
    outcome: DeliveryOutcome


@dataclass(frozen=True, slots=True)
class Settlement:
    """How long a message is tried, and under which policy."""

    retry_for: timedelta
    policy_version: str

    def settle(self, conn: Connection, ended: Sequence[Ended]) -> Mapping[int, State]:
        """Record outcomes; returns row id → the state reached, without rows taken over meanwhile.

        An undeliverable person is one more event in the ledger: such an attempt is settled alone,
        since the ledger's head is locked before every row (see store/ledger.py).
        """
        outcomes = {one.outcome.outbox_id: self._timed(conn, one) for one in ended}
        bounced = {row_id for row_id, one in outcomes.items() if one.state is State.BOUNCED}
        if bounced:
            campaign_brakes.lock_of(conn, bounced)
        moved = deliveries.record_outcomes(conn, list(outcomes.values()))
        # The brake before the list: a relay that refuses everybody must not empty it of customers.
        doubted = campaign_brakes.count_refused(conn, bounced & moved) if bounced else ()
        for one in ended:
            row_id = one.outcome.outbox_id
            if row_id in doubted:
                log.warning("bounce_doubted", outbox_id=row_id, why=one.outcome.reply)
            elif row_id in bounced & moved:
                self._suppress(conn, one)
        return {row_id: outcomes[row_id].state for row_id in moved}

    def _suppress(self, conn: Connection, ended: Ended) -> None:
        row, outcome = ended.attempt.row, ended.outcome
        consent.record(conn, ConsentEvent(
            kind=Kind.UNDELIVERABLE,
            source=Source.RELAY,
            person=row.person,
            key=f"relay:{row.id}:{outcome.attempt_id}",
            received_at=now(conn),
            rule="relay-refused-recipient",
            policy_version=self.policy_version,
            address=row.address,
            evidence={"reply": outcome.reply, "message_id": row.message_id},
        ))  # fmt: skip

    def _timed(self, conn: Connection, ended: Ended) -> DeliveryOutcome:
        """The outcome, and when the row is due again where it goes on."""
        row, outcome = ended.attempt.row, ended.outcome
        if outcome.state is State.DEFERRED:
            return self._deferred(conn, ended)
        is_refused = outcome.state is State.BOUNCED and row.kind is not MessageKind.CAMPAIGN
        if is_refused and doubted_refusals.since(conn) is not None:
            # It may be the relay: nobody is taken off, and the customer gets it once it is mended.
            log.warning("bounce_doubted", outbox_id=row.id, why=outcome.reply)
            return self._deferred(conn, ended)
        if outcome.state is State.QUEUED and row.attempts and _OF_RELAY.match(outcome.reply):
            # Refused again: as the oldest row it would ask for all the others each time.
            next_at = next_after_trouble_at(row.attempts, now(conn), random.random())
            if row.kind is MessageKind.ACKNOWLEDGEMENT and self._is_over(row, next_at):
                return replace(outcome, state=State.EXPIRED)  # a courtesy, and late
            return replace(outcome, not_before=next_at)
        return outcome

    def _is_over(self, row: ClaimedRow, next_at: datetime) -> bool:
        return next_at > row.created_at + self.retry_for

    def _deferred(self, conn: Connection, ended: Ended) -> DeliveryOutcome:
        row, outcome = ended.attempt.row, ended.outcome
        at = now(conn)
        next_at = next_attempt_at(row.attempts + 1, at, random.random())
        is_over = self._is_over(row, next_at)
        return DeliveryOutcome(
            row.id, outcome.attempt_id, State.EXPIRED if is_over else State.DEFERRED,
            outcome.reply, outcome.list_sequence, not_before=None if is_over else next_at,
        )  # fmt: skip
