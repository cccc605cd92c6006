"""The IMAP adapter against a real Dovecot, and against a server that breaks the rules."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxRefused, MailboxUnavailable
from mailbot.inbound import imap
from mailbot.inbound.imap import Mailbox
from tests.servers.dovecot import PASSWORD, Dovecot, free_port
from tests.servers.scripted_imap import OK, ScriptedImap, hang_up, say_nothing

LETTER = b"From: Ann <ann@example.net>\nSubject: unsubscribe\n\nplease\n"


def changed(settings: MailboxSettings, **values: Any) -> MailboxSettings:
    """The same settings with other values, checked again."""
    return MailboxSettings(**(settings.model_dump() | values))


def scripted(settings: MailboxSettings, server: ScriptedImap) -> Mailbox:
    """A mailbox on the scripted server, which answers within a second or not at all."""
    return Mailbox(changed(settings, port=server.port, timeout_seconds=1), PASSWORD)


# -- reading -----------------------------------------------------------------------------------


def test_headers_come_with_size_flags_and_receipt_in_utc(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """What intake needs of a mail, in one fetch."""
    noon_in_tokyo = datetime(2026, 11, 2, 12, 0, tzinfo=UTC) + timedelta(hours=-9)
    uid = shared_server.deliver(user, LETTER, flags="\\Seen \\Flagged", received_at=noon_in_tokyo)
    with Mailbox(settings, PASSWORD) as mailbox:
        state = mailbox.examine("INBOX")
        found = list(mailbox.headers(mailbox.uids_after(0)))
    assert (state.exists, state.uidnext) == (1, uid + 1)
    assert [mail.uid for mail in found] == [uid]
    assert found[0].received_at == noon_in_tokyo
    assert found[0].received_at.tzinfo is UTC
    assert {"\\Seen", "\\Flagged"} <= found[0].flags
    assert found[0].size == len(LETTER) + LETTER.count(b"\n")
    assert found[0].header.startswith(b"From: Ann")
    assert b"please" not in found[0].header


def test_reading_changes_no_flag(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """help@ belongs to humans: neither header nor body fetch marks a mail as read."""
    shared_server.deliver(user, LETTER)
    shared_server.deliver(user, LETTER, flags="\\Seen")
    before = shared_server.flags(user)
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        assert len(list(mailbox.headers([1, 2]))) == 2
        assert mailbox.whole(1, 1000).endswith(b"please\r\n")
    assert shared_server.flags(user) == before


def test_only_mail_above_the_watermark_is_found(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """SEARCH n:* answers the last mail even where n lies beyond it; that one is dropped."""
    shared_server.drop(user, LETTER, LETTER, LETTER)
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        assert mailbox.uids_after(0) == [1, 2, 3]
        assert mailbox.uids_after(2) == [3]
        assert mailbox.uids_after(3) == []
        assert mailbox._search(4, "*") == []


def test_a_search_over_many_mails_goes_in_windows(
    shared_server: Dovecot,
    settings: MailboxSettings,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A SEARCH answers in one line, which imaplib limits: a large folder is searched in parts."""
    monkeypatch.setattr(imap, "SEARCH_WINDOW", 3)
    monkeypatch.setattr(imap, "FETCH_BATCH", 2)
    shared_server.drop(user, *[LETTER] * 11)
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        assert mailbox.uids_after(0) == list(range(1, 12))
        assert mailbox.uids_after(7) == [8, 9, 10, 11]
        assert [mail.uid for mail in mailbox.headers([1, 2, 3, 11])] == [1, 2, 3, 11]


