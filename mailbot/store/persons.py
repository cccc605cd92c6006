"""Whom a row names: the one rule by which the list, the ledger and the outbox know a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_

from mailbot.core.person import Person


def is_person(table: Any, person: Person) -> Any:
    """The condition that a row of `table` names `person`, by the exact or by the untagged hash."""
    return or_(
        table.c.person_hash == person.person_hash, table.c.untagged_hash == person.untagged_hash
    )
