"""Waiting in IDLE (RFC 2177), answer by answer. Part of the adapter inbound/imap.py.

imapclient's own idle_check takes half a line for a broken connection, and a closed one for a quiet
one. Here a line may come in any number of packets, and a silent or closed line is told.
"""
# ruff: noqa: SLF001 - imapclient shows its connection, an imaplib.IMAP4, only here

from __future__ import annotations

import io
import select
import ssl
import time
from collections.abc import Callable
from typing import Any

_GLANCE = 1.0  # seconds; how soon a stop is noticed


def mails_told(client: Any) -> int:
    """How many mails the server said that the open folder has, when it last said a number."""
    told = _told(client)
    return int(told[-1]) if told else 0


def _told(client: Any) -> list[bytes]:
    found: list[bytes] = client._imap.untagged_responses.get("EXISTS", [])
    return found


def idle(client: Any, known: int, seconds: float, is_stopping: Callable[[], bool]) -> bool | None:
    """Wait until the server tells of more than `known` mails; False where the time is over or
    `is_stopping` says so, None where the server refuses IDLE or ends it by itself.

    Raises imaplib's abort or an OSError where the connection is dead.
    """
    until = time.monotonic() + seconds
    conversation = _Idling(client, known)
    conversation.start()
    while not (conversation.has_news or conversation.is_over or is_stopping()):
        left = until - time.monotonic()
        if left <= 0:
            break
        if _hears(client, min(left, _GLANCE)):
            conversation.read()
    is_over = conversation.is_over
    conversation.end()
    return None if is_over and not conversation.has_news else conversation.has_news


class _Idling:
    """One IDLE command. A line has the client's time-out to come, once its first byte is there."""

    def __init__(self, client: Any, known: int) -> None:
        self._imap = client._imap
        self._patience = client.socket().gettimeout() or 0.0
        self._client, self._known = client, known
        self._told_before = len(_told(client))
        self._tag = self._imap._command("IDLE")

    @property
    def has_news(self) -> bool:
        if mails_told(self._client) > self._known:
            return True
        # One came and one went: the number is the same. (Some servers repeat it in every IDLE.)
        is_told_anew = len(_told(self._client)) > self._told_before
        return is_told_anew and "EXPUNGE" in self._imap.untagged_responses

    @property
    def is_over(self) -> bool:
        """Whether the server has completed the command, or refused it."""
        return self._imap.tagged_commands[self._tag] is not None

    def start(self) -> None:
        """Up to "+ idling"; what the server has to say before that is heard."""
        self._until(lambda answer: answer is None or self.is_over)

    def read(self) -> bytes | None:
        """One answer; None is a continuation ("+ …")."""
        answer: bytes | None = self._imap._get_response()
        self._imap._check_bye()  # the line would stay open and silent
        return answer

    def end(self) -> None:
        """DONE, unless the server was first."""
        if not self.is_over:
            self._imap.send(b"DONE\r\n")
            self._until(lambda _: self.is_over)
        del self._imap.tagged_commands[self._tag]

    def _until(self, is_so: Callable[[bytes | None], bool]) -> None:
        deadline = time.monotonic() + self._patience
        while not is_so(self.read()):
            if self._patience and time.monotonic() > deadline:  # it talks, and of other things
                raise TimeoutError


def _hears(client: Any, seconds: float) -> bool:
    """Whether there is something to read within this time; the end of the line counts."""
    if _unread(client):  # it came in one packet with the answer before: poll() cannot see it
        return True
    poller = select.poll()
    poller.register(client.socket().fileno(), select.POLLIN)
    return bool(poller.poll(seconds * 1000)) and _unread(client) is not None


def _unread(client: Any) -> bytes | None:
    """What can be read without waiting; b"" for nothing and for a closed line, None where TLS has
    nothing for us though its socket had: a session ticket, a part of a record.

    From Python 3.14 on imaplib keeps its buffer elsewhere; there the next poll finds the rest.
    """
    file = vars(client._imap).get("file")
    if not isinstance(file, io.BufferedReader):
        return b""
    sock = client.socket()
    wait = sock.gettimeout()
    sock.settimeout(0)
    try:
        return file.peek(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    finally:
        sock.settimeout(wait)
