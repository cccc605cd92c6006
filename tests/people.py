"""The people and events of the tests, under one person key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailbot.core.address import Address, parse_address
from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.person import Person, PersonKey

PERSON_KEY = PersonKey(bytes(range(32)))
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def address(text: str) -> Address:
    return parse_address(text)


def person(text: str) -> Person:
    return PERSON_KEY.identify(parse_address(text))


def event(
    kind: Kind,
    who: str = "ann@example.org",
    *,
    minutes: float = 0,
    source: Source = Source.MAIL,
    key: str | None = None,
) -> ConsentEvent:
    """One event, received `minutes` after noon."""
    return ConsentEvent(
        kind=kind,
        source=source,
        person=person(who),
        key=key or f"{kind}:{who}:{minutes}",
        received_at=NOON + timedelta(minutes=minutes),
        rule="word-in-subject",
        policy_version="1",
        address=who,
        evidence={"Subject": "unsubscribe"},
    )
