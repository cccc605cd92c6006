"""A watch over a line that fails: recovered in the configured time, nothing missed or doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.eligibility import MessageKind
from mailbot.inbound import watch as watch_module
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.watch import Watch
from mailbot.store import consent, deliveries, mailboxes
from mailbot.store.engine import Database
from tests.inbound.letters import SHOP, letter, person
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.faulty_line import (
    At,
    BlackHole,
    Corrupt,
    Cut,
    Delay,
    Dribble,
    End,
    Fault,
    FaultyLine,
    Parted,
)

_LATER = (BlackHole, Corrupt, Delay, Fault)
TIMEOUT = 1  # seconds; what the settings say
LEASE = 2.0  # seconds; IDLE is renewed four times in it
BACK_OFF = 0.4  # seconds; the longest, with its jitter
# What one attempt may cost: the wait that notices, its time-out, the goodbye.
RECOVERY = LEASE / 4 + TIMEOUT + 2 + BACK_OFF
PATIENCE = 15.0
WORDS = "unsubscribe"

FETCH, SEARCH, EXAMINE = b" FETCH (UID ", b"* SEARCH", b"[UIDVALIDITY "
HEADER = At(b"BODY[HEADER]<0> {", 60)  # amid the literal
GREETING = At(plus=4)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in tenths of a second."""
    monkeypatch.setattr(watch_module, "_FIRST_WAIT", timedelta(seconds=0.1))
    monkeypatch.setattr(watch_module, "_LONGEST_WAIT", timedelta(seconds=0.3))
    monkeypatch.setattr(watch_module, "_FIRST_WAIT_REFUSED", timedelta(seconds=0.1))
    monkeypatch.setattr(watch_module, "_LONGEST_WAIT_REFUSED", timedelta(seconds=0.3))


class Post:
    """A watched mailbox behind a line that can fail, and what was dropped into it."""

    def __init__(
        self,
        server: Dovecot,
        line: FaultyLine,
        settings: MailboxSettings,
        database: Database,
    ) -> None:
        self.server, self.line, self.database, self.settings = server, line, database, settings
        self.watch = Watch(
            settings, SHOP, database, daemon="one",
            open_mailbox=lambda: Mailbox(settings, PASSWORD), lease_seconds=LEASE,
        )  # fmt: skip
        self.dropped: list[str] = []

    def drop(self, count: int = 1) -> None:
        """So many people ask to be left alone."""
        for _ in range(count):
            name = f"p{len(self.dropped)}@example.net"
            self.server.drop(self.settings.username, letter(WORDS, name))
            self.dropped.append(name)

    def heard(self) -> list[str]:
        """Who was heard, as often as it was."""
        with self.database.read() as conn:
            events = {name: consent.story(conn, person(name)) for name in self.dropped}
        return [name for name, story in events.items() for _ in story]

    def answered(self) -> list[str]:
        """Who is answered, as often as it happens."""
        with self.database.read() as conn:
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
        with self.database.read() as conn:
            assert consent.head_sequence(conn) == len(self.dropped)
        assert self.watch.intake.heard.quarantined == 0

    def stored_blindness(self) -> object:
        with self.database.read() as conn:
            (status,) = mailboxes.statuses(conn)
        return status.blind_since

    def is_blind(self) -> bool:
        return self.watch.status.blind_since is not None

    def sees(self) -> bool:
        return self.watch.status.is_watching and self.heard() == self.dropped


@contextmanager
def running(watch: Watch, line: FaultyLine) -> Iterator[threading.Thread]:
    """The watch in its thread; stopped, woken, and its end waited for."""
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        line.end(End.EOF)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait for it, or fail; how long it took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() < started + seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.fixture
def line(shared_server: Dovecot) -> Iterator[FaultyLine]:
    with FaultyLine(shared_server.plain_port) as opened:
        yield opened


@pytest.fixture
def post(
    shared_server: Dovecot, line: FaultyLine, settings: MailboxSettings, database: Database
) -> Iterator[Post]:
    """Running, its first scan over: whatever is dropped from now on is news."""
    values = settings.model_dump() | {
        "port": line.port, "timeout_seconds": TIMEOUT, "poll_seconds": 3600,
    }  # fmt: skip
    opened = Post(shared_server, line, MailboxSettings(**values), database)
    with running(opened.watch, line):
        until(lambda: opened.watch.status.is_watching)
        opened.drop()
        until(opened.sees)
        yield opened


# -- each fault at each place ------------------------------------------------------------------

PLACES = {
    "login": At(b" OK [CAPABILITY ", 10),
    "examine": At(EXAMINE, 3),
    "search": At(SEARCH, 1),
    "fetch-line": At(FETCH, 2),
    "fetch-literal": HEADER,
    "idle": At(b" EXISTS"),
}


@pytest.mark.parametrize("how", End)
@pytest.mark.parametrize("place", PLACES)
def test_mail_is_heard_once_though_the_connection_ends_in_mid_answer(
    post: Post, place: str, how: End
) -> None:
    """Blind while it lasts, and everything is heard when the line is sound."""
    time.sleep(0.1)  # into IDLE
    post.line.be(Cut(PLACES[place], how))
    if place == "login":
        post.line.end(End.EOF)
    post.drop(2)
    until(post.is_blind, RECOVERY)
    assert post.stored_blindness() == post.watch.status.blind_since
    post.drop()
    assert len(post.heard()) < len(post.dropped)
    post.line.heal()
    until(post.sees, RECOVERY)
    post.assert_each_is_heard_once()
    assert (post.watch.status.blind_since, post.stored_blindness()) == (None, None)


# -- lines in pieces ---------------------------------------------------------------------------


def test_an_idle_answer_in_two_packets_is_read_as_one(post: Post) -> None:
    """The mail is heard at once: the connection is not given up, nobody is blind for a second."""
    time.sleep(0.1)  # into IDLE
    taken = post.line.taken
    for place in (At(b"*"), At(b"EXI"), At(b"EXISTS\r")):
        post.line.be(Parted(place, seconds=0.3))
        post.drop()
        until(post.sees)
    assert not post.is_blind()
    assert post.line.taken == taken
    post.assert_each_is_heard_once()


def test_answers_of_one_byte_a_packet_are_read(post: Post) -> None:
    """From the greeting on, in a new connection and while it idles."""
    post.line.be(Dribble())
    post.line.end(End.EOF)
    until(post.is_blind, RECOVERY)
    post.drop()
    until(post.sees)
    taken = post.line.taken
    post.drop(2)
    until(post.sees)
    assert post.line.taken == taken
    post.assert_each_is_heard_once()
