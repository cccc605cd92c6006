"""The loop around intake, in its thread: reconnecting, blindness, leases, stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import structlog.testing

from mailbot.config import MailboxSettings
from mailbot.core.consent import Reason
from mailbot.core.errors import ConfigError, ConfigFault
from mailbot.inbound import intake as intake_module
from mailbot.inbound import watch as watch_module
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.intake import Intake
from mailbot.inbound.watch import LeaseLost, Watch, account_of
from mailbot.store import mailboxes, suppressions
from mailbot.store.engine import Database
from tests.inbound.letters import SHOP, letter, person
from tests.servers.dovecot import PASSWORD, Dovecot, free_port

PATIENCE = 10.0  # seconds


def changed(settings: MailboxSettings, **values: object) -> MailboxSettings:
    """The same settings with other values, checked again."""
    return MailboxSettings.model_validate(settings.model_dump() | values)


def watch_of(
    settings: MailboxSettings,
    database: Database,
    *,
    daemon: str = "one",
    password: str = PASSWORD,
    lease_seconds: float = 60,
    progress: Callable[[], None] = lambda: None,
) -> Watch:
    """A watch on this mailbox, not yet running."""
    return Watch(
        settings, SHOP, database, daemon=daemon,
        open_mailbox=lambda: Mailbox(settings, password),
        lease_seconds=lease_seconds, progress=progress,
    )  # fmt: skip


@contextmanager
def running(watch: Watch) -> Iterator[threading.Event]:
    """The watch in its thread; stopped, and its end waited for."""
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for it, or fail."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)


def is_out(database: Database, address: str = "ann@example.net") -> bool:
    """Whether this person is on the list."""
    with database.read() as conn:
        return Reason.OPT_OUT in suppressions.reasons(conn, person(address))


def status_of(database: Database) -> mailboxes.MailboxStatus:
    """What the store knows of the one mailbox."""
    with database.read() as conn:
        (status,) = mailboxes.statuses(conn)
    return status


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in tenths of a second."""
    monkeypatch.setattr(watch_module, "_FIRST_WAIT", timedelta(seconds=0.1))
    monkeypatch.setattr(watch_module, "_LONGEST_WAIT", timedelta(seconds=0.3))
    monkeypatch.setattr(watch_module, "_FIRST_WAIT_REFUSED", timedelta(seconds=0.1))


def test_mail_is_heard_while_the_connection_idles(
    shared_server: Dovecot, settings: MailboxSettings, user: str, database: Database
) -> None:
    """Long before the next poll: the server says so."""
    watch = watch_of(changed(settings, poll_seconds=3600), database)
    with running(watch):
        until(lambda: watch.status.is_watching)
        time.sleep(0.2)  # into IDLE
        shared_server.drop(user, letter("unsubscribe"))
        until(lambda: is_out(database))
    assert not watch.status.is_watching


def test_a_server_without_idle_is_polled(
    shared_server: Dovecot, settings: MailboxSettings, user: str, database: Database
) -> None:
    """IDLE is a hint; the poll goes on without it."""
    watch = watch_of(changed(settings, idle=False), database)
    with running(watch):
        until(lambda: watch.status.is_watching)
        shared_server.drop(user, letter("unsubscribe"))
        until(lambda: is_out(database))


def test_a_restarted_server_is_found_again_and_nothing_is_lost(
    settings: MailboxSettings, user: str, database: Database
) -> None:
    """Blind meanwhile, and says since when; mail that came in the meantime is heard."""
    with Dovecot() as server:
        watch = watch_of(changed(settings, port=server.plain_port), database)
        with structlog.testing.capture_logs() as events, running(watch):
            until(lambda: watch.status.is_watching)
            server.drop(user, letter("unsubscribe", "Ben <ben@example.net>"))
            until(lambda: is_out(database, "ben@example.net"))
            server.stop()
            until(lambda: watch.status.blind_since is not None)
            until(lambda: "connection refused" in watch.status.blind_because)
            assert status_of(database).blind_since == watch.status.blind_since
            server.drop(user, letter("unsubscribe"))
            server.start()
            until(lambda: is_out(database))
            until(lambda: watch.status.is_watching)
        assert (watch.status.blind_since, status_of(database).blind_since) == (None, None)
    blind = [event for event in events if event["event"] == "mailbox_blind"]
    assert len({event["since"] for event in blind}) == 1
    assert "mailbox_seen_again" in [event["event"] for event in events]