def test_a_mail_deleted_meanwhile_is_skipped(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """A human cleans the mailbox in mid-scan: no error, the others are read."""
    shared_server.drop(user, LETTER, LETTER, LETTER)
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        uids = mailbox.uids_after(0)
        shared_server.delete(user, 2)
        mailbox.check()  # Dovecot shows the mail until this session has heard that it is gone
        assert [mail.uid for mail in mailbox.headers(uids)] == [1, 3]
        assert mailbox.whole(2, 1000) == b""


def test_a_header_and_a_body_are_cut_at_their_limits(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """A mail of a megabyte costs 64 kB of header, and no more body than asked for."""
    shared_server.deliver(user, b"From: a@example.net\nX: " + b"y" * 1_000_000 + b"\n\nbody\n")
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        (mail,) = mailbox.headers([1])
        assert len(mail.header) == imap.HEADER_LIMIT
        assert mail.size > 1_000_000
        assert len(mailbox.whole(1, 70_000)) == 70_000


def test_folder_names_outside_ascii_go_there_and_back(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """IMAP writes them in modified UTF-7 (RFC 3501 §5.1.3)."""
    shared_server.create(user, "Abgemeldet &- gel&APY-scht &bUuL1Q-")
    name = "Abgemeldet & gelöscht 测试"
    with Mailbox(settings, PASSWORD) as mailbox:
        folders = {folder.name: folder for folder in mailbox.folders()}
        assert mailbox.examine(name).exists == 0
    assert name in folders
    assert not folders[name].is_junk
    assert folders["Junk"].is_junk


# -- secured lines -----------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_both_secured_lines_verify_the_certificate(
    shared_server: Dovecot, settings: MailboxSettings, security: str
) -> None:
    """With the right CA file both work; without it, both refuse before any password is sent."""
    port = shared_server.tls_port if security == "tls" else shared_server.plain_port
    secured = changed(settings, security=security, port=port)
    trusted = changed(settings, security=security, port=port, ca_file=shared_server.ca_file)
    with Mailbox(trusted, PASSWORD) as mailbox:
        assert mailbox.examine("INBOX").exists == 0
    with pytest.raises(MailboxRefused, match=r"certificate is not trusted.*ca_file"):
        Mailbox(secured, PASSWORD).connect()


def test_starttls_never_goes_on_in_clear(settings: MailboxSettings) -> None:
    """A server that offers no STARTTLS (or someone who strips it) gets no password."""
    stripped = ScriptedImap(capabilities="IMAP4rev1 AUTH=PLAIN")
    preauth = ScriptedImap(greeting=b"* PREAUTH hi\r\n", capabilities="IMAP4rev1 STARTTLS")
    for scripted_server in (stripped, preauth):
        with scripted_server as server:
            asked = changed(settings, security="starttls", port=server.port)
            with pytest.raises(MailboxRefused, match="does not offer STARTTLS"):
                Mailbox(asked, PASSWORD).connect()
            assert not any(b"LOGIN" in line or b"AUTH" in line for line in server.heard)


# -- errors ------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_in_plain_words(settings: MailboxSettings) -> None:
    """Who, what, and what to do; the password itself is not in it."""
    with pytest.raises(MailboxRefused) as caught:
        Mailbox(settings, "not-the-password").connect()
    text = str(caught.value)
    assert "refused the user name or the password" in text
    assert settings.username in text
    assert "password_file" in text
    assert "not-the-password" not in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "no-such-host.invalid", "security": "tls"}, "host name is unknown"),
        ({"port": 1}, "connection refused"),
        ({"security": "tls"}, "no TLS connection could be made"),
        ({"ca_file": __file__, "security": "starttls"}, "CA file .*test_imap.py cannot be used"),
    ],
)
def test_what_cannot_be_reached_is_told_in_plain_words(
    settings: MailboxSettings, values: dict[str, Any], words: str
) -> None:
    """Unknown host, closed port, no TLS there, a CA file that is none."""
    with pytest.raises((MailboxUnavailable, MailboxRefused), match=words):
        Mailbox(changed(settings, **values), PASSWORD).connect()


def test_a_missing_folder_is_a_person_s_business(settings: MailboxSettings) -> None:
    """Trying again does not help; the error names the folder and the setting."""
    with (
        Mailbox(settings, PASSWORD) as mailbox,
        pytest.raises(MailboxRefused, match=r"'Archiv'.*folders"),
    ):
        mailbox.examine("Archiv")


