"""A watch over a line that fails: recovered in the configured time, nothing missed or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from mailbot.inbound import watch as watch_module
from tests.inbound.desk import Desk
from tests.inbound.watched_line import (
    FIRST_WAIT,
    LEASE,
    LONG_LEASE,
    LONGEST_WAIT,
    WatchedLine,
    until,
    watched_line,
)
from tests.servers.faulty_line import (
    At,
    BlackHole,
    Corrupt,
    Cut,
    Delay,
    Dribble,
    End,
    Fault,
    Parted,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in tenths of a second."""
    for name in ("_FIRST_WAIT", "_FIRST_WAIT_REFUSED"):
        monkeypatch.setattr(watch_module, name, timedelta(seconds=FIRST_WAIT))
    for name in ("_LONGEST_WAIT", "_LONGEST_WAIT_REFUSED"):
        monkeypatch.setattr(watch_module, name, timedelta(seconds=LONGEST_WAIT))


@pytest.fixture
def watched(desk: Desk) -> Iterator[WatchedLine]:
    """On a clear line."""
    with watched_line(desk) as opened:
        yield opened


@pytest.fixture
def idling(desk: Desk) -> Iterator[WatchedLine]:
    """On a clear line, whose IDLE is not renewed before it tells of mail."""
    with watched_line(desk, lease=LONG_LEASE) as opened:
        yield opened


@pytest.fixture
def secured(desk: Desk) -> Iterator[WatchedLine]:
    """On a line with TLS, its IDLE not renewed either."""
    with watched_line(desk, security="tls", lease=LONG_LEASE) as opened:
        yield opened


# -- connections that end ----------------------------------------------------------------------

BEFORE = {"greeting": At(plus=4), "login": At(b" OK Logg")}
PLACES = BEFORE | {
    "examine": At(b"[UIDVALIDITY ", 3),
    "search": At(b"* SEARCH", 1),
    "fetch-line": At(b" FETCH (UID ", 2),
    "fetch-literal": At(b"BODY[HEADER]<0> {", 60),
    "idle": At(b" EXISTS"),
}


@pytest.mark.parametrize(
    "place",
    [
        *("login", "fetch-literal", "idle"),
        *(
            pytest.param(each, marks=pytest.mark.system)
            for each in ("greeting", "examine", "search", "fetch-line")
        ),
    ],
)
def test_mail_is_heard_once_though_connections_end_in_mid_answer(desk: Desk, place: str) -> None:
    """By a close, a reset, or silence: blind while it lasts, and then everything is heard."""
    lease = LONG_LEASE / 5 if place == "idle" else LEASE
    with watched_line(desk, timeout=0.5, lease=lease) as watched:
        for how in End:
            watched.line.be(Cut(PLACES[place], how))
            if place in BEFORE:
                watched.line.end(End.EOF)
            watched.drop(2)
            watched.wait_for_blindness()
            if place in BEFORE:  # blind already by the end of the connection that was open
                until(lambda: watched.line.struck > 1, 2 * watched.recovery)
            assert watched.stored_blindness() == watched.watch.status.blind_since
            watched.drop()
            assert watched.heard() != watched.dropped
            watched.heal()
            time.sleep(0.1)  # into IDLE
        watched.assert_each_is_heard_once()


def test_a_server_that_is_gone_is_found_again(watched: WatchedLine) -> None:
    """Reset, and nobody listens: the mailbox says so."""
    watched.line.refuse()
    watched.drop()
    until(lambda: "connection refused" in watched.watch.status.blind_because, watched.recovery)
    watched.heal()
    watched.assert_each_is_heard_once()


def test_a_server_that_swallows_everything_is_found_again(watched: WatchedLine) -> None:
    """A black hole, for the open connection and for each new one."""
    watched.line.be(BlackHole())
    watched.drop()
    until(lambda: "did not answer in time" in watched.watch.status.blind_because, watched.recovery)
    taken = watched.line.taken
    until(lambda: watched.line.taken > taken + 1)
    watched.heal()
    watched.assert_each_is_heard_once()


