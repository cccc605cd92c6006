"""The demo's embedded servers alone: real sockets, real IMAP and SMTP."""

from __future__ import annotations

import imaplib
import smtplib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailbot.demo.servers import MailServers, mail_servers

HELP = "help@lindenhof-tea.example"
ARRIVED_AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
LETTER = b"From: anna@linden.example\r\nSubject: Hello\r\n\r\nGood morning!\r\n"


@pytest.fixture
def servers() -> Iterator[MailServers]:
    with mail_servers(HELP, "s3cret") as running:
        yield running


def test_a_mail_put_into_help_is_there_unread_and_whole(servers: MailServers) -> None:
    servers.inbox.put(LETTER)
    servers.inbox.put(LETTER, flags="(\\Seen \\Flagged)")
    unread, read = servers.inbox.look()
    assert (unread.content, unread.flags, unread.is_read) == (LETTER, frozenset(), False)
    assert read.flags == {"\\Seen", "\\Flagged"}
    assert read.is_read


def test_looking_at_help_changes_no_flag(servers: MailServers) -> None:
    servers.inbox.put(LETTER)
    assert servers.inbox.look() == servers.inbox.look()


def test_a_mail_keeps_the_time_it_arrived(servers: MailServers) -> None:
    """The story has a mail of last week: INTERNALDATE must say so."""
    servers.inbox.put(LETTER, received_at=ARRIVED_AT)
    imap = imaplib.IMAP4(servers.inbox.host, servers.inbox.port, timeout=10)
    imap.login(HELP, "s3cret")
    imap.select("INBOX", readonly=True)
    _, answer = imap.fetch("1", "(INTERNALDATE)")
    imap.logout()
    assert isinstance(answer[0], bytes)
    arrived = imaplib.Internaldate2tuple(answer[0])
    assert arrived is not None
    assert time.mktime(arrived) == ARRIVED_AT.timestamp()


def test_the_relay_keeps_what_it_took_with_its_envelope(servers: MailServers) -> None:
    with smtplib.SMTP("127.0.0.1", servers.smtp_port, timeout=10) as smtp:
        smtp.sendmail("help+b-1@lindenhof-tea.example", ["anna@linden.example"], LETTER)
        smtp.sendmail("", ["tom@linden.example"], LETTER)
    first, second = servers.delivered()
    assert (first.sender, first.recipient) == (
        "help+b-1@lindenhof-tea.example",
        "anna@linden.example",
    )
    assert first.content == LETTER
    assert second.sender == ""


@pytest.mark.parametrize("recipient", [HELP, "Help+U-abc234@Lindenhof-Tea.example"])
def test_what_is_mailed_to_help_stands_in_its_inbox(servers: MailServers, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", servers.smtp_port, timeout=10) as smtp:
        smtp.sendmail("anna@linden.example", [recipient], LETTER)
    (mail,) = servers.inbox.look()
    assert mail.content == b"Delivered-To: " + recipient.encode() + b"\r\n" + LETTER
    assert servers.delivered() == ()


def test_a_wrong_password_does_not_open_help(servers: MailServers) -> None:
    imap = imaplib.IMAP4(servers.inbox.host, servers.inbox.port, timeout=10)
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(HELP, "wrong")
    imap.logout()


def test_what_is_told_to_an_idle_client_comes_in_whole_lines(servers: MailServers) -> None:
    """Half a line at a time would look like a broken connection to imapclient's idle_check."""
    imap = imaplib.IMAP4(servers.inbox.host, servers.inbox.port, timeout=10)
    imap.login(HELP, "s3cret")
    imap.select("INBOX", readonly=True)
    imap.send(b"a1 IDLE\r\n")
    assert imap.readline().startswith(b"+")
    packets: list[bytes] = []

    def listen() -> None:
        while b"".join(packets).count(b"EXISTS") < 20:
            packets.append(imap.socket().recv(65536))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    for _ in range(20):
        servers.inbox.put(LETTER)
    listener.join(10)
    imap.shutdown()
    assert not listener.is_alive()
    assert [packet for packet in packets if not packet.endswith(b"\r\n")] == []


def test_the_servers_end_though_a_client_still_idles() -> None:
    """`--keep` and Ctrl-C: nothing may hang on an open connection, and nothing is printed."""
    with mail_servers(HELP, "s3cret") as running:
        imap = imaplib.IMAP4(running.inbox.host, running.inbox.port, timeout=10)
        imap.login(HELP, "s3cret")
        imap.select("INBOX", readonly=True)
        imap.send(b"a1 IDLE\r\n")
        assert imap.readline().startswith(b"+")
    with pytest.raises(OSError):
        imaplib.IMAP4(running.inbox.host, running.inbox.port, timeout=2)
    imap.shutdown()