def test_a_username_with_spaces_and_a_password_outside_ascii_are_sent_as_they_are(
    settings: MailboxSettings,
) -> None:
    """imaplib would send the name unquoted, and fails on the password."""
    with ScriptedImap() as server:
        spaced = changed(settings, port=server.port, username='help "desk"')
        with Mailbox(spaced, PASSWORD):
            pass
        assert any(b'LOGIN "help \\"desk\\"" "s3cret"' in line for line in server.heard)
    with pytest.raises(MailboxRefused, match="refused the user name or the password"):
        Mailbox(settings, "пароль").connect()


def test_a_login_refused_for_now_is_tried_again(settings: MailboxSettings) -> None:
    """RFC 5530: UNAVAILABLE is not a wrong password; neither is a line that breaks."""
    busy = ScriptedImap({"LOGIN": b"%s NO [UNAVAILABLE] Temporary authentication failure\r\n"})
    broken = ScriptedImap({"LOGIN": hang_up})
    for scripted_server in (busy, broken):
        with scripted_server as server, pytest.raises(MailboxUnavailable):
            scripted(settings, server).connect()


@pytest.mark.parametrize("greeting", [b"* BYE too many connections\r\n", b"220 smtp here\r\n", b""])
def test_a_server_that_does_not_greet_is_unavailable(
    settings: MailboxSettings, greeting: bytes
) -> None:
    """Too busy, no IMAP server at all, or silent: bounded time, no traceback."""
    started = time.monotonic()
    with (
        ScriptedImap(greeting=greeting) as server,
        pytest.raises(MailboxUnavailable),
    ):
        scripted(settings, server).connect()
    assert time.monotonic() - started < 4


def test_one_mail_that_the_server_cannot_read_does_not_hide_its_neighbours(
    settings: MailboxSettings,
) -> None:
    """A refused batch is fetched mail by mail; the bad one comes with the server's reason."""

    def fetch(connection: socket.socket, tag: bytes) -> None:
        asked = server.heard[-1].split()[3]
        if asked in (b"1", b"3"):
            header = b'UID %s FLAGS () INTERNALDATE "never" BODY[HEADER]<0> {6}\r\nA: b\r\n'
            connection.sendall(b"* 1 FETCH (" + header % asked + b")\r\n" + OK % tag)
        else:
            connection.sendall(tag + b" NO [SERVERBUG] corrupt mail\r\n")

    with ScriptedImap({"FETCH": fetch}) as server, scripted(settings, server) as mailbox:
        mailbox.examine("INBOX")
        found = list(mailbox.headers([1, 2, 3]))
    assert [(mail.uid, mail.header, mail.received_at) for mail in found] == [
        (1, b"A: b\r\n", None),
        (2, b"", None),
        (3, b"A: b\r\n", None),
    ]
    assert "corrupt mail" in found[1].fault


def test_a_server_that_falls_silent_is_given_up_in_time(settings: MailboxSettings) -> None:
    """Every read has a time-out."""
    started = time.monotonic()
    with (
        ScriptedImap({"EXAMINE": say_nothing}) as server,
        scripted(settings, server) as mailbox,
        pytest.raises(MailboxUnavailable, match="did not answer in time"),
    ):
        mailbox.examine("INBOX")
    assert time.monotonic() - started < 6


# -- waiting -----------------------------------------------------------------------------------


def test_idle_wakes_for_new_mail_and_returns_when_time_is_over(
    shared_server: Dovecot, settings: MailboxSettings, user: str
) -> None:
    """True for mail, False for none; the connection works on after both."""
    with Mailbox(settings, PASSWORD) as mailbox:
        assert mailbox.can_idle
        mailbox.examine("INBOX")
        assert mailbox.idle(0.2) is False
        arrival = threading.Timer(0.3, shared_server.drop, (user, LETTER))
        arrival.start()
        started = time.monotonic()
        assert mailbox.idle(10) is True
        assert time.monotonic() - started < 5
        arrival.join()
        mailbox.check()
        mailbox.examine("INBOX")
        assert mailbox.uids_after(0) == [1]


