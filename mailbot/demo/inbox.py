"""help@'s INBOX as a mail program sees it: put mail in, look at it, ask for its flags.

The standard library's imaplib, so that the demo asks the server itself and not mailbot's own
eyes. Each call is one short connection; looking is EXAMINE and BODY.PEEK and changes nothing.
"""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One mail of the INBOX as the server reports it."""

    uid: int
    flags: frozenset[str]  # \\Recent left out: it is about the connection, not about the mail
    content: bytes

    @property
    def is_read(self) -> bool:
        return "\\Seen" in self.flags


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the INBOX reaches: every mail in it has a UID up to `last_uid`."""

    uidvalidity: int
    last_uid: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where help@'s INBOX is, and the account that may open it."""

    host: str
    port: int
    account: str
    password: str

    def put(self, message: bytes, *, flags: str = "", received_at: datetime | None = None) -> None:
        """A mail arrives (IMAP APPEND)."""
        moment = imaplib.Time2Internaldate(received_at or datetime.now(UTC))
        with self._open() as imap:
            _ok(imap.append("INBOX", flags, moment, message))

    def look(self) -> tuple[Seen, ...]:
        """Every mail with its flags and bytes, in the order of arrival."""
        with self._open() as imap:
            _ok(imap.select("INBOX", readonly=True))
            found = _ok(imap.uid("SEARCH", "ALL"))[0] or b""
            return tuple(_fetch(imap, int(uid)) for uid in found.split())

    def extent(self) -> Extent:
        """Its UIDVALIDITY, and the UID of the newest mail."""
        with self._open() as imap:
            answer = _ok(imap.status("INBOX", "(UIDVALIDITY UIDNEXT)"))[0]
        values = dict(re.findall(rb"(UIDVALIDITY|UIDNEXT) (\d+)", answer))
        return Extent(int(values[b"UIDVALIDITY"]), int(values[b"UIDNEXT"]) - 1)

    @contextmanager
    def _open(self) -> Iterator[imaplib.IMAP4]:
        imap = imaplib.IMAP4(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            imap.login(self.account, self.password)
            yield imap
        finally:
            imap.logout()


def _fetch(imap: imaplib.IMAP4, uid: int) -> Seen:
    answer = _ok(imap.uid("FETCH", str(uid), "(UID FLAGS BODY.PEEK[])"))
    head, content = b"", b""
    for piece in answer:  # [(b'1 (UID 101 FLAGS () BODY[] {9}', b'…'), b')']
        if isinstance(piece, tuple):
            head, content = head + piece[0], piece[1]
        elif piece is not None:
            head += piece
    match = re.search(rb"FLAGS \(([^)]*)\)", head)
    flags = match[1].decode("ascii").split() if match else []
    return Seen(uid, frozenset(flags) - {"\\Recent"}, content)


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"help@ answered {status}: {data!r}")
    return data
