"""What an IMAP server's answers hold, as values. Part of the adapter inbound/imap.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

JUNK_NAMES = frozenset({"junk", "spam", "junk e-mail", "junk email", "bulk mail"})


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that can be examined, by its readable (not UTF-7) name."""

    name: str
    is_junk: bool


@dataclass(frozen=True, slots=True)
class FolderState:
    """What EXAMINE said; `uidnext` is None where the server does not tell (RFC 3501 §6.3.1)."""

    name: str
    uidvalidity: int
    uidnext: int | None
    exists: int


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """One mail as the server describes it.

    `header` is at most HEADER_LIMIT bytes; `size` the whole mail's bytes; `received_at` its
    INTERNALDATE. `fault` says why the server could not give the header, which is then empty.
    """

    uid: int
    size: int
    received_at: datetime | None
    flags: frozenset[str]
    header: bytes
    fault: str = ""


def literal(answer: dict[bytes, Any], name: bytes) -> bytes | None:
    """The literal of BODY[…]: servers name it with or without the "<0>" of the partial fetch.

    None where the answer has none, or NIL.
    """
    for key, value in answer.items():
        if key.startswith(name) and value is not None:
            return value if isinstance(value, bytes) else str(value).encode()
    return None


def number(value: object, default: int) -> int:
    """The value where it is a number, else `default`."""
    return value if isinstance(value, int) else default


def flag_names(flags: object) -> frozenset[str]:
    """The flags of one mail as text; a keyword of digits alone comes as a number."""
    if not isinstance(flags, tuple):
        return frozenset()
    return frozenset(
        flag.decode("ascii", "replace") if isinstance(flag, bytes) else str(flag) for flag in flags
    )


def is_junk_name(name: str, delimiter: bytes | None) -> bool:
    """Whether a folder without the mark of RFC 6154 is by its name the one for junk."""
    return (
        name.rsplit((delimiter or b"/").decode("ascii", "replace"), 1)[-1].casefold() in JUNK_NAMES
    )


def utc(moment: object) -> datetime | None:
    """INTERNALDATE in UTC; None where the server gave none that can be read."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # 1 January of the year 1, with a zone
        return None
