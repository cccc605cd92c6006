"""A row that a failing disk or somebody's hand was at: what of it can be read, and what cannot.

A column of SQLite holds whatever was put there. One such row must not keep all others from being
claimed: it is read as far as it goes, and says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


def fields_of(stored: str | None) -> Mapping[str, Any] | None:
    """The fields of a message, from the text of their JSON; None where that is no JSON object."""
    try:
        fields = json.loads(stored or "")
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


class ReadableMoment(TypeDecorator[datetime]):
    """A column of UtcDateTime, read: NULL where SQLite holds no time there."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # Not as text on PostgreSQL, whose DateStyle is the admin's.
        is_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if is_sqlite else DateTime(timezone=True))

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if dialect.name != "sqlite":
            return cast("datetime", value).astimezone(UTC)
        try:
            return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
        except ValueError:
            return None


def number_of(stored: object) -> int | None:
    """A whole number; None where something else stands in its place."""
    return stored if isinstance(stored, int) else None
