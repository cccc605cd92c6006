"""Watch one mailbox for as long as the daemon runs, in a thread of its own.

Lease, connect, hear every folder, wait (IDLE is a hint, the poll goes on regardless), again; after
any failure back-off with jitter. A mailbox that cannot be read is blind, and says since when.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from mailbot.config import MailboxSettings
from mailbot.core.backoff import wait
from mailbot.core.errors import MailbotError, MailboxRefused, StoreError
from mailbot.inbound.filing import Filing
from mailbot.inbound.folders import WatchedFolder, watched_folders
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.intake import Intake
from mailbot.inbound.shop import Shop
from mailbot.store import mailboxes
from mailbot.store.engine import Connection, Database

# Short: after a crash nobody hears help@ until it runs out. Losing it while still reading costs
# nothing, since hearing a mail twice changes nothing.
LEASE_SECONDS = 20.0
_LONGEST_ACCOUNT = 100  # characters; the column's width
# An outage passes; a refusal waits for a person, and too many logins lock an account.
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=1), timedelta(minutes=1)
_FIRST_WAIT_REFUSED, _LONGEST_WAIT_REFUSED = timedelta(seconds=10), timedelta(minutes=10)
_LIST_AGAIN = 600.0  # seconds
# A connection that stood this long forgives earlier failures; one that is taken and dropped each
# time does not, else we would log in every second.
_STEADY = 60.0  # seconds
LONGEST_PAUSE = 1.25 * _LONGEST_WAIT_REFUSED  # back-off adds a quarter at most

log = structlog.get_logger(__name__)


class LeaseLost(MailbotError):
    """Another daemon reads this mailbox now."""


@dataclass(slots=True)
class WatchStatus:
    """What one watch is doing; written by its thread, read by any other."""

    account: str
    is_watching: bool = False  # connected, and every folder was heard at the last look
    blind_since: datetime | None = None
    blind_because: str = ""


def account_of(settings: MailboxSettings) -> str:
    """The name under which the store keeps a mailbox: who at which server, as the settings' own
    name may move to another server, whose UIDs mean other mails."""
    name = f"{settings.username} at {settings.host}"
    if len(name) <= _LONGEST_ACCOUNT:
        return name
    return f"{name[:80]}… {hashlib.sha256(name.encode()).hexdigest()[:16]}"


class Watch:
    """One mailbox watched. `run` returns when `stop` is set; everything else it survives.

    `open_mailbox` makes a new connection's Mailbox, its password read anew; `progress` is called
    after every look and every batch, for the watchdog.
    """

    def __init__(
        self,
        settings: MailboxSettings,
        shop: Shop,
        database: Database,
        *,
        daemon: str,
        open_mailbox: Callable[[], Mailbox],
        progress: Callable[[], None] = lambda: None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.status = WatchStatus(account_of(settings))
        self.intake = Intake(
            self.status.account, shop, database,
            authserv_ids=settings.authserv_ids, filing=Filing.of(settings),
            keep_alive=self._keep_alive, is_stopping=self._is_stopping,
        )  # fmt: skip
        self._settings = settings
        self._database = database
        self._daemon = daemon
        self._open_mailbox = open_mailbox
        self._progress = progress
        self._lease_seconds = lease_seconds
        self._stop = threading.Event()
        self._watched: tuple[WatchedFolder, ...] = ()
        self._list_again = 0.0  # by time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set, then give the lease back."""
        self._stop = stop
        failures = 0
        while not stop.is_set():
            began = time.monotonic()
            try:
                if self._take_lease():
                    with self._open_mailbox() as mailbox:
                        log.info("mailbox_connected", account=self.status.account)
                        self._list_again = 0.0
                        while not stop.is_set():
                            self._look(mailbox)
                            self._wait_for_mail(mailbox)
                else:
                    self._progress()
                    stop.wait(self._lease_seconds / 4)
            except LeaseLost:
                self.status.is_watching = False
                log.warning("mailbox_lease_lost", account=self.status.account)
            except Exception as error:
                failures = 1 if time.monotonic() - began > _STEADY else failures + 1
                self._go_blind(error)
                self._release_lease()  # a daemon on another host may still reach the server
                stop.wait(_pause(error, failures))
        self._release_lease()

    def _is_stopping(self) -> bool:
        return self._stop.is_set()

    # -- looking -------------------------------------------------------------------------------

    def _look(self, mailbox: Mailbox) -> None:
        """Hear every folder; one that is refused (gone, no rights) does not hide the others.

        The first folder comes last: it stays open, and IDLE watches it.
        """
        refused: MailboxRefused | None = None
        for folder in reversed(self._folders(mailbox)):
            try:
                self.intake.hear(mailbox, folder)
            except MailboxRefused as error:
                refused = error
            self._progress()
        if self._is_stopping():
            return  # perhaps in the middle of a folder
        with self._database.write() as conn:
            self._keep_alive(conn)
            if refused is None:
                mailboxes.heard(conn, self.status.account)
        if refused is None:
            self._see_again()
        else:
            self._go_blind(refused)

    def _folders(self, mailbox: Mailbox) -> tuple[WatchedFolder, ...]:
        """Listed anew now and then: people make folders while we watch."""
        if time.monotonic() >= self._list_again:
            try:
                self._watched = watched_folders(self._settings, mailbox.folders())
            except MailboxRefused as error:  # must not hide the folders that are known
                log.warning("folders_not_listed", account=self.status.account, because=str(error))
                self._watched = self._watched or watched_folders(self._settings, ())
            self._list_again = time.monotonic() + _LIST_AGAIN
        return self._watched

    def _wait_for_mail(self, mailbox: Mailbox) -> None:
        """Until the poll is due or the server says that something came; keeps the lease."""
        due = time.monotonic() + self._settings.poll_seconds
        while not self._is_stopping() and (remaining := due - time.monotonic()) > 0:
            pause = min(remaining, self._lease_seconds / 4)
            if mailbox.can_idle:
                if mailbox.idle(pause, self._is_stopping):
                    return
            else:
                self._stop.wait(pause)
            self._progress()
            if due - time.monotonic() > 0:
                with self._database.write() as conn:
                    self._keep_alive(conn)

    # -- the lease -----------------------------------------------------------------------------

    def _acquire(self, conn: Connection) -> bool:
        return mailboxes.acquire_lease(
            conn, self.status.account, claimed_by=self._daemon, lease_seconds=self._lease_seconds
        )

    def _take_lease(self) -> bool:
        with self._database.write() as conn:
            return self._acquire(conn)

    def _keep_alive(self, conn: Connection) -> None:
        if not self._acquire(conn):
            raise LeaseLost("another daemon has taken over", where=self.status.account)
        self._progress()

    def _release_lease(self) -> None:
        self.status.is_watching = False
        try:
            with self._database.write() as conn:
                mailboxes.release_lease(conn, self.status.account, claimed_by=self._daemon)
        except StoreError as error:  # it runs out by itself
            log.warning("mailbox_lease_kept", account=self.status.account, because=str(error))

    # -- blindness -----------------------------------------------------------------------------

    def _go_blind(self, error: Exception) -> None:
        """Remember since when and why, here and, if it can be written, in the store."""
        because = str(error) if isinstance(error, MailbotError) else type(error).__name__
        status = self.status
        status.is_watching = False
        status.blind_because = because
        try:
            with self._database.write() as conn:
                since = mailboxes.blind(conn, status.account, because)
        except StoreError:
            since = status.blind_since or datetime.now(UTC)
        status.blind_since = status.blind_since or since
        log.warning(
            "mailbox_blind", account=status.account, since=status.blind_since.isoformat(),
            because=because, exc_info=not isinstance(error, MailbotError),
        )  # fmt: skip

    def _see_again(self) -> None:
        status = self.status
        if status.blind_since is not None:
            log.info(
                "mailbox_seen_again", account=status.account, since=status.blind_since.isoformat()
            )
        status.is_watching, status.blind_since, status.blind_because = True, None, ""


def _pause(error: Exception, failures: int) -> float:
    first, longest = _FIRST_WAIT, _LONGEST_WAIT
    if isinstance(error, MailboxRefused):
        first, longest = _FIRST_WAIT_REFUSED, _LONGEST_WAIT_REFUSED
    return wait(failures, first, longest, random.random()).total_seconds()
