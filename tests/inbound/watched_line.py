"""A real Watch over a mailbox behind a line that fails, with short questions to both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mailbot.config import MailboxSettings
from mailbot.core.eligibility import MessageKind
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.watch import Watch
from mailbot.store import deliveries, ledger, mailboxes
from mailbot.store.engine import Database
from tests.inbound.desk import Desk
from tests.inbound.letters import SHOP, letter, person
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.faulty_line import End, FaultyLine

LEASE = 1.2  # seconds; IDLE is renewed four times in it
LONG_LEASE = 20.0  # long enough for Dovecot, which waits half a second before it tells of mail
FIRST_WAIT, LONGEST_WAIT = 0.1, 0.3  # seconds of back-off; the watch's own are patched to these
PATIENCE = 15.0


def recovery(timeout: float, lease: float) -> float:
    """Seconds in which the watch notices a fault, or finds a sound line again: the wait that is
    going on, a time-out, a goodbye of at most 2 s, the back-off with its jitter."""
    return lease / 4 + timeout + 2 + 1.25 * LONGEST_WAIT


class WatchedLine:
    """The watch, the line, and what was dropped into the mailbox behind it."""

    def __init__(
        self,
        server: Dovecot,
        line: FaultyLine,
        settings: MailboxSettings,
        database: Database,
        lease: float,
    ) -> None:
        self.line, self.dropped = line, list[str]()
        self.recovery = recovery(settings.timeout_seconds, lease)
        self.watch = Watch(
            settings, SHOP, database, daemon="one",
            open_mailbox=lambda: Mailbox(settings, PASSWORD), lease_seconds=lease,
        )  # fmt: skip
        self._server, self._user, self._database = server, settings.username, database

    def drop(self, count: int = 1) -> None:
        """So many people ask to be left alone."""
        for _ in range(count):
            name = f"p{len(self.dropped)}@example.net"
            self._server.drop(self._user, letter("unsubscribe", name))
            self.dropped.append(name)

    def heard(self) -> list[str]:
        """Who was heard, as often as it was."""
        with self._database.read() as conn:
            stories = {name: ledger.story(conn, person(name)) for name in self.dropped}
        return [name for name, story in stories.items() for _ in story]

    def answered(self) -> list[str]:
        """Who is answered, as often as it happens."""
        with self._database.read() as conn:
            told = {name: deliveries.messages_to(conn, person(name)) for name in self.dropped}
        return [
            name
            for name, messages in told.items()
            for message in messages
            if message.kind is MessageKind.ACKNOWLEDGEMENT
        ]

    def assert_each_is_heard_once(self) -> None:
        """Nothing missed, nothing doubled: the list, the ledger, the answers, the quarantine."""
        assert self.heard() == self.dropped
        assert self.answered() == self.dropped
        with self._database.read() as conn:
            assert ledger.head_sequence(conn) == len(self.dropped)
        assert self.watch.intake.heard.quarantined == 0

    def stored_blindness(self) -> object:
        """Since when, as `status` shows it."""
        with self._database.read() as conn:
            (status,) = mailboxes.statuses(conn)
        return status.blind_since

    def is_blind(self) -> bool:
        return self.watch.status.blind_since is not None

    def sees(self) -> bool:
        """Whether it watches, and everything dropped was heard."""
        return self.watch.status.is_watching and self.heard() == self.dropped

    def wait_for_blindness(self) -> None:
        """In the time that the settings allow."""
        until(self.is_blind, self.recovery)

    def heal(self) -> None:
        """The line is sound again, and in the configured time the watch has heard everything."""
        self.line.heal()
        until(self.sees, self.recovery)
        assert (self.watch.status.blind_since, self.stored_blindness()) == (None, None)


@contextmanager
def watched_line(
    desk: Desk, *, timeout: float = 1.0, lease: float = LEASE, security: str = "none"
) -> Iterator[WatchedLine]:
    """Running, its first scan over and one mail heard: whatever is dropped from now on is news."""
    server = desk.server
    with FaultyLine(server.tls_port if security == "tls" else server.plain_port) as line:
        # No poll comes to help, and the time-out may be shorter than settings allow.
        settings = desk.settings.model_copy(update={
            "port": line.port, "security": security, "ca_file": server.ca_file,
            "poll_seconds": 3600, "timeout_seconds": timeout,
        })  # fmt: skip
        opened = WatchedLine(server, line, settings, desk.database, lease)
        with _running(opened.watch, line):
            until(lambda: opened.watch.status.is_watching)
            opened.drop()
            until(opened.sees)
            time.sleep(0.1)  # into IDLE
            yield opened


@contextmanager
def _running(watch: Watch, line: FaultyLine) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        line.end(End.EOF)  # wakes it
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for it, or fail."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() < started + seconds, f"not within {seconds} s"
        time.sleep(0.02)