def test_a_wrong_password_makes_the_mailbox_blind_and_says_what_to_do(
    settings: MailboxSettings, database: Database
) -> None:
    """In the log, in memory and in the store, for `status`; the password is in none of them."""
    watch = watch_of(settings, database, password="wrong-one")
    with structlog.testing.capture_logs() as events, running(watch):
        until(lambda: watch.status.blind_since is not None)
    stored = status_of(database)
    assert stored.blind_because == watch.status.blind_because
    assert "refused the user name or the password" in watch.status.blind_because
    assert "password_file" in watch.status.blind_because
    assert "wrong-one" not in str(events)


def test_a_missing_secret_is_a_blind_mailbox_and_no_crash(
    settings: MailboxSettings, database: Database
) -> None:
    """The file is read anew for each connection; somebody took it away."""

    def open_mailbox() -> Mailbox:
        raise ConfigError(
            "mailbot.toml", [ConfigFault("password_file", "is gone.", "Put it back.")]
        )

    watch = Watch(settings, SHOP, database, daemon="one", open_mailbox=open_mailbox)
    with running(watch):
        until(lambda: "is gone" in watch.status.blind_because)


def test_a_folder_that_is_gone_does_not_hide_the_others(
    shared_server: Dovecot, settings: MailboxSettings, user: str, database: Database
) -> None:
    """INBOX is heard; the mailbox counts as blind, and names the folder."""
    watch = watch_of(changed(settings, folders=("Gone", "INBOX")), database)
    shared_server.drop(user, letter("unsubscribe"))
    with running(watch):
        until(lambda: is_out(database))
        until(lambda: "Gone" in watch.status.blind_because)
    assert not watch.status.is_watching


def test_mail_in_the_junk_folder_is_heard_and_not_answered(
    shared_server: Dovecot, settings: MailboxSettings, user: str, database: Database
) -> None:
    """The server marks the folder (RFC 6154); an answer would only please a spammer."""
    watch = watch_of(changed(settings, folders=("INBOX", "Junk")), database)
    with running(watch):
        until(lambda: watch.status.is_watching)
        shared_server.deliver(user, letter("unsubscribe"), folder="Junk")
        until(lambda: is_out(database))
        shared_server.deliver(user, letter("unsubscribe", "Ben <ben@example.net>"))
        until(lambda: is_out(database, "ben@example.net"))
    with database.read() as conn:
        told = conn.exec_driver_sql("SELECT address FROM outbox").scalars().all()
    assert told == ["ben@example.net"]


def test_one_daemon_at_a_time_reads_a_mailbox_and_another_takes_over(
    settings: MailboxSettings, database: Database
) -> None:
    """The second waits for the lease; when the first ends, it reads."""
    first = watch_of(settings, database, daemon="one", lease_seconds=2)
    second = watch_of(settings, database, daemon="two", lease_seconds=2)
    with running(first) as stop_first:
        until(lambda: first.status.is_watching)
        with running(second):
            time.sleep(0.7)
            assert not second.status.is_watching
            assert status_of(database).claimed_by == "one"
            stop_first.set()
            until(lambda: second.status.is_watching)
            assert status_of(database).claimed_by == "two"
    assert status_of(database).claimed_by is None


def test_a_daemon_that_cannot_reach_the_server_lets_another_try(
    settings: MailboxSettings, database: Database
) -> None:
    """Its host is cut off; it does not sit on the lease while it waits to try again."""
    cut_off = watch_of(changed(settings, port=free_port()), database, daemon="cut off")
    other = watch_of(settings, database, daemon="other", lease_seconds=1)
    with running(cut_off):
        until(lambda: cut_off.status.blind_since is not None)
        with running(other):
            until(lambda: other.status.is_watching)


