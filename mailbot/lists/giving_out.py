"""Addresses that leave the list are recorded first: who took them, why, how many, whose."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from mailbot.core.consent import BatchEvent, Kind
from mailbot.core.errors import InputError
from mailbot.lists.hand import Hand
from mailbot.store import consent
from mailbot.store.engine import now
from mailbot.store.recording import recorded

_RULE: Final = "list-export"


def checked_reason(reason: str) -> str:
    """Raises InputError where nothing is said."""
    if not reason.strip():
        raise InputError("a reason is needed.", where="--reason", next_step="Say for whom and why.")
    return reason.strip()


def record_giving_out(hand: Hand, *, count: int, digest: str, evidence: Mapping[str, str]) -> int:
    """Record that these persons' addresses are given out; returns the event's number."""
    key = f"export:{uuid.uuid4()}"
    return recorded(hand.database, hand.person_key, key, lambda conn: consent.note(conn, BatchEvent(
        kind=Kind.EXPORTED, source=hand.source, key=key, received_at=now(conn), rule=_RULE,
        policy_version=hand.policy_version, count=count, digest=digest,
        evidence={"by": hand.who, **evidence},
    )))  # fmt: skip
