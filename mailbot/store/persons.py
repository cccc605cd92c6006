"""Whom a row names: the one rule by which the list, the ledger and the outbox know a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_

from mailbot.core.person import Person


def is_named(table: Any, exact: Any, untagged: Any) -> Any:
    """The condition that a row of `table` names whom these two hashes (or columns) name."""
    return or_(table.c.person_hash == exact, table.c.untagged_hash == untagged)


def is_person(table: Any, person: Person) -> Any:
    """The condition that a row of `table` names `person`, by the exact or by the untagged hash."""
    return is_named(table, person.person_hash, person.untagged_hash)
