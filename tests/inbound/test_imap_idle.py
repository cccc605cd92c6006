"""What IDLE's answers mean, in whatever order a server gives them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxUnavailable
from mailbot.inbound.imap import Mailbox
from tests.inbound.desk import Desk
from tests.inbound.letters import letter
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import OK, ScriptedImap

FIVE = b"* 5 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT 6] n\r\n" + OK


@contextmanager
def opened(settings: MailboxSettings, **answers: Any) -> Iterator[Mailbox]:
    """A folder of five mails on a server that answers so."""
    server = ScriptedImap({"EXAMINE": FIVE, "DONE": OK, **answers})
    values = settings.model_dump() | {"port": server.port, "timeout_seconds": 1}
    with server, Mailbox(MailboxSettings(**values), PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        yield mailbox


def said(*parts: bytes) -> Callable[[socket.socket, bytes], None]:
    """These parts, apart."""

    def say(connection: socket.socket, tag: bytes) -> None:
        for part in parts:
            connection.sendall(part.replace(b"%s", tag))
            time.sleep(0.05)

    return say


@pytest.mark.parametrize(
    ("answer", "has_news"),
    [
        ([b"+ idling\r\n* 6 EXISTS\r\n"], True),
        ([b"+ idling\r\n", b"* 6 EX", b"ISTS\r", b"\n"], True),
        ([b"* 6 EXISTS\r\n+ idling\r\n"], True),  # before it says that it idles
        ([b"* OK hello\r\n", b"+\r\n", b"* 6 EXISTS\r\n"], True),
        ([b"+ idling\r\n* 2 EXPUNGE\r\n* 5 EXISTS\r\n"], True),  # one gone, one come
        ([b"+ idling\r\n* 5 EXISTS\r\n"], False),  # said in each IDLE, by some
        ([b"+ idling\r\n* 2 EXPUNGE\r\n"], False),
        ([b"+ idling\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* OK Still here\r\n"], False),
        ([b"+ idling\r\n", b"* 1 FETCH (BODY {3}\r\nabc)\r\n", b"+ still\r\n"], False),
    ],
)
def test_only_more_mail_is_news(
    settings: MailboxSettings, answer: list[bytes], has_news: bool
) -> None:
    """A server that repeats itself in each IDLE would keep us searching without a pause."""
    with opened(settings, IDLE=said(*answer)) as mailbox:
        started = time.monotonic()
        assert mailbox.idle(0.4) is has_news
        assert (time.monotonic() - started < 0.4) is has_news
        assert mailbox.can_idle
        mailbox.check()


@pytest.mark.parametrize(
    "answer", [b"%s NO not now\r\n", b"%s BAD what\r\n", b"+ idling\r\n%s OK enough\r\n"]
)
def test_a_server_that_refuses_or_ends_idle_by_itself_is_polled(
    settings: MailboxSettings, answer: bytes
) -> None:
    """Asked again at once, it would be asked for ever; and no DONE is sent for what is over."""
    with opened(settings, IDLE=answer, DONE=b"%s BAD no such command\r\n") as mailbox:
        assert mailbox.idle(5) is False
        assert not mailbox.can_idle
        mailbox.check()


def test_mail_that_was_told_of_before_idle_is_news(settings: MailboxSettings) -> None:
    """It came between the search and IDLE, in the answer to another command: told once."""
    with opened(settings, NOOP=b"* 6 EXISTS\r\n" + OK, IDLE=b"+ idling\r\n") as mailbox:
        assert mailbox.uids_after(5) == []
        mailbox.check()
        assert mailbox.idle(5) is True
        assert mailbox.uids_after(5) == []  # searched by now
        assert mailbox.idle(0.1) is False


def test_mail_that_came_while_others_were_filed_is_news(desk: Desk) -> None:
    """The folder is opened anew for that, and IDLE tells only of what comes after."""
    desk.arrive(letter("unsubscribe"))
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        assert mailbox.uids_after(0) == [1]
        desk.arrive(letter("unsubscribe"))
        mailbox.mark([1], "filed")
        assert mailbox.idle(5) is True
        assert mailbox.uids_after(1) == [2]
        assert mailbox.idle(0.1) is False


@pytest.mark.parametrize("end", [b"* BYE enough\r\n", b"* 1 EXI", b"nonsense\r\n", b"* OK"])
def test_a_line_that_goes_wrong_in_idle_is_given_up_in_time(
    settings: MailboxSettings, end: bytes
) -> None:
    """A goodbye on a line that stays open, half an answer and no more, and no answer at all."""
    with opened(settings, IDLE=said(b"+ idling\r\n", end)) as mailbox:
        started = time.monotonic()
        with pytest.raises(MailboxUnavailable):
            mailbox.idle(60)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("command", ["IDLE", "DONE"])
def test_a_server_that_only_talks_is_given_up(settings: MailboxSettings, command: str) -> None:
    """It sends something all the time, and never what was asked for."""

    def talk(connection: socket.socket, _tag: bytes) -> None:
        for _ in range(30):
            connection.sendall(b"* OK Still here\r\n")
            time.sleep(0.1)

    answers: dict[str, Any] = {"IDLE": b"+ idling\r\n", "DONE": OK} | {command: talk}
    with opened(settings, **answers) as mailbox:
        started = time.monotonic()
        with pytest.raises(MailboxUnavailable, match="did not answer in time"):
            mailbox.idle(0.2)
        assert time.monotonic() - started < 2.5


def test_a_server_that_only_talks_does_not_keep_us_from_leaving(settings: MailboxSettings) -> None:
    """Leaving is a courtesy, of two seconds at most."""

    def talk(connection: socket.socket, _tag: bytes) -> None:
        for _ in range(30):
            connection.sendall(b"* OK Still here\r\n")
            time.sleep(0.1)

    server = ScriptedImap({"LOGOUT": talk})
    values = settings.model_dump() | {"port": server.port, "timeout_seconds": 1}
    with server:
        mailbox = Mailbox(MailboxSettings(**values), PASSWORD)
        mailbox.connect()
        started = time.monotonic()
        mailbox.close()
        assert time.monotonic() - started < 2.5
