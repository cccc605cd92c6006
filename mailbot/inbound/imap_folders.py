"""A mailbox's folders, by names that people read and by those that the server wants.

Part of the adapter inbound/imap.py; `client` is imapclient's IMAPClient. A folder whose line cannot
be read is left out: it must not hide the others.
"""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mailbot.core.errors import MailboxRefused
from mailbot.inbound.imap_answers import Folder, role_of
from mailbot.inbound.imap_faults import explained, is_passing, server_text

_HIDDEN = {rb"\noselect", rb"\nonexistent"}
_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
# RFC 3501 §7.2.2; a name is quoted, a literal, or bare. Some servers leave spaces in a bare one.
_LISTED = re.compile(
    rb" *\(([^()]*)\) +(?:NIL|" + _QUOTED + rb") +(?:" + _QUOTED + rb"|(\{\d+\})$|([^ \"].*))",
    re.IGNORECASE | re.DOTALL,
)
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


@dataclass(frozen=True, slots=True)
class Listed:
    """A folder that can be opened, and its name in the server's own bytes."""

    folder: Folder
    wire: bytes


def list_folders(client: Any, where: str) -> list[Listed]:
    """Every folder that can be opened. Raises MailboxRefused where the server lists none."""
    imap = client._imap  # noqa: SLF001 - imapclient fails for all where one line is odd
    with explained(where, "listing its folders"):
        try:
            kind, lines = imap.list('""', '"*"')
            if kind != "OK":
                raise imaplib.IMAP4.error(lines[0])
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if is_passing(error):
                raise
            raise MailboxRefused(
                f"the server does not list its folders ({server_text(error)}).",
                where=where,
                next_step="Name those to watch as folders.",
            ) from error
    return list(_read(lines))


def _read(lines: list[Any]) -> Iterator[Listed]:
    for line in lines:
        head, literal = line if isinstance(line, tuple) else (line, b"")
        if not head or (found := _LISTED.match(head)) is None:
            continue
        flags, delimiter, quoted, counted, bare = found.groups()
        wire = literal if counted else bare if quoted is None else _unescaped(quoted)
        marks = {mark.lower() for mark in flags.split()}
        # A line break in a name would end the command that says it.
        if marks & _HIDDEN or not wire or any(sign in wire for sign in b"\r\n\0"):
            continue
        name = readable(wire)
        yield Listed(Folder(name, role_of(marks, name, _unescaped(delimiter or b"") or None)), wire)


def readable(wire: bytes) -> str:
    """A folder's name out of modified UTF-7 (RFC 3501 §5.1.3), or out of UTF-8 (RFC 6855), which
    some servers speak unasked. What is neither stands as it is."""
    try:
        name = wire.decode("ascii")
    except UnicodeDecodeError:
        return wire.decode("utf-8", "replace")
    return _SHIFTED.sub(_unshifted, name)


def _unshifted(found: re.Match[str]) -> str:
    if not found[1]:
        return "&"
    try:
        name = f"+{found[1].replace(',', '/')}-".encode().decode("utf-7")
        name.encode()  # half of a surrogate pair cannot be stored
    except UnicodeError:
        return found[0]
    return name


def wanted(wire: bytes) -> bytes:
    """This name as an argument of a command."""
    return b'"' + wire.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def open_folder(client: Any, wire: bytes, *, readonly: bool) -> dict[bytes, Any]:
    """imapclient's select_folder, for a name in the server's own bytes."""
    imap = client._imap  # noqa: SLF001 - imapclient would spell the name anew
    kind, lines = imap.select(wanted(wire), readonly)
    if kind != "OK":
        raise imaplib.IMAP4.error(lines[0])
    answer: dict[bytes, Any] = client._process_select_response(  # noqa: SLF001
        imap.untagged_responses
    )
    return answer


def _unescaped(quoted: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
