"""Addresses that leave the list are recorded first: who took them, why, how many, whose."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from mailbot.cli.opening import OpenedForPersons
from mailbot.cli.recording import recorded
from mailbot.cli.stop_marketing import who
from mailbot.core.consent import BatchEvent, Kind, Source
from mailbot.core.errors import InputError
from mailbot.store import consent
from mailbot.store.engine import now

_RULE: Final = "list-export"


def checked_reason(reason: str) -> str:
    """Raises InputError where nothing is said."""
    if not reason.strip():
        raise InputError("a reason is needed.", where="--reason", next_step="Say for whom and why.")
    return reason.strip()


def record_giving_out(
    installation: OpenedForPersons, *, count: int, digest: str, evidence: Mapping[str, str]
) -> int:
    """Record that these persons' addresses are given out; returns the event's number."""
    key = f"export:{uuid.uuid4()}"
    return recorded(installation, key, lambda conn: consent.note(conn, BatchEvent(
        kind=Kind.EXPORTED, source=Source.COMMAND_LINE, key=key, received_at=now(conn), rule=_RULE,
        policy_version=installation.settings.shop.policy_version, count=count, digest=digest,
        evidence={"by": who(), **evidence},
    )))  # fmt: skip