def test_idle_stops_soon_when_the_daemon_stops(settings: MailboxSettings) -> None:
    """A stop is noticed within about a second, not at the end of IDLE."""
    with Mailbox(settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        started = time.monotonic()
        assert mailbox.idle(60, is_stopping=lambda: True) is False
        assert time.monotonic() - started < 2


def test_mail_announced_in_the_packet_that_starts_idle_is_heard(settings: MailboxSettings) -> None:
    """EXISTS right behind "+ idling": poll() alone would sleep over it."""
    answers: Any = {"IDLE": b"+ idling\r\n* 2 EXISTS\r\n", "DONE": OK}
    with ScriptedImap(answers) as server, scripted(settings, server) as mailbox:
        mailbox.examine("INBOX")
        started = time.monotonic()
        assert mailbox.idle(5) is True
        assert time.monotonic() - started < 2


def test_keep_alives_do_not_wake(settings: MailboxSettings) -> None:
    """A server's "Still here" and flag changes by humans are no news."""

    def later(connection: socket.socket, _tag: bytes) -> None:
        connection.sendall(b"+ idling\r\n")
        time.sleep(0.2)
        connection.sendall(b"* OK Still here\r\n* 1 FETCH (FLAGS ())\r\n")

    answers: Any = {"IDLE": later, "DONE": OK}
    with ScriptedImap(answers) as server, scripted(settings, server) as mailbox:
        mailbox.examine("INBOX")
        started = time.monotonic()
        assert mailbox.idle(0.8) is False
        assert time.monotonic() - started > 0.7


@pytest.mark.parametrize("way", ["closed", "bye", "silent"])
def test_a_connection_that_dies_in_idle_is_noticed(settings: MailboxSettings, way: str) -> None:
    """imapclient answers [] at once and for ever on a dead line, and its idle_done can hang."""

    def idle(connection: socket.socket, tag: bytes) -> None:
        connection.sendall(b"+ idling\r\n")
        time.sleep(0.2)
        if way == "bye":
            connection.sendall(b"* BYE shutting down\r\n")
        if way != "silent":
            hang_up(connection, tag)

    with (
        ScriptedImap({"IDLE": idle, "DONE": say_nothing}) as server,
        scripted(settings, server) as mailbox,
    ):
        mailbox.examine("INBOX")
        started = time.monotonic()
        with pytest.raises(MailboxUnavailable):
            mailbox.idle(1.5)
        assert time.monotonic() - started < 4


def test_a_server_that_refuses_idle_is_polled(settings: MailboxSettings) -> None:
    """It offers IDLE and answers BAD: not asked again on this connection, which works on."""
    with (
        ScriptedImap({"IDLE": b"%s BAD no\r\n"}) as server,
        scripted(settings, server) as mailbox,
    ):
        mailbox.examine("INBOX")
        assert mailbox.idle(5) is False
        assert not mailbox.can_idle
        mailbox.check()


def test_a_restarted_server_ends_the_connection_and_takes_a_new_one(
    settings: MailboxSettings,
) -> None:
    """The old connection says so on its next use; close never raises."""
    with Dovecot() as server:
        own = changed(settings, port=server.plain_port)
        mailbox = Mailbox(own, PASSWORD)
        mailbox.connect()
        server.stop()
        with pytest.raises(MailboxUnavailable):
            mailbox.check()
        with pytest.raises(MailboxUnavailable, match="connection refused"):
            Mailbox(own, PASSWORD).connect()
        mailbox.close()
        server.start()
        with Mailbox(own, PASSWORD) as again:
            assert again.examine("INBOX").exists == 0


def test_a_free_port_is_free() -> None:
    """The fixture's own promise."""
    with socket.create_server(("127.0.0.1", free_port())):
        pass
