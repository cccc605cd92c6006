"""Whose hand changes the list, or takes addresses from it, and in which installation."""

from __future__ import annotations

from dataclasses import dataclass

from mailbot.core.consent import Source
from mailbot.core.person import PersonKey
from mailbot.store.engine import Database


@dataclass(frozen=True, slots=True)
class Hand:
    """`who` is kept with each event: a person's name, or that of an API key."""

    database: Database
    person_key: PersonKey
    policy_version: str
    who: str
    source: Source
