"""Whom a row names: the one rule by which the list, the ledger and the outbox know a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_

from mailbot.core.person import Person


def is_named(table: Any, exact: Any, untagged: Any) -> Any:
    """The condition that a row of `table` names whom these two hashes (or columns) name.

    Either hash is the same. Said so that an index of `person_hash`, and one of the few rows with a
    +tag, are enough: without a tag a row's two hashes are one.
    """
    is_tagged = table.c.untagged_hash != table.c.person_hash
    return or_(
        table.c.person_hash.in_((exact, untagged)),
        and_(is_tagged, table.c.untagged_hash == untagged),
    )


def is_person(table: Any, person: Person) -> Any:
    """The condition that a row of `table` names `person`, by the exact or by the untagged hash."""
    return is_named(table, person.person_hash, person.untagged_hash)