def test_a_server_that_takes_us_and_drops_us_is_asked_ever_more_rarely(
    watched: WatchedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login a second would lock the account. Each connection hears what came, all the same."""
    monkeypatch.setattr(watch_module, "_LONGEST_WAIT", timedelta(seconds=10))
    taken = watched.line.taken
    watched.line.be(Cut(At(b"+ idling"), End.EOF))
    watched.line.end(End.EOF)
    watched.drop()
    until(lambda: watched.heard() == watched.dropped)
    time.sleep(2)
    assert 3 <= watched.line.taken - taken <= 6
    watched.drop()
    watched.line.heal()
    until(watched.sees)
    watched.assert_each_is_heard_once()


# -- lines in pieces, late, and wrong ----------------------------------------------------------


def test_an_idle_answer_in_two_packets_is_read_as_one(idling: WatchedLine) -> None:
    """The mail is heard at once: the connection is not given up, nobody is blind for a second."""
    taken = idling.line.taken
    for place in (At(b"*"), At(b"EXI"), At(b"EXISTS\r")):
        idling.line.be(Parted(place, seconds=0.3))
        idling.drop()
        until(idling.sees)
        assert idling.line.struck == 1
        assert not idling.is_blind()
    assert idling.line.taken == taken
    idling.assert_each_is_heard_once()


def test_answers_of_one_byte_a_packet_are_read(idling: WatchedLine) -> None:
    """From the greeting on, in a new connection and while it idles."""
    idling.line.be(Dribble())
    idling.line.end(End.EOF)
    idling.wait_for_blindness()
    idling.drop()
    until(idling.sees)
    taken = idling.line.taken
    idling.drop(2)
    until(idling.sees)
    assert idling.line.taken == taken
    idling.assert_each_is_heard_once()


def test_a_slow_line_is_not_a_dead_one(idling: WatchedLine) -> None:
    """Each answer comes late and within the time-out."""
    taken = idling.line.taken
    idling.line.be(Delay(0.3))
    idling.drop(2)
    until(idling.sees)
    assert not idling.is_blind()
    assert idling.line.taken == taken
    idling.assert_each_is_heard_once()


CORRUPTED = {
    "a UID in SEARCH": Corrupt(At(b"* SEARCH "), b"9"),
    "a UID in FETCH": Corrupt(At(b" FETCH (UID "), b"9"),
    "what FETCH gives": Corrupt(At(b"BODY[HEA"), b"X"),
    "a literal's length, more": Corrupt(At(b"BODY[HEADER]<0> {"), b"9"),
    "a literal's length, less": Corrupt(At(b"BODY[HEADER]<0> {"), b"0"),
    "the next UID": Corrupt(At(b"[UIDNEXT "), b"1"),
    "a tag": Corrupt(At(b" EXISTS\r\n"), b"x"),
    "a line's end": Corrupt(At(b"* SEARCH", 2), b"\n"),
}


def test_a_byte_gone_wrong_on_a_clear_line_passes_no_mail_over(watched: WatchedLine) -> None:
    """Numbers, names, lengths: asked again, or given up; never a watermark beyond the truth."""
    for what, fault in CORRUPTED.items():
        watched.line.be(fault)
        watched.drop(2)
        until(lambda: watched.is_blind() or watched.sees(), watched.recovery)
        assert watched.line.struck, what
        watched.heal()
        time.sleep(0.1)  # into IDLE
    watched.assert_each_is_heard_once()


# -- TLS ---------------------------------------------------------------------------------------


def test_tls_in_pieces_is_read(secured: WatchedLine) -> None:
    """Half a record is readable to poll(), and holds nothing yet: no reason to give up."""
    secured.line.be(Dribble(7))
    secured.line.end(End.EOF)
    secured.wait_for_blindness()
    secured.drop()
    until(secured.sees)
    taken = secured.line.taken
    for plus in (3, 20):
        time.sleep(0.1)  # into IDLE
        secured.line.be(Parted(At(plus=plus), seconds=0.3))
        secured.drop()
        until(secured.sees)
        assert secured.line.struck == 1
    assert secured.line.taken == taken
    secured.assert_each_is_heard_once()


@pytest.mark.parametrize("how", End)
def test_a_handshake_that_ends_in_the_middle_is_tried_again(secured: WatchedLine, how: End) -> None:
    """The server hangs, closes or resets behind its first bytes."""
    secured.line.be(Cut(At(plus=90), how))
    secured.line.end(End.EOF)
    secured.drop()
    until(lambda: secured.line.struck > 1, 2 * secured.recovery)
    assert secured.is_blind()
    secured.heal()
    secured.assert_each_is_heard_once()


def test_a_byte_gone_wrong_in_tls_is_an_outage_and_asks_for_nobody(secured: WatchedLine) -> None:
    """The record is not the server's; the settings are right."""
    secured.line.be(Corrupt(At(plus=12), b"\xff"))
    secured.drop()
    secured.wait_for_blindness()
    assert "disturbed" in secured.watch.status.blind_because
    secured.heal()
    secured.assert_each_is_heard_once()


# -- quiet while the server is away ------------------------------------------------------------

OUTAGES: dict[str, Fault] = {
    "refused": None,
    "black hole": BlackHole(),
    "closed at the greeting": Cut(At(plus=4), End.EOF),
    "reset at login": Cut(At(b" OK Logg"), End.RST),
    "closed in IDLE": Cut(At(b"+ idling"), End.EOF),
}


@pytest.mark.system
@pytest.mark.parametrize("outage", OUTAGES)
def test_the_processor_rests_while_the_server_is_away(watched: WatchedLine, outage: str) -> None:
    """Measured over two seconds and more, with a back-off far shorter than the real one."""
    if OUTAGES[outage] is None:
        watched.line.refuse()
    else:
        watched.line.be(OUTAGES[outage])
        watched.line.end(End.EOF)
    watched.wait_for_blindness()
    began, spent = time.monotonic(), time.process_time()
    time.sleep(2.2)
    share = (time.process_time() - spent) / (time.monotonic() - began)
    print(f"{outage}: {share:.1%} of a processor")  # noqa: T201 - a figure for who asks with -s
    assert share < 0.2
    watched.drop()
    watched.heal()
    watched.assert_each_is_heard_once()
