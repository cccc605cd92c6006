"""A day or a moment as an option names it: 2027-03-01, or "2027-03-01 09:00+01:00"."""

from __future__ import annotations

from datetime import UTC, datetime

from mailbot.core.errors import InputError


def read_moment(text: str, where: str) -> datetime:
    """The moment in UTC; a day is its first moment. Raises InputError naming the option `where`."""
    try:
        written = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"“{text}” is no time.",
            where=where,
            next_step='Write it like 2027-03-01 or "2027-03-01 09:00" (UTC, or add +01:00).',
        ) from error
    try:
        return (written if written.tzinfo else written.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise InputError(f"“{text}” lies outside of all calendars.", where=where) from error