def test_a_daemon_whose_lease_was_taken_stops_reading(
    settings: MailboxSettings, database: Database
) -> None:
    """It was suspended for longer than its lease: the other one's reading counts."""
    watch = watch_of(settings, database, daemon="one", lease_seconds=0.4)
    with structlog.testing.capture_logs() as events, running(watch):
        until(lambda: watch.status.is_watching)
        with database.write() as conn:
            mailboxes.release_lease(conn, account_of(settings), claimed_by="one")
            assert mailboxes.acquire_lease(
                conn, account_of(settings), claimed_by="two", lease_seconds=60
            )
        until(lambda: not watch.status.is_watching)
    assert "mailbox_lease_lost" in [event["event"] for event in events]
    assert status_of(database).claimed_by == "two"


def test_what_was_heard_counts_though_the_lease_is_gone_by_then(
    shared_server: Dovecot, settings: MailboxSettings, user: str, database: Database
) -> None:
    """Else two daemons whose batches outlast a lease would take turns, and never get on."""
    account = account_of(settings)

    def lost(_: object) -> None:
        raise LeaseLost("another daemon has taken over")

    intake = Intake(account, SHOP, database, keep_alive=lost)
    shared_server.drop(user, letter("Tea"))
    with Mailbox(settings, PASSWORD) as mailbox:
        with pytest.raises(LeaseLost):
            intake.hear(mailbox, WatchedFolder("INBOX"))
        state = mailbox.examine("INBOX")
    with database.read() as conn:
        assert mailboxes.watermark(conn, account, "INBOX", state.uidvalidity).last_uid == 1


def test_progress_is_told_after_each_batch_of_a_long_scan(
    shared_server: Dovecot,
    settings: MailboxSettings,
    user: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A first scan takes longer than the watchdog waits."""
    monkeypatch.setattr(intake_module, "FETCH_BATCH", 1)
    shared_server.drop(user, *[letter(f"Tea {number}") for number in range(5)])
    told: list[int] = []
    watch = watch_of(settings, database, progress=lambda: told.append(1))
    with running(watch):
        until(lambda: watch.status.is_watching)
        assert len(told) >= 5


def test_a_stop_is_obeyed_soon_and_in_the_middle_of_a_scan(
    shared_server: Dovecot,
    settings: MailboxSettings,
    user: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the batch at hand: the rest is heard at the next start."""
    monkeypatch.setattr(intake_module, "FETCH_BATCH", 1)
    stop = threading.Event()
    watch = watch_of(settings, database)
    shared_server.drop(user, *[letter(f"Tea {number}") for number in range(20)])
    advance = mailboxes.advance

    def stop_after_the_third(conn: object, *place: object) -> None:
        advance(conn, *place)  # type: ignore[arg-type]
        if place[-1] == 3:
            stop.set()

    monkeypatch.setattr(mailboxes, "advance", stop_after_the_third)
    watch.run(stop)
    assert watch.intake.heard.by_verdict == {"unrelated": 3}


def test_progress_is_told_while_nothing_happens(
    settings: MailboxSettings, database: Database
) -> None:
    """The watchdog is pinged only by what really goes on: looks and waits that ended."""
    told = []
    watch = watch_of(settings, database, progress=lambda: told.append(time.monotonic()))
    with running(watch):
        until(lambda: len(told) >= 4)
    assert told[-1] - told[0] > 0.5


def test_an_account_is_who_at_which_server(settings: MailboxSettings) -> None:
    """A mailbox that moves to another server starts anew: its UIDs mean other mails there."""
    moved = changed(settings, host="localhost")
    assert account_of(settings) != account_of(moved)
    assert account_of(settings) == account_of(changed(settings, name="renamed"))
    assert len(account_of(changed(settings, username="u" * 300))) <= 100
